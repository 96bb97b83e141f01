"""Measures a classifier: characters by source, whole cards by level."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.base import Classifier
from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.records import BoxIssue, DecisionPolicy, Status
from vin_batch.training.calibrate import Outcomes
from vin_batch.training.cards import CardSet
from vin_batch.training.packs import GlyphPack
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH, decode
from vin_batch.vin.decoder import Decoder
from vin_batch.vin.verdict import judge

WORST_CONFUSIONS = 12


@dataclass(frozen=True, slots=True)
class CharacterScore:
    """How well the images of one source are read, as they are.

    Attributes:
        source: Name of the source.
        images: How many.
        correct: How many were read right; images without a result count as wrong.
        issues: Images without a result, by issue code.
        confusions: Most frequent (true, read) pairs and their counts.
    """

    source: str
    images: int
    correct: int
    issues: dict[str, int]
    confusions: tuple[tuple[str, int], ...]

    @property
    def accuracy(self) -> float:
        """Share read right."""
        return self.correct / self.images


@dataclass(frozen=True, slots=True)
class CardScore:
    """How well whole cards are read.

    Attributes:
        cards: How many.
        characters_right: Share of boxes whose most probable character is right.
        raw_right: Share of cards whose 17 boxes are all right before any rule.
        vin_right: Share of cards whose most probable VIN is right.
        accepted: Cards accepted.
        accepted_wrong: Accepted cards whose VIN is wrong.
        status: Cards by status.
        calibration_error: Expected calibration error of the confidence (10 equal-mass bins).
    """

    cards: int
    characters_right: float
    raw_right: float
    vin_right: float
    accepted: int
    accepted_wrong: int
    status: dict[str, int]
    calibration_error: float

    def as_json(self) -> dict[str, Any]:
        """Plain values, rounded to what the sample size supports."""
        return {
            "cards": self.cards,
            "characters_right": round(self.characters_right, 5),
            "raw_right": round(self.raw_right, 4),
            "vin_right": round(self.vin_right, 4),
            "accepted": self.accepted,
            "accepted_wrong": self.accepted_wrong,
            "status": self.status,
            "calibration_error": round(self.calibration_error, 4),
        }


def score_characters(classifier: Classifier, pack: GlyphPack) -> CharacterScore:
    """Read every image of a pack through the production preprocessing."""
    pixels = np.zeros((len(pack.images), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    issues = np.zeros(len(pack.images), np.uint8)
    for row, image in enumerate(pack.images):
        pixels[row], issues[row] = preprocess_image(image)
    best = classifier.log_probs(pixels).argmax(axis=1)
    answers = np.array(list(classifier.card.classes))[best]
    answers[issues != BoxIssue.NONE] = "-"
    wrong = answers != pack.labels
    pairs = Counter(
        f"{true}{read}" for true, read in zip(pack.labels[wrong], answers[wrong], strict=True)
    )
    codes = Counter(BoxIssue(int(issue)).code for issue in issues[issues != BoxIssue.NONE])
    return CharacterScore(
        source=pack.name,
        images=len(pack.images),
        correct=int((~wrong).sum()),
        issues=dict(codes),
        confusions=tuple(pairs.most_common(WORST_CONFUSIONS)),
    )


def card_log_probs(classifier: Classifier, cards: CardSet) -> NDArray[np.float32]:
    """Log-probabilities ``float32[n, 17, 33]`` of a card set."""
    flat = classifier.log_probs(cards.pixels.reshape(-1, IMAGE_SIDE, IMAGE_SIDE))
    return flat.reshape(-1, VIN_LENGTH, len(ALPHABET))


def card_outcomes(log_probs: NDArray[np.float32], cards: CardSet, decoder: Decoder) -> Outcomes:
    """Decode a card set for the fitting of a policy."""
    eager = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=0.0)
    empty = (cards.issues != BoxIssue.NONE).sum(axis=1)
    usable = np.where((cards.issues != BoxIssue.NONE)[:, :, None], np.float32(0), log_probs)
    decoded = decoder.decode(usable)
    best = [decode(row) for row in decoded.best]
    verdicts = judge(
        cards.vins, log_probs, cards.issues, np.zeros(len(cards.vins), np.int32), eager, decoder
    )
    accepted = np.array([reading.status is Status.ACCEPTED for reading in verdicts])
    return Outcomes(
        posterior=decoded.posterior,
        correct=np.array([one == other for one, other in zip(best, cards.vins, strict=True)]),
        acceptable=accepted & (empty <= eager.max_empty_boxes_accepted),
    )


def score_cards(
    log_probs: NDArray[np.float32], cards: CardSet, policy: DecisionPolicy, decoder: Decoder
) -> CardScore:
    """Judge a card set as production does and compare with the truth."""
    readings = judge(
        cards.vins, log_probs, cards.issues, np.zeros(len(cards.vins), np.int32), policy, decoder
    )
    truth = np.array([list(vin) for vin in cards.vins])
    raw = np.array([list(reading.raw_vin) for reading in readings])
    right = np.array(
        [reading.vin == vin for reading, vin in zip(readings, cards.vins, strict=True)]
    )
    accepted = np.array([reading.status is Status.ACCEPTED for reading in readings])
    confidence = np.array([reading.confidence for reading in readings])
    return CardScore(
        cards=len(readings),
        characters_right=float((raw == truth).mean()),
        raw_right=float((raw == truth).all(axis=1).mean()),
        vin_right=float(right.mean()),
        accepted=int(accepted.sum()),
        accepted_wrong=int((accepted & ~right).sum()),
        status=dict(Counter(reading.status.value for reading in readings)),
        calibration_error=expected_calibration_error(confidence, right),
    )


def expected_calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 10
) -> float:
    """Mean gap between confidence and share right over bins of equal mass."""
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, bins)
    gaps = [
        len(part) * abs(float(confidence[part].mean()) - float(right[part].mean()))
        for part in parts
        if len(part)
    ]
    return sum(gaps) / max(len(confidence), 1)
