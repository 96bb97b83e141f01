"""Measures a classifier: characters by source, whole cards by level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.base import Classifier
from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.records import BoxIssue, DecisionPolicy, Reading, Status
from vin_batch.training.calibrate import Outcomes
from vin_batch.training.cards import CardSet
from vin_batch.training.curves import Flags, Reals, expected_calibration_error
from vin_batch.training.judged import CardScore, JudgedCards, judged_from_readings, summarise
from vin_batch.training.packs import GlyphPack
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH, decode
from vin_batch.vin.decoder import Decoder
from vin_batch.vin.verdict import judge

__all__ = [
    "Answers",
    "CardScore",
    "CharacterScore",
    "card_log_probs",
    "card_outcomes",
    "outcomes",
    "score_cards",
    "score_characters",
    "top_probs",
]

WORST_CONFUSIONS = 12
UNREAD = "-"
"""Stands for the answer to an image without a result."""
PICTURED_CARDS = 8
"""Cards whose pixels are kept to be shown, besides those that were accepted and wrong."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What was read in every image of one source.

    Attributes:
        images: ``uint8[n, h, w]``, the images as the source holds them.
        rows: ``int64[n]``, their positions in the source's file.
        truth: ``str[n]``.
        read: ``str[n]``, ``UNREAD`` where there was no result.
        probs: ``float64[n]``, probability of the character read; 0 without a result.
    """

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    truth: NDArray[np.str_]
    read: NDArray[np.str_]
    probs: Reals

    @property
    def right(self) -> Flags:
        """``bool[n]``."""
        return np.asarray(self.truth == self.read)


@dataclass(frozen=True, slots=True)
class CharacterScore:
    """How well the images of one source are read, as they are.

    Attributes:
        source: Name of the source.
        images: How many.
        correct: How many were read right; images without a result count as wrong.
        issues: Images without a result, by issue code.
        confusions: Most frequent (true, read) pairs and their counts.
        answers: The images one by one; None where only the figures are known.
    """

    source: str
    images: int
    correct: int
    issues: dict[str, int]
    confusions: tuple[tuple[str, int], ...]
    answers: Answers | None = field(default=None, compare=False, repr=False)

    @property
    def accuracy(self) -> float:
        """Share read right."""
        return self.correct / self.images

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error of the images with a result; None where not known."""
        if self.answers is None:
            return None
        given = self.answers.probs > 0
        return expected_calibration_error(self.answers.probs[given], self.answers.right[given])


def score_characters(classifier: Classifier, pack: GlyphPack) -> CharacterScore:
    """Read every image of a pack through the production preprocessing."""
    pixels = np.zeros((len(pack.images), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    issues = np.zeros(len(pack.images), np.uint8)
    for row, image in enumerate(pack.images):
        pixels[row], issues[row] = preprocess_image(image)
    log_probs = classifier.log_probs(pixels)
    answers = np.array(list(classifier.card.classes))[log_probs.argmax(axis=1)]
    probs = top_probs(log_probs)
    lost = issues != BoxIssue.NONE
    answers[lost], probs[lost] = UNREAD, 0.0
    wrong = answers != pack.labels
    pairs = Counter(
        f"{true}{read}" for true, read in zip(pack.labels[wrong], answers[wrong], strict=True)
    )
    codes = Counter(BoxIssue(int(issue)).code for issue in issues[lost])
    return CharacterScore(
        source=pack.name,
        images=len(pack.images),
        correct=int((~wrong).sum()),
        issues=dict(codes),
        confusions=tuple(pairs.most_common(WORST_CONFUSIONS)),
        answers=Answers(pack.images, pack.rows, pack.labels, answers, probs),
    )


def top_probs(log_probs: NDArray[np.float32]) -> Reals:
    """Probability of every row's first class, as readings give it.

    Log-probabilities are rounded, so the largest says little near 1; what the others leave
    says more.

    Args:
        log_probs: ``float32[m, classes]``.

    Returns:
        ``float64[m]``.
    """
    exact = log_probs.astype(np.float64)
    shifted = exact - exact.max(axis=1, keepdims=True)
    return np.asarray(1.0 / np.exp(shifted).sum(axis=1))


def card_log_probs(classifier: Classifier, cards: CardSet) -> NDArray[np.float32]:
    """Log-probabilities ``float32[n, 17, 33]`` of a card set."""
    flat = classifier.log_probs(cards.pixels.reshape(-1, IMAGE_SIDE, IMAGE_SIDE))
    return flat.reshape(-1, VIN_LENGTH, len(ALPHABET))


def card_outcomes(log_probs: NDArray[np.float32], cards: CardSet, decoder: Decoder) -> Outcomes:
    """Decode a card set for the fitting of a policy."""
    no_extra = np.zeros(len(cards.vins), np.int32)
    return outcomes(log_probs, cards.issues, no_extra, cards.vins, decoder)


def outcomes(
    log_probs: NDArray[np.float32],
    issues: NDArray[np.uint8],
    extra_boxes: NDArray[np.int32],
    vins: Sequence[str],
    decoder: Decoder,
) -> Outcomes:
    """Decode cards of known VINs for the fitting of a policy.

    Args:
        log_probs: ``float32[n, 17, 33]``.
        issues: ``uint8[n, 17]`` of ``BoxIssue``.
        extra_boxes: ``int32[n]``, images beyond the 17 positions.
        vins: ``n`` true VINs; empty where a card holds none.
        decoder: The VIN decoder.
    """
    eager = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=0.0)
    best, posterior = _decoded(log_probs, issues, decoder)
    verdicts = judge(vins, log_probs, issues, extra_boxes, eager, decoder)
    return Outcomes(
        posterior=posterior,
        correct=np.array([one == other for one, other in zip(best, vins, strict=True)], bool),
        acceptable=np.array([verdict.status is Status.ACCEPTED for verdict in verdicts], bool),
    )


def score_cards(
    log_probs: NDArray[np.float32], cards: CardSet, policy: DecisionPolicy, decoder: Decoder
) -> CardScore:
    """Judge a card set as production does and compare with the truth."""
    no_extra = np.zeros(len(cards.vins), np.int32)
    names = [f"{row:06d}" for row in range(len(cards.vins))]
    readings = judge(names, log_probs, cards.issues, no_extra, policy, decoder)
    _, posterior = _decoded(log_probs, cards.issues, decoder)
    return summarise(_with_pictures(readings, cards, posterior))


def _decoded(
    log_probs: NDArray[np.float32], issues: NDArray[np.uint8], decoder: Decoder
) -> tuple[list[str], Reals]:
    """Most probable VINs and their posteriors; boxes with an issue say nothing."""
    lost = (issues != BoxIssue.NONE)[:, :, None]
    decoded = decoder.decode(np.where(lost, np.float32(0), log_probs))
    return [decode(row) for row in decoded.best], decoded.posterior


def _with_pictures(readings: list[Reading], cards: CardSet, posterior: Reals) -> JudgedCards:
    shown = {
        row: cards.pixels[row].copy()
        for row, reading in enumerate(readings)
        if row < PICTURED_CARDS
        or (reading.status is Status.ACCEPTED and reading.vin != cards.vins[row])
    }
    return judged_from_readings(readings, cards.vins, posterior, shown)
