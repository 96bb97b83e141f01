from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH, encode
from vin_batch.vin.check_digit import CHECK_SYMBOLS, VIN_SCHEME, check_digit, is_valid, residues

VECTORS = Path(__file__).parents[2] / "../shared/vin/check_digit_vectors.csv"
TABLE = dict(
    zip(
        "0123456789ABCDEFGHJKLMNPRSTUVWXYZ",
        map(int, "012345678912345678123457923456789"),
        strict=True,
    )
)

vins = st.text(ALPHABET, min_size=VIN_LENGTH, max_size=VIN_LENGTH)


@pytest.mark.parametrize(
    "vin",
    [
        "1G4AH59H45G118341",  # 49 CFR 565.15, worked example
        "1J9RP1A36A1644345",  # NHTSA outline for new manufacturers: sum 314, remainder 6
        "1M8GDM9AXKP042788",  # the usual example of remainder 10
        "1" * 17,
    ],
)
def test_official_examples_are_valid(vin: str) -> None:
    assert is_valid(vin)
    assert check_digit(vin) == vin[8]


def test_the_nhtsa_example_sums_to_314() -> None:
    vin = encode("1J9RP1A36A1644345")
    assert int((VIN_SCHEME.values[vin] * VIN_SCHEME.weights).sum()) == 314


def test_values_are_those_of_the_regulation() -> None:
    assert dict(zip(ALPHABET, VIN_SCHEME.values.tolist(), strict=True)) == TABLE


@given(vins, st.integers(0, 16), st.sampled_from(ALPHABET))
def test_a_single_wrong_character_is_caught_unless_values_are_equal(
    vin: str, place: int, other: str
) -> None:
    valid = vin[:8] + check_digit(vin) + vin[9:]
    changed = valid[:place] + other + valid[place + 1 :]
    same = TABLE[other] == TABLE[valid[place]] if place != 8 else other == valid[8]
    assert is_valid(changed) == same


@given(st.lists(vins, min_size=1, max_size=5))
def test_vectorised_residues_agree_with_the_single_ones(many: list[str]) -> None:
    found = residues(np.stack([encode(vin) for vin in many]))
    assert [CHECK_SYMBOLS[r] for r in found] == [check_digit(vin) for vin in many]


@pytest.mark.parametrize("text", ["", "1G4AH59H45G11834", "1G4AH59H45G11834I", "1g4ah59h45g118341"])
def test_malformed_text_is_not_valid_and_has_no_check_digit(text: str) -> None:
    assert not is_valid(text)
    with pytest.raises(ValueError, match="17 characters"):
        check_digit(text)


@pytest.mark.skipif(not VECTORS.exists(), reason="../shared/vin/check_digit_vectors.csv is absent")
def test_public_vectors() -> None:
    with VECTORS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 400
    wrong = [r["vin"] for r in rows if is_valid(r["vin"]) != (r["check_digit_valid"] == "true")]
    assert wrong == []
