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
    outcomes,
    score_cards,
    score_characters,
)
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
    answers = score.answers
    assert answers is not None
    assert "".join(answers.read) == "AB88C-"
    assert answers.right.tolist() == [True, True, False, False, True, False]
    assert answers.probs == pytest.approx([0.999] * 5 + [0], abs=1e-6)
    assert answers.rows.tolist() == list(range(6))
    assert np.array_equal(answers.images, pack.images)
    # Five images with a result, a bin of its own each: three right, two wrong.
    assert score.calibration_error == pytest.approx((3 * 0.001 + 2 * 0.999) / 5)


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


def test_accuracy_is_a_share() -> None:
    score = CharacterScore("x", 8, 6, {}, ())
    assert score.accuracy == 0.75
    assert score.calibration_error is None, "only the figures are known"


def test_extra_boxes_and_cards_without_a_vin_are_known(decoder: Decoder) -> None:
    log_probs = np.stack([clear(vin) for vin in VINS])
    issues = np.zeros((4, VIN_LENGTH), np.uint8)
    extra = np.array([0, 2, 0, 0], np.int32)
    found = outcomes(log_probs, issues, extra, ["", *VINS[1:]], decoder)
    assert found.correct.tolist() == [False, True, True, True]
    assert found.acceptable.tolist() == [True, False, True, True]


def test_pictures_are_kept_of_the_first_cards_and_the_wrong_ones(decoder: Decoder) -> None:
    vins = VINS * 4
    pixels = np.zeros((len(vins), VIN_LENGTH, 28, 28), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(len(vins))
    cards = CardSet(vins, pixels, np.zeros((len(vins), VIN_LENGTH), np.uint8))
    log_probs = np.stack([clear(vin) for vin in vins])
    log_probs[12] = clear("XTA210700J2232679")
    judged = score_cards(log_probs, cards, EAGER, decoder).judged
    assert judged is not None
    assert sorted(judged.pictures) == [*range(8), 12]
    assert judged.pictures[12][0, 0, 0] == 12
    assert judged.accepted_wrong() == [("000012", "XTA210700J2232679", VINS[0])]
    assert judged.posterior is not None
    assert judged.posterior.shape == (16,)
