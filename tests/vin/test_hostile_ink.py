"""Whatever numbers a classifier gives, a reading stays honest; what is no number is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vin_batch.records import BoxIssue, DecisionPolicy, Reading, Status
from vin_batch.vin.alphabet import ALPHABET
from vin_batch.vin.decoder import Decoder
from vin_batch.vin.verdict import judge

LOWEST = float(np.finfo(np.float32).min)
CLASSES = len(ALPHABET)
POLICY = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=0.99)
LOSSES = [issue for issue in BoxIssue if issue]


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder()


@st.composite
def boxes(draw: st.DrawFn) -> NDArray[np.float32]:
    """The 33 numbers of one box: sure, tied, silent, absurd."""
    kind = draw(st.sampled_from(["silent", "sure", "tie", "near tie", "noise", "any"]))
    first, second = (draw(st.integers(0, CLASSES - 1)) for _ in range(2))
    row = np.full(CLASSES, draw(st.sampled_from([LOWEST, -1e30, -90.0, -5.0])), np.float32)
    if kind == "silent":
        row[:] = draw(st.sampled_from([0.0, -3.5, LOWEST, -LOWEST]))
    elif kind == "sure":
        row[first] = 0.0
    elif kind == "tie":
        row[[first, second]] = draw(st.sampled_from([0.0, -0.7, 1e30]))
    elif kind == "near tie":
        row[first], row[second] = -0.7, np.nextafter(np.float32(-0.7), np.float32(0))
    elif kind == "noise":
        row[:] = np.random.default_rng(first * CLASSES + second).normal(0, 3, CLASSES)
    else:
        number = st.floats(width=32, allow_nan=False, allow_infinity=False)
        row[:] = draw(st.lists(number, min_size=CLASSES, max_size=CLASSES))
    return row


@st.composite
def cards(draw: st.DrawFn) -> NDArray[np.float32]:
    return np.stack([draw(boxes()) for _ in range(17)])


policies = st.builds(
    DecisionPolicy,
    slope=st.floats(0.01, 10),
    intercept=st.floats(-20, 20),
    accept_confidence=st.floats(0.5, 0.9999),
)


def one(
    decoder: Decoder,
    card: NDArray[np.float32],
    issues: NDArray[np.uint8],
    policy: DecisionPolicy = POLICY,
) -> Reading:
    (reading,) = judge(["card"], card[None], issues[None], np.zeros(1, np.int32), policy, decoder)
    return reading


def assert_honest(reading: Reading, policy: DecisionPolicy) -> None:
    """What holds for every reading."""
    assert 0.0 <= reading.confidence <= 1.0
    others = [alternative.vin for alternative in reading.alternatives]
    probs = [alternative.prob for alternative in reading.alternatives]
    assert len({reading.vin, *others}) == 1 + len(others)
    assert all(0.0 < prob <= reading.confidence for prob in probs)
    assert probs == sorted(probs, reverse=True)
    assert reading.confidence + sum(probs) <= 1.0 + 1e-9
    for vin in [*others, *([reading.vin] if reading.vin else [])]:
        assert len(vin) == 17
        assert set(vin) <= set(ALPHABET)
    for char in reading.chars:
        assert 0.0 <= char.second_prob <= char.prob <= 1.0
        assert char.prob + char.second_prob <= 1.0 + 1e-9
        if char.issue:
            assert (char.char, char.prob, char.second) == ("?", 0.0, None)
    if reading.status is Status.ACCEPTED:
        assert reading.confidence >= policy.accept_confidence
        assert not any(char.issue for char in reading.chars)
        assert "?" not in reading.raw_vin
    if reading.vin is None:
        assert reading.status in {Status.UNREADABLE, Status.FAILED}
        assert reading.confidence == 0.0


@settings(max_examples=25)
@given(card=cards(), policy=policies, data=st.data())
def test_every_reading_is_honest(
    decoder: Decoder, card: NDArray[np.float32], policy: DecisionPolicy, data: st.DataObject
) -> None:
    issues = np.zeros(17, np.uint8)
    for place in data.draw(st.sets(st.integers(0, 16), max_size=7)):
        issues[place] = data.draw(st.sampled_from(LOSSES))
    assert_honest(one(decoder, card, issues, policy), policy)


@settings(max_examples=12)
@given(card=cards(), lost=st.integers(0, 16), nonsense=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_numbers_of_a_lost_box_do_not_matter(
    decoder: Decoder, card: NDArray[np.float32], lost: int, nonsense: float
) -> None:
    issues = np.zeros(17, np.uint8)
    issues[lost] = BoxIssue.UNDECODABLE
    expected = one(decoder, card, issues)
    card[lost] = nonsense
    assert one(decoder, card, issues) == expected


@settings(max_examples=12)
@given(
    card=cards(),
    place=st.integers(0, 16),
    character=st.integers(0, CLASSES - 1),
    nonsense=st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_what_is_no_number_is_refused_loudly(
    decoder: Decoder, card: NDArray[np.float32], place: int, character: int, nonsense: float
) -> None:
    card[place, character] = nonsense
    with pytest.raises(ValueError, match=r"log_probs of card card .*NaN or infinity"):
        one(decoder, card, np.zeros(17, np.uint8))


def test_a_tie_between_two_characters_is_shared(decoder: Decoder) -> None:
    """Two equal inks that no rule tells apart must leave each about half."""
    card = np.full((17, CLASSES), LOWEST, np.float32)
    card[np.arange(17), [ALPHABET.index(character) for character in "XTA210990K1491754"]] = 0.0
    card[15, [ALPHABET.index("5"), ALPHABET.index("3")]] = 0.0
    reading = one(decoder, card, np.zeros(17, np.uint8))
    assert reading.vin is not None
    assert {reading.vin[15], reading.alternatives[0].vin[15]} == {"3", "5"}
    assert reading.confidence == pytest.approx(0.5, abs=0.02)
    assert reading.status is Status.REVIEW
