"""Do two engines read the same? The same cards through both, decision by decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from vin_batch.classifier.base import Classifier
from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.records import BoxIssue, Status
from vin_batch.synthesis.cards import draw_card
from vin_batch.synthesis.scan import Level
from vin_batch.synthesis.vins import random_vin
from vin_batch.synthesis.writer import Writer
from vin_batch.training.calibrate import MAX_WRONG_SHARE
from vin_batch.training.cards import CardSet, draw_cards
from vin_batch.training.course import CARD_LEVELS, Data
from vin_batch.training.held_out import Half, held_out_bank
from vin_batch.training.judged import CardScore, JudgedCards, box_calibration_error
from vin_batch.training.measure import card_log_probs, score_cards
from vin_batch.vin.alphabet import VIN_LENGTH
from vin_batch.vin.decoder import Decoder

LEAST_SAME_CHARACTERS: Final = 0.99
LEAST_SAME_VINS: Final = 0.97
"""Of all cards, those for review too; where the shipped network doubts, 1 in 150 differs."""
LEAST_SAME_STATUS: Final = 0.98
"""Cards whose confidence lies near the threshold may fall to either side of it."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How one engine reads some cards.

    Attributes:
        characters_right: Share of boxes whose most probable character is right.
        vin_right: Share of cards whose most probable VIN is right.
        accepted: Cards accepted.
        accepted_wrong: Accepted cards whose VIN is wrong.
        calibration_error: Of the confidence.
        box_calibration_error: Of the characters' probabilities.
    """

    characters_right: float
    vin_right: float
    accepted: int
    accepted_wrong: int
    calibration_error: float
    box_calibration_error: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two engines on the same cards.

    Attributes:
        cards: How many.
        same_characters: Share of boxes with a character that is the most probable one of both.
        same_vins: Share of cards of which both give the same VIN, or none.
        same_status: Share of cards with the same verdict.
        accepted_differently: Cards that both accept, with different VINs.
        reference: How the first reads.
        other: How the second reads.
    """

    cards: int
    same_characters: float
    same_vins: float
    same_status: float
    accepted_differently: int
    reference: Engine
    other: Engine

    def problems(self) -> list[str]:
        """Why the second engine must not stand in for the first; empty where it may."""
        found = [
            f"{what} are the same in {share:.2%}, {least:.0%} are wanted"
            for what, share, least in (
                ("characters", self.same_characters, LEAST_SAME_CHARACTERS),
                ("VINs", self.same_vins, LEAST_SAME_VINS),
                ("verdicts", self.same_status, LEAST_SAME_STATUS),
            )
            if share < least
        ]
        if self.accepted_differently:
            found.append(f"{self.accepted_differently} cards are accepted with another VIN")
        allowed = self.reference.accepted_wrong + max(1.0, MAX_WRONG_SHARE * self.other.accepted)
        if self.other.accepted_wrong > allowed:
            found.append(
                f"{self.other.accepted_wrong} accepted VINs are wrong instead of "
                f"{self.reference.accepted_wrong}"
            )
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain values, rounded."""
        return _rounded(asdict(self))


def compare_engines(
    reference: Classifier, other: Classifier, cards: CardSet, decoder: Decoder
) -> Agreement:
    """Read cards with two engines of one model.

    Args:
        reference: The one that was measured and calibrated.
        other: The one that is to stand in for it.
        cards: Cards with known VINs.
        decoder: The VIN decoder.
    """
    policy = reference.card.policy
    answers = [card_log_probs(engine, cards) for engine in (reference, other)]
    scores = [score_cards(each, cards, policy, decoder) for each in answers]
    one, two = (_judged(score) for score in scores)
    read = cards.issues == BoxIssue.NONE
    same = answers[0].argmax(axis=2) == answers[1].argmax(axis=2)
    pairs = list(zip(one.vins, two.vins, one.status, two.status, strict=True))
    return Agreement(
        cards=len(pairs),
        same_characters=float(same[read].mean()),
        same_vins=float(np.mean([a == b for a, b, _, _ in pairs])),
        same_status=float(np.mean([a == b for _, _, a, b in pairs])),
        accepted_differently=sum(
            a != b and first == second == Status.ACCEPTED for a, b, first, second in pairs
        ),
        reference=_engine(scores[0]),
        other=_engine(scores[1]),
    )


def held_out_cards(
    data: Data, alphabet: str, half: Half, count: int, *, seed: int, workers: int
) -> dict[str, CardSet]:
    """Cards drawn from glyphs of people whom nobody trained on, by level of the scan.

    They carry VINs of the first of the fleets.

    Args:
        data: The packs.
        alphabet: Class order.
        half: Which people.
        count: Cards of each level.
        seed: The same seed gives the same cards.
        workers: Drawing processes.
    """
    bank = held_out_bank(data.held_out, alphabet, half)
    vins = data.fleet.vins(data.fleet.names[0], half, count, seed)
    return {level: draw_cards(bank, vins, level, seed, workers) for level in CARD_LEVELS}


def font_cards(count: int, seed: int) -> dict[str, CardSet]:
    """Cards drawn from the packaged typefaces, by level of the scan."""
    return {level: draw_font_cards(count, level, seed) for level in CARD_LEVELS}


def draw_font_cards(count: int, level: Level, seed: int) -> CardSet:
    """Cards drawn from the packaged typefaces: what everybody has, and no people's hands."""
    rng = np.random.default_rng(seed)
    vins = [random_vin(rng).vin for _ in range(count)]
    pixels = np.zeros((count, VIN_LENGTH, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    issues = np.zeros((count, VIN_LENGTH), np.uint8)
    for row, vin in enumerate(vins):
        for column, crop in enumerate(draw_card(vin, Writer.random(level, rng), level, rng)):
            pixels[row, column], issues[row, column] = preprocess_image(crop)
    return CardSet(tuple(vins), pixels, issues)


def agreement_table(found: Mapping[str, Agreement], names: tuple[str, str]) -> str:
    """A table for people.

    Args:
        found: By level of the scan.
        names: Of the two engines.
    """
    lines = []
    for level, each in found.items():
        lines += [
            f"level {level}, {each.cards} cards: same characters {each.same_characters:.2%}, same "
            f"VINs {each.same_vins:.2%}, same verdicts {each.same_status:.2%}, "
            f"accepted with different VINs {each.accepted_differently}",
            f"  {'':12}{'characters':>12}{'VIN right':>12}{'accepted':>10}{'wrong':>7}"
            f"{'calibration error: cards':>26}{'boxes':>9}",
        ]
        lines += [
            f"  {name:12}{one.characters_right:12.2%}{one.vin_right:12.2%}{one.accepted:10}"
            f"{one.accepted_wrong:7}{one.calibration_error:26.4f}{one.box_calibration_error:9.4f}"
            for name, one in zip(names, (each.reference, each.other), strict=True)
        ]
    return "\n".join(lines)


def _engine(score: CardScore) -> Engine:
    return Engine(
        characters_right=score.characters_right,
        vin_right=score.vin_right,
        accepted=score.accepted,
        accepted_wrong=score.accepted_wrong,
        calibration_error=score.calibration_error,
        box_calibration_error=box_calibration_error(_judged(score)),
    )


def _judged(score: CardScore) -> JudgedCards:
    assert score.judged is not None, "cards that were just judged are there"
    return score.judged


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _rounded(value)
        if isinstance(value, Mapping)
        else round(value, 5)
        if isinstance(value, float)
        else value
        for name, value in values.items()
    }
