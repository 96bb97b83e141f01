"""The course of fitting a second reader: draw cards, look, fit both readers, measure."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.base import Classifier
from vin_batch.classifier.keras_classifier import open_classifier
from vin_batch.classifier.model_card import load_model_card, require_vin_classes, sha256_of
from vin_batch.records import DecisionPolicy, Status
from vin_batch.second_reader.evidence import Calibration, Fusion, fuse, second_log_probs
from vin_batch.second_reader.parameters import parameters_json, save_parameters
from vin_batch.second_reader.recogniser import (
    PACKAGE,
    find_recogniser,
    package_version,
)
from vin_batch.synthesis.scan import Level
from vin_batch.training.calibrate import Outcomes, Settled, fit_policy
from vin_batch.training.cards import choose_glyphs
from vin_batch.training.course import CARD_LEVELS, Data, measured_cards
from vin_batch.training.held_out import held_out_bank
from vin_batch.training.measure import card_log_probs, card_outcomes
from vin_batch.training.pool import GlyphBank
from vin_batch.training.provenance import provenance
from vin_batch.training.second_cards import draw_for_both, read_canvases
from vin_batch.training.second_fit import (
    Boxes,
    fit_calibration,
    fit_fusion,
    other_glyphs_log_probs,
)
from vin_batch.training.second_measure import (
    EVERY,
    LookedCards,
    SecondScore,
    box_score,
    score_second,
)
from vin_batch.vin.alphabet import ALPHABET
from vin_batch.vin.decoder import Decoder
from vin_batch.vin.verdict import judge

LOGGER = logging.getLogger(__name__)

CALIBRATION_SEED: Final = 53
MEASUREMENT_SEED: Final = 97
"""Other cards than those that the first reader's threshold was chosen on."""
MEASURED_SHARE: Final = 0.5
"""Cards for the measurement over those for the fitting."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What looks at drawn cards.

    Attributes:
        classifier: The first reader.
        weights: The recogniser's file.
        weights_sha256: Its digest.
        decoder: The VIN decoder.
        workers: Processes that draw and look.
    """

    classifier: Classifier
    weights: Path
    weights_sha256: str
    decoder: Decoder
    workers: int


def train_second_reader(out: Path, data: Data, cards: int, workers: int) -> dict[str, SecondScore]:
    """Calibrate the installed second reader beside a model, and measure both together.

    Args:
        out: Model directory; ``second_reader.json`` is written there.
        data: The packs; their held-out halves are used.
        cards: Cards drawn for each level for the fitting; half as many measure it.
        workers: Processes that draw and look.

    Returns:
        What was measured, by level.

    Raises:
        ModelError: The extra is not installed, or the model is no model of VINs.
        UsageError: A character has no held-out image.
    """
    began = time.perf_counter()
    card = load_model_card(out)
    require_vin_classes(card)
    weights = find_recogniser()
    digest = sha256_of(weights)
    bench = Bench(open_classifier(card), weights, digest, Decoder(), workers)
    bank = held_out_bank(data.held_out, ALPHABET, "calibration")
    # Both fleets share the cards: the threshold is the same for them.
    share = -(-cards // len(data.fleet.names))
    looked = [
        _look(bench, bank, level, vins, CALIBRATION_SEED + place)
        for place, fleet in enumerate(data.fleet.names)
        for vins in [data.fleet.vins(fleet, "calibration", share, CALIBRATION_SEED)]
        for level in CARD_LEVELS
    ]
    LOGGER.info("looked at %d cards", sum(len(part.rows) for part in looked))
    calibration, fusion, policies = _fit(bench, looked)
    document = parameters_json(card, (weights.stem, digest), calibration, fusion, policies)
    bank = held_out_bank(data.held_out, ALPHABET, "measurement")
    measured = max(1, int(MEASURED_SHARE * cards))
    scores: dict[str, SecondScore] = {}
    for title, level, vins in measured_cards(data.fleet, measured, MEASUREMENT_SEED):
        part = _look(bench, bank, level, vins, MEASUREMENT_SEED)
        scores[title] = _score(bench, part, calibration, fusion, policies)
    document |= {
        "package": f"{PACKAGE} {package_version()}",
        "packs_sha256": data.digests,
        "cards_per_level": cards,
        "seconds": round(time.perf_counter() - began, 1),
        "provenance": provenance(),
        "metrics": {level: score.as_json() for level, score in scores.items()},
    }
    save_parameters(out, document)
    return scores


def _fit(
    bench: Bench, looked: list[LookedCards]
) -> tuple[Calibration, Fusion, dict[str, DecisionPolicy]]:
    parts, seen = zip(*(part.boxes() for part in looked), strict=True)
    boxes = Boxes(*(
        np.concatenate([getattr(part, name) for part in parts]) for name in Boxes.__slots__
    ))  # fmt: skip
    second = other_glyphs_log_probs(boxes)
    fusion = fit_fusion(boxes.first, second, boxes.truth)
    LOGGER.info("fusion: agreeing %s, differing %s", fusion.agreeing, fusion.differing)
    review, every = [], []
    start = 0
    for part, where in zip(looked, seen, strict=True):
        count = int(where.sum())
        fused = part.first[part.rows].copy()
        fused[where] = fuse(fused[where], second[start : start + count], fusion)
        start += count
        review.append(_outcomes(bench, part, fused, part.doubted))
        every.append(review[-1])
        sampled = part.drawn_evenly & ~part.doubted
        every += [_outcomes(bench, part, fused, sampled)] * EVERY
    calibration = fit_calibration(boxes.scores, boxes.truth, len(ALPHABET))
    first = bench.classifier.card.policy
    policies = {
        "review": as_sure_as(first, fit_policy(_joined(review), settled_by_first(looked))),
        "all": as_sure_as(first, fit_policy(_joined(every))),
    }
    for mode, policy in policies.items():
        LOGGER.info("%s: %s", mode, policy)
    return calibration, fusion, policies


def settled_by_first(looked: list[LookedCards]) -> Settled:
    """The cards that need no second look: with those of the second they must be pure."""
    right = [
        reading.vin == vin
        for part in looked
        for reading, vin in zip(part.readings, part.cards.vins, strict=True)
        if reading.status is Status.ACCEPTED
    ]
    return Settled(accepted=len(right), wrong=right.count(False))


def as_sure_as(first: DecisionPolicy, second: DecisionPolicy) -> DecisionPolicy:
    """The second policy, accepting nothing that is less sure than the first would accept.

    Both confidences are calibrated probabilities, and the first threshold was seen on more
    cards: a second look must not be the easier way to be accepted.
    """
    threshold = max(first.accept_confidence, second.accept_confidence)
    return replace(second, accept_confidence=threshold)


def _score(
    bench: Bench,
    part: LookedCards,
    calibration: Calibration,
    fusion: Fusion,
    policies: dict[str, DecisionPolicy],
) -> SecondScore:
    boxes, where = part.boxes()
    second = second_log_probs(boxes.scores, calibration)
    fused = part.first[part.rows].copy()
    fused[where] = fuse(boxes.first, second, fusion)
    scored = score_second(part, fused, policies, bench.decoder)
    doubted = np.broadcast_to(part.doubted[:, None], where.shape)[where]
    readers = (boxes.first, second, fused[where])
    return replace(scored, boxes=tuple(
        box_score(log_probs[doubted], boxes.truth[doubted]) for log_probs in readers
    ))  # fmt: skip


def _look(bench: Bench, bank: GlyphBank, level: Level, vins: list[str], seed: int) -> LookedCards:
    """Draw cards and let the second reader see the doubted ones and a sample of the others."""
    count = len(vins)
    picks = choose_glyphs(bank, vins, seed)
    cards, canvases = draw_for_both(bank, picks, vins, level, (seed, bench.workers))
    first = card_log_probs(bench.classifier, cards)
    names = [str(row) for row in range(count)]
    none = np.zeros(count, np.int32)
    policy = bench.classifier.card.policy
    readings = judge(names, first, cards.issues, none, policy, bench.decoder)
    accepted = np.array([reading.status is Status.ACCEPTED for reading in readings], bool)
    review = np.array([reading.status is Status.REVIEW for reading in readings], bool)
    rows = np.flatnonzero(review | (accepted & (np.arange(count) % EVERY == 0)))
    file = (bench.weights, bench.weights_sha256)
    scores, seconds = read_canvases(canvases[rows], file, bench.workers)
    return LookedCards(cards, first, tuple(readings), rows, scores, picks[rows], seconds)


def _outcomes(
    bench: Bench, part: LookedCards, fused: NDArray[np.float32], chosen: NDArray[np.bool_]
) -> Outcomes:
    return card_outcomes(fused[chosen], part.subset(chosen), bench.decoder)


def _joined(parts: list[Outcomes]) -> Outcomes:
    names = Outcomes.__slots__
    return replace(
        parts[0], **{n: np.concatenate([getattr(part, n) for part in parts]) for n in names}
    )
