"""Random VINs are well formed; VIN files are read or refused with the line at fault."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vin_batch.errors import UsageError
from vin_batch.synthesis.vins import GIVEN_GROUP, GROUPS, SCHEMES, Group, load_vins, random_vin
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH
from vin_batch.vin.check_digit import is_valid

SOVIET_YEARS = set("DEFGHJKLM")


@given(st.integers(0, 2**32), st.sampled_from(GROUPS))
def test_random_vin_is_well_formed(seed: int, group: Group) -> None:
    drawn = random_vin(np.random.default_rng(seed), group)
    assert len(drawn.vin) == VIN_LENGTH
    assert set(drawn.vin) <= set(ALPHABET)
    assert drawn.vin[-4:].isdigit()
    assert drawn.group == group
    assert any(drawn.vin.startswith(scheme.wmi) for scheme in SCHEMES[group])


@given(st.integers(0, 2**32))
def test_north_american_vins_carry_a_valid_check_digit(seed: int) -> None:
    assert is_valid(random_vin(np.random.default_rng(seed), "na").vin)


def test_soviet_vins_do_not_care_about_the_check_digit() -> None:
    vins = [random_vin(np.random.default_rng(seed), "soviet").vin for seed in range(400)]
    assert {vin[9] for vin in vins} <= SOVIET_YEARS
    share = sum(map(is_valid, vins)) / len(vins)
    assert share < 0.2  # chance alone gives 1 in 11


def test_all_groups_appear_in_a_mix() -> None:
    assert {random_vin(np.random.default_rng(seed)).group for seed in range(60)} == set(GROUPS)


def test_every_scheme_gives_17_characters() -> None:
    for schemes in SCHEMES.values():
        for scheme in schemes:
            assert {len(descriptor) for descriptor in scheme.descriptors} == {6}
            head = 3 + 6 + 1 + bool(scheme.eleventh)
            assert len(str(scheme.top_serial - 1)) <= VIN_LENGTH - head
            assert set(scheme.tenth + scheme.eleventh + scheme.wmi) <= set(ALPHABET)


def test_load_one_per_line(tmp_path: Path) -> None:
    path = tmp_path / "vins.txt"
    path.write_text("xta210130d0000002\n\n 11111111111111111 \n")
    assert [(v.vin, v.group) for v in load_vins(path)] == [
        ("XTA210130D0000002", GIVEN_GROUP),
        ("11111111111111111", GIVEN_GROUP),
    ]


def test_load_csv_with_groups(tmp_path: Path) -> None:
    path = tmp_path / "vins.csv"
    path.write_text("group,vin\nsoviet,XTA210130D0000002\n,11111111111111111\n", "utf-8-sig")
    assert [(v.vin, v.group) for v in load_vins(path)] == [
        ("XTA210130D0000002", "soviet"),
        ("11111111111111111", GIVEN_GROUP),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("XTA210130D000000\n", "line 1 .* has 16 characters"),
        ("11111111111111111\nOTA210130D0000002\n", "line 2 .* contains O"),
        ("vin,group\n", "holds no VIN"),
        ("group,vin\nna\n", "line 2 .* has 0 characters"),
        ("", "holds no VIN"),
    ],
)
def test_refuses_what_is_no_vin(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "vins.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=complaint):
        load_vins(path)


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        load_vins(tmp_path / "nowhere.csv")
