"""A reading depends on its card alone: not on its neighbours, nor on the kind of processor."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vin_batch.records import BoxIssue, DecisionPolicy, Reading
from vin_batch.vin.decoder import CHUNK_CARDS, Decoder, ink_of
from vin_batch.vin.verdict import judge
from vin_ink import ink, noisy_cards

SOVIET = "XTA210990K1491754"
POLICY = DecisionPolicy(slope=0.8, intercept=0.1, accept_confidence=0.99)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder()


def mixed_cards(seed: int, count: int) -> NDArray[np.float32]:
    """Clear, blurred, tied and partly silent cards by turns, and some that say nothing."""
    rng = np.random.default_rng(seed)
    cards = noisy_cards(seed, count, 4.0)
    cards[::4] = ink(SOVIET, sure=0.999)
    cards[1::4] = np.round(noisy_cards(seed + 1, count, 1.0)[1::4])
    cards[rng.random(cards.shape[:2]) < 0.1] = 0.0
    cards[7::31] = 0.0
    return cards


def read(decoder: Decoder, cards: NDArray[np.float32], issues: NDArray[np.uint8]) -> list[Reading]:
    ids = [str(card) for card in range(len(cards))]
    return judge(ids, cards, issues, np.zeros(len(cards), np.int32), POLICY, decoder)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), first=st.integers(1, 300), second=st.integers(1, 80))
def test_groups_do_not_show(decoder: Decoder, seed: int, first: int, second: int) -> None:
    count = CHUNK_CARDS + 61
    cards = mixed_cards(seed, count)
    rng = np.random.default_rng(seed)
    issues = np.where(rng.random((count, 17)) < 0.02, BoxIssue.BLANK, BoxIssue.NONE)
    issues = issues.astype(np.uint8)
    together = read(decoder, cards, issues)
    cuts = sorted({first, min(first + second, count - 1)})
    apart = [
        reading
        for part, some in zip(np.split(cards, cuts), np.split(issues, cuts), strict=True)
        for reading in read(decoder, part, some)
    ]
    assert [without_id(reading) for reading in apart] == [without_id(r) for r in together]


def without_id(reading: Reading) -> tuple[object, ...]:
    return tuple(getattr(reading, name) for name in Reading.__slots__ if name != "card_id")


def test_of_equal_alternatives_the_first_in_the_alphabet_are_given(decoder: Decoder) -> None:
    """In a silent box only the digit that fits the check digit is a little more probable."""
    issues = np.zeros((1, 17), np.uint8)
    issues[0, 12] = BoxIssue.BLANK
    (reading,) = read(decoder, ink(SOVIET)[None], issues)
    assert reading.vin is not None
    others = [other.vin[12] for other in reading.alternatives]
    assert len({other.prob for other in reading.alternatives}) == 1
    assert others == [digit for digit in "0123456789" if digit != reading.vin[12]][:4]


def test_what_the_search_leaves_out_has_none_of_the_best_strings(decoder: Decoder) -> None:
    evidence = ink_of(mixed_cards(3, 64))
    sums = decoder._sum(evidence)
    everything = replace(sums, listed=sums.listed + 1e300, unlisted=sums.unlisted + 1e300)
    pruned = decoder._search.rank(evidence, sums)
    whole = decoder._search.rank(evidence, everything)
    np.testing.assert_array_equal(pruned.strings, whole.strings)
    np.testing.assert_array_equal(pruned.weights, whole.weights)
    np.testing.assert_array_equal(pruned.rules, whole.rules)


PROGRAM = """
import sys
from test_grouping import digest_of_readings
print(digest_of_readings())
"""


def digest_of_readings() -> str:
    cards = mixed_cards(11, 80)
    issues = np.zeros((80, 17), np.uint8)
    issues[::4, 14] = BoxIssue.BLANK
    return hashlib.sha256(repr(read(Decoder(), cards, issues)).encode()).hexdigest()


def test_readings_do_not_depend_on_the_vector_units_of_the_processor() -> None:
    """NumPy sorts and computes by other code where wider registers are; ties must not show."""
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    if not found:
        pytest.skip("this processor has no more than NumPy's baseline")
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    plain = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": path, "NPY_DISABLE_CPU_FEATURES": " ".join(found)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert plain.stdout.strip() == digest_of_readings()
