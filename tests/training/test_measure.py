"""Scores count what they say they count."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from glyph_packs import as_pack, drawn_glyphs
from vin_batch.classifier.base import Classifier
from vin_batch.records import BoxIssue, DecisionPolicy
from vin_batch.training.cards import CardSet
from vin_batch.training.measure import (
    CharacterScore,
    card_log_probs,
    card_outcomes,
    expected_calibration_error,
    score_cards,
    score_characters,
)
from vin_batch.training.model_readme import wilson
from vin_batch.training.packs import GlyphPack
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH, encode
from vin_batch.vin.decoder import Decoder

VINS = ("XTA210700J2232670", "1G1JC524587013914", "WVWZZZ1JZ1W046281", "Y6DTF69YPT0609977")
EAGER = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=0.0)


class Oracle:
    """Answers what it is told, image after image."""

    def __init__(self, answers: str) -> None:
        self.card = SimpleNamespace(classes=ALPHABET)
        self.device = "none"
        self.answers = answers

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert len(pixels) == len(self.answers)
        return clear(self.answers)


def clear(text: str) -> NDArray[np.float32]:
    """Log-probabilities that are nearly sure of every character of a text."""
    log_probs = np.full((len(text), len(ALPHABET)), np.log(0.001 / 32), np.float32)
    log_probs[np.arange(len(text)), encode(text)] = np.log(0.999)
    return log_probs


def glyphs(labels: str) -> GlyphPack:
    images, drawn = drawn_glyphs("".join(sorted(set(labels))), 1, 0)
    chosen = [drawn.index(character) for character in labels]
    return as_pack("some", images[chosen], labels)


def test_characters_are_counted_right_wrong_and_unreadable() -> None:
    pack = glyphs("ABBBCD")
    pack.images[5] = 255
    oracle: Classifier = Oracle("AB88CD")  # type: ignore[assignment]
    score = score_characters(oracle, pack)
    assert (score.source, score.images, score.correct) == ("some", 6, 3)
    assert score.accuracy == 0.5
    assert score.issues == {"blank": 1}
    assert dict(score.confusions) == {"B8": 2, "D-": 1}
    assert score.confusions[0] == ("B8", 2)


def card_set(issues: NDArray[np.uint8] | None = None) -> CardSet:
    shape = (len(VINS), VIN_LENGTH)
    pixels = np.zeros((*shape, 28, 28), np.uint8)
    return CardSet(VINS, pixels, np.zeros(shape, np.uint8) if issues is None else issues)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder()


def misread(position: int) -> NDArray[np.float32]:
    """All cards clear, but for one box of the first card that looks like another character."""
    log_probs = np.stack([clear(vin) for vin in VINS])
    log_probs[0, position] = clear("W")[0]
    return log_probs


def test_log_probs_come_card_by_card() -> None:
    oracle: Classifier = Oracle("".join(VINS))  # type: ignore[assignment]
    log_probs = card_log_probs(oracle, card_set())
    assert log_probs.shape == (4, 17, 33)
    assert [("".join(ALPHABET[i] for i in row)) for row in log_probs.argmax(axis=2)] == list(VINS)


def test_clear_cards_score_full_marks(decoder: Decoder) -> None:
    score = score_cards(misread(0)[1:], replace_cards(card_set(), slice(1, None)), EAGER, decoder)
    assert score.cards == 3
    assert score.characters_right == score.raw_right == score.vin_right == 1
    assert score.accepted + score.status.get("review", 0) == 3
    assert score.accepted_wrong == 0


def replace_cards(cards: CardSet, rows: slice) -> CardSet:
    return CardSet(cards.vins[rows], cards.pixels[rows], cards.issues[rows])


def test_a_wrong_vin_that_is_accepted_is_counted(decoder: Decoder) -> None:
    score = score_cards(misread(12), card_set(), EAGER, decoder)
    assert score.characters_right == pytest.approx(67 / 68)
    assert score.raw_right == 0.75
    assert sum(score.status.values()) == 4
    assert score.accepted_wrong <= score.accepted
    wrong = np.stack([clear("XTA210700J2232679"), *(clear(vin) for vin in VINS[1:])])
    score = score_cards(wrong, card_set(), EAGER, decoder)
    assert score.vin_right == 0.75
    assert score.accepted_wrong == 1
    never = replace(EAGER, accept_confidence=2.0)
    score = score_cards(wrong, card_set(), never, decoder)
    assert (score.accepted, score.accepted_wrong) == (0, 0)
    assert score.status == {"review": 4}


def test_outcomes_know_truth_and_what_holds_a_card_back(decoder: Decoder) -> None:
    issues = np.zeros((4, VIN_LENGTH), np.uint8)
    issues[2, 16] = BoxIssue.BLANK
    wrong = np.stack([clear("XTA210700J2232679"), *(clear(vin) for vin in VINS[1:])])
    found = card_outcomes(wrong, card_set(issues), decoder)
    assert found.correct[[0, 1, 3]].tolist() == [False, True, True]
    assert not found.acceptable[2], "a blank box alone keeps a card from being accepted"
    assert found.acceptable[[0, 1]].all()
    assert ((found.posterior >= 0) & (found.posterior <= 1)).all()
    assert found.posterior[2] < found.posterior[1]


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.25] * 4 + [0.75] * 4)
    right = np.array([True, False, False, False, True, True, True, False])
    assert expected_calibration_error(confidence, right, bins=2) == pytest.approx(0)
    assert expected_calibration_error(confidence, ~right, bins=2) == pytest.approx(0.5)
    assert expected_calibration_error(np.ones(5), np.zeros(5, bool)) == 1
    assert expected_calibration_error(np.empty(0), np.empty(0, bool)) == 0
    rng = np.random.default_rng(0)
    honest = rng.random(20_000)
    assert expected_calibration_error(honest, rng.random(20_000) < honest) < 0.02
    assert expected_calibration_error(honest, rng.random(20_000) < honest**3) > 0.15


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 1000, 0.0002, 0.0056),
    ],
)
def test_wilson_intervals_of_the_literature(
    count: int, total: int, low: float, high: float
) -> None:
    assert wilson(count, total) == pytest.approx((low, high), abs=1e-4)


def test_accuracy_is_a_share() -> None:
    score = CharacterScore("x", 8, 6, {}, ())
    assert score.accuracy == 0.75
