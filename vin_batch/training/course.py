"""The whole course of a training: packs, network, calibration, measurement, model card."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from vin_batch.classifier.keras_classifier import open_classifier
from vin_batch.classifier.model_card import ModelCard, load_model_card, sha256_of
from vin_batch.classifier.tail import Tail
from vin_batch.errors import UsageError
from vin_batch.synthesis.scan import Level
from vin_batch.synthesis.vins import load_vins
from vin_batch.training.architectures import count_operations
from vin_batch.training.calibrate import Outcomes, fit_characters, fit_policy
from vin_batch.training.cards import draw_cards
from vin_batch.training.ensemble import ensemble
from vin_batch.training.fit import TrainingPlan, train_network
from vin_batch.training.fleet import MADE_UP_FLEET, Fleet, fleet_of
from vin_batch.training.held_out import held_out_bank, whole
from vin_batch.training.history import plot_history
from vin_batch.training.measure import (
    CardScore,
    CharacterScore,
    card_log_probs,
    card_outcomes,
    score_cards,
    score_characters,
)
from vin_batch.training.packs import GlyphPack, load_packs
from vin_batch.training.pool import build_bank, draw_pool
from vin_batch.training.provenance import provenance
from vin_batch.training.publish import WEIGHTS_NAME, publish_weights, update_card
from vin_batch.training.second_teacher import second_reader_teacher
from vin_batch.training.sources import TRAIN_FOLDER, training_rejects, training_sources
from vin_batch.vin.alphabet import ALPHABET
from vin_batch.vin.decoder import Decoder

LOGGER = logging.getLogger(__name__)

HISTORY_PLOT: Final = "history.png"
EVALUATE_FOLDER: Final = "evaluate"
CALIBRATION_SEED: Final = 31
MEASUREMENT_SEED: Final = 77
CARD_LEVELS: Final[tuple[Level, ...]] = ("scan", "hard")
BIAS_DIGITS: Final = 4
"""Decimals of a class bias that is stored."""
TEMPERATURE_IMAGES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Data:
    """The packs of a data folder, split.

    Attributes:
        training: Training parts.
        held_out: Held-out parts of the training packs, and the evaluation packs whole.
        digests: sha256 of every pack file, by path below the folder, and of the list of VINs.
        folder: Where they come from.
        fleet: VINs that drawn cards carry.
    """

    training: list[GlyphPack]
    held_out: list[GlyphPack]
    digests: dict[str, str]
    folder: Path
    fleet: Fleet = MADE_UP_FLEET


def load_data(folder: Path, alphabet: str, vins: Path | None = None) -> Data:
    """Load ``train/*.npz`` and, where there is one, ``evaluate/*.npz``.

    Args:
        folder: Where the packs are.
        alphabet: Classes to load.
        vins: List of VINs for drawn cards; without it they all show made-up models.

    Raises:
        UsageError: There is no training pack, or no list of enough VINs.
    """
    fleet = MADE_UP_FLEET if vins is None else fleet_of([each.vin for each in load_vins(vins)])
    packs = load_packs(folder / TRAIN_FOLDER, alphabet)
    evaluation = folder / EVALUATE_FOLDER
    extra = load_packs(evaluation, alphabet) if evaluation.is_dir() else []
    paths = sorted(folder.glob(f"{TRAIN_FOLDER}/*.npz")) + sorted(evaluation.glob("*.npz"))
    return Data(
        training=[pack.part(held_out=False) for pack in packs],
        held_out=[
            *(pack.part(held_out=True).without_leaks() for pack in packs),
            *(whole(pack).without_leaks() for pack in extra),
        ],
        digests={str(path.relative_to(folder)): sha256_of(path) for path in paths}
        | ({} if vins is None else {vins.name: sha256_of(vins)}),
        folder=folder,
        fleet=fleet,
    )


def train(
    data: Data,
    alphabet: str,
    plan: TrainingPlan,
    out: Path,
    work: Path,
    *,
    start: ModelCard | None = None,
    teachers: Sequence[ModelCard] = (),
    second_reader: bool = False,
) -> None:
    """Train a network and start its model directory (uncalibrated).

    Args:
        data: The packs.
        alphabet: Class order.
        plan: The training plan.
        out: Model directory.
        work: Folder for checkpoints and history.
        start: Model whose weights the training begins with; random ones when None.
        teachers: Models whose mean answer is learned beside the labels.
        second_reader: Whether the second reader teaches instead of ``teachers``.

    Raises:
        UsageError: The start or a teacher has other classes.
    """
    for other in (*((start,) if start else ()), *teachers):
        if other.classes != alphabet:
            raise UsageError(
                f"model {other.name} answers {len(other.classes)} classes, the training has "
                f"{len(alphabet)}",
                "Start with, and learn from, models of the same --alphabet.",
            )
    packs = training_sources(data.folder, data.training, alphabet, plan)
    bank = build_bank(packs, alphabet, rejects=training_rejects(data.folder, plan))
    weights = start.weights if start else None
    teacher = ensemble(teachers) if teachers else None
    if second_reader:
        teacher = second_reader_teacher(bank, len(alphabet), plan.seed, plan.workers)
    model, history = train_network(bank, len(alphabet), plan, work, weights, teacher=teacher)
    model.save(work / WEIGHTS_NAME)
    _plot(history, work)
    training = {
        "plan": asdict(plan),
        "history": history,
        "glyphs": {pack.name: len(pack.labels) for pack in packs},
        "packs_sha256": data.digests,
        **asdict(count_operations(model)),
        "provenance": provenance(),
        "started_from": {"sha256": start.sha256, **start.details["training"]} if start else None,
        "teachers": ["second reader"] if second_reader else [card.sha256 for card in teachers],
    }
    publish_weights(work / WEIGHTS_NAME, out, alphabet, training)


def _plot(history: list[dict[str, Any]], work: Path) -> None:
    try:
        plot_history(history, work / HISTORY_PLOT)
    except UsageError as error:
        LOGGER.warning("no plot of the history: %s", error)


def calibrate(out: Path, data: Data, cards: int, workers: int) -> None:
    """Fit the temperature and, where the model knows VINs, recalibration and threshold.

    Args:
        out: Model directory; its card is updated.
        data: The packs.
        cards: Cards drawn for each level.
        workers: Drawing processes.
    """
    card = load_model_card(out)
    bank = held_out_bank(data.held_out, card.classes, "calibration")
    pool = draw_pool(bank, TEMPERATURE_IMAGES, CALIBRATION_SEED, workers, faithful=True)
    unbiased = (0.0,) * len(card.classes)
    plain = open_classifier(replace(card, temperature=1.0, class_bias=unbiased, tail=Tail()))
    fitted = fit_characters(plain.log_probs(pool.images), pool.labels)
    LOGGER.info("temperature %.3f, %s", fitted.temperature, fitted.tail)
    update_card(
        out,
        temperature=fitted.temperature,
        class_bias=[round(float(bias), BIAS_DIGITS) for bias in fitted.class_bias],
        tail=fitted.tail,
    )
    if card.classes != ALPHABET:
        return
    classifier = open_classifier(load_model_card(out))
    decoder = Decoder()
    parts = []
    for fleet in data.fleet.names:
        vins = data.fleet.vins(fleet, "calibration", cards, CALIBRATION_SEED)
        for level in CARD_LEVELS:
            drawn = draw_cards(bank, vins, level, CALIBRATION_SEED, workers)
            parts.append(card_outcomes(card_log_probs(classifier, drawn), drawn, decoder))
    policy = fit_policy(_joined(parts))
    LOGGER.info("policy %s", policy)
    record = {**provenance(), "packs_sha256": data.digests, "cards_per_level": cards}
    update_card(out, policy=policy, calibrated=record)


def measure(
    out: Path, data: Data, cards: int, workers: int
) -> tuple[list[CharacterScore], dict[str, CardScore]]:
    """Measure a model on images and cards that it was neither trained nor calibrated on.

    Args:
        out: Model directory.
        data: The packs.
        cards: Cards drawn for each level; 0, or a model without the 33 VIN classes in their
            order, measures characters alone.
        workers: Drawing processes.

    Returns:
        Scores by source, and scores by level of the scan and fleet.
    """
    card = load_model_card(out)
    classifier = open_classifier(card)
    characters = [score_characters(classifier, pack) for pack in data.held_out if len(pack.labels)]
    if not cards or card.classes != ALPHABET:
        return characters, {}
    bank, decoder = held_out_bank(data.held_out, card.classes, "measurement"), Decoder()
    scores = {}
    for title, level, vins in measured_cards(data.fleet, cards, MEASUREMENT_SEED):
        drawn = draw_cards(bank, vins, level, MEASUREMENT_SEED, workers)
        log_probs = card_log_probs(classifier, drawn)
        scores[title] = score_cards(log_probs, drawn, card.policy, decoder)
    return characters, scores


def measured_cards(fleet: Fleet, cards: int, seed: int) -> Iterator[tuple[str, Level, list[str]]]:
    """What a measurement draws: every level of the first fleet, those of scans of the second.

    Args:
        fleet: Where the VINs come from.
        cards: Cards of each level.
        seed: The same seed gives the same VINs.

    Yields:
        Title for people, level, and the VINs.
    """
    first, *others = fleet.names
    levels: tuple[Level, ...] = ("clean", *CARD_LEVELS)
    vins = fleet.vins(first, "measurement", cards, seed)
    yield from ((level, level, vins) for level in levels)
    for other in others:
        vins = fleet.vins(other, "measurement", cards, seed)
        yield from ((f"{level}, {other}", level, vins) for level in CARD_LEVELS)


def metrics_json(characters: list[CharacterScore], cards: dict[str, CardScore]) -> dict[str, Any]:
    """What ``model.json`` keeps of a measurement."""
    return {
        "characters": {
            score.source: {
                "images": score.images,
                "accuracy": round(score.accuracy, 5),
                "issues": score.issues,
                "confusions": dict(score.confusions),
            }
            for score in characters
        },
        "cards": {level: score.as_json() for level, score in cards.items()},
    }


def _joined(parts: list[Outcomes]) -> Outcomes:
    return Outcomes(
        posterior=np.concatenate([part.posterior for part in parts]),
        correct=np.concatenate([part.correct for part in parts]),
        acceptable=np.concatenate([part.acceptable for part in parts]),
    )
