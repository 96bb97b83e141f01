"""The whole course of a training: packs, network, calibration, measurement, model card."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from vin_batch.classifier.base import Classifier
from vin_batch.classifier.keras_classifier import open_classifier
from vin_batch.classifier.model_card import ModelCard, load_model_card, sha256_of
from vin_batch.classifier.tail import Tail
from vin_batch.errors import UsageError
from vin_batch.records import DecisionPolicy
from vin_batch.synthesis.scan import Level
from vin_batch.synthesis.vins import random_vin
from vin_batch.training.calibrate import Outcomes, fit_characters, fit_policy
from vin_batch.training.cards import draw_cards
from vin_batch.training.fit import TrainingPlan, train_network
from vin_batch.training.measure import (
    CardScore,
    CharacterScore,
    card_log_probs,
    card_outcomes,
    score_cards,
    score_characters,
)
from vin_batch.training.packs import GlyphPack, load_packs
from vin_batch.training.pool import SOURCE_WEIGHTS, GlyphBank, build_bank, draw_pool
from vin_batch.training.publish import WEIGHTS_NAME, publish_weights, update_card
from vin_batch.training.typeface_pack import typeface_pack
from vin_batch.vin.alphabet import ALPHABET
from vin_batch.vin.decoder import Decoder

LOGGER = logging.getLogger(__name__)

TRAIN_FOLDER: Final = "train"
EVALUATE_FOLDER: Final = "evaluate"
FRAMED_PACKS: Final = ("table_cells",)
"""Packs whose images show a printed frame: they measure characters, but their glyphs cannot
be drawn into another box."""
UNSEEN_SOURCES: Final = {"letter_cards": 4.0}
"""Pens on paper of which not even the source was trained on: they are the nearest thing to
the cards that will come, and count the more in calibration."""
CALIBRATION_SEED: Final = 31
MEASUREMENT_SEED: Final = 77
CARD_LEVELS: Final[tuple[Level, ...]] = ("scan", "hard")
TEMPERATURE_IMAGES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Data:
    """The packs of a data folder, split.

    Attributes:
        training: Training parts.
        held_out: Held-out parts of the training packs, and the evaluation packs whole.
        digests: sha256 of every pack file, by path below the folder.
    """

    training: list[GlyphPack]
    held_out: list[GlyphPack]
    digests: dict[str, str]


def load_data(folder: Path, alphabet: str) -> Data:
    """Load ``train/*.npz`` and, where there is one, ``evaluate/*.npz``.

    Raises:
        UsageError: There is no training pack.
    """
    packs = load_packs(folder / TRAIN_FOLDER, alphabet)
    evaluation = folder / EVALUATE_FOLDER
    extra = load_packs(evaluation, alphabet) if evaluation.is_dir() else []
    whole = [replace(pack, held_out=np.ones(len(pack.labels), bool)) for pack in extra]
    paths = sorted(folder.glob(f"{TRAIN_FOLDER}/*.npz")) + sorted(evaluation.glob("*.npz"))
    return Data(
        training=[pack.part(held_out=False) for pack in packs],
        held_out=[*(pack.part(held_out=True) for pack in packs), *whole],
        digests={str(path.relative_to(folder)): sha256_of(path) for path in paths},
    )


def train(
    data: Data,
    alphabet: str,
    plan: TrainingPlan,
    out: Path,
    work: Path,
    *,
    start: ModelCard | None = None,
) -> None:
    """Train a network and start its model directory (uncalibrated).

    Args:
        data: The packs.
        alphabet: Class order.
        plan: The training plan.
        out: Model directory.
        work: Folder for checkpoints and history.
        start: Model whose weights the training begins with; random ones when None.

    Raises:
        UsageError: The start has other classes.
    """
    if start and start.classes != alphabet:
        raise UsageError(
            f"model {start.name} answers {len(start.classes)} classes, the training has "
            f"{len(alphabet)}",
            "Start with a model of the same --alphabet.",
        )
    packs = [*data.training, typeface_pack(alphabet, plan.seed)]
    bank = build_bank(packs, alphabet)
    weights = start.weights if start else None
    model, history = train_network(bank, len(alphabet), plan, work, weights)
    model.save(work / WEIGHTS_NAME)
    training = {
        "plan": asdict(plan),
        "history": history,
        "glyphs": {pack.name: len(pack.labels) for pack in packs},
        "packs_sha256": data.digests,
        "parameters": int(model.count_params()),
        "started_from": {"sha256": start.sha256, **start.details["training"]} if start else None,
    }
    publish_weights(work / WEIGHTS_NAME, out, alphabet, training)


def held_out_bank(data: Data, alphabet: str) -> GlyphBank:
    """Glyphs that were never trained on, for whole cards.

    Raises:
        UsageError: A class has none; see ``require_held_out``.
    """
    require_held_out(data, alphabet)
    return build_bank(_drawable(data), alphabet, {**SOURCE_WEIGHTS, **UNSEEN_SOURCES})


def require_held_out(data: Data, alphabet: str) -> None:
    """Refuse data that could train a model but never calibrate it.

    Raises:
        UsageError: A character of the alphabet has no held-out image.
    """
    present = {str(label) for pack in _drawable(data) for label in np.unique(pack.labels)}
    if missing := [character for character in alphabet if character not in present]:
        raise UsageError(
            f"no held-out image of {' '.join(missing)}",
            "Calibration needs every class from people who are not trained on: add packs with "
            "these characters (a tenth of each is held out), or an evaluate/ pack.",
        )


def _drawable(data: Data) -> list[GlyphPack]:
    return [
        pack.without_label_errors()
        for pack in data.held_out
        if pack.name not in FRAMED_PACKS and len(pack.labels)
    ]


def calibrate(out: Path, data: Data, cards: int, workers: int) -> None:
    """Fit the temperature and, where the model knows VINs, recalibration and threshold.

    Args:
        out: Model directory; its card is updated.
        data: The packs.
        cards: Cards drawn for each level.
        workers: Drawing processes.
    """
    card = load_model_card(out)
    bank = held_out_bank(data, card.classes)
    pool = draw_pool(bank, TEMPERATURE_IMAGES, CALIBRATION_SEED, workers)
    plain = open_classifier(replace(card, temperature=1.0, tail=Tail()))
    temperature, tail = fit_characters(plain.log_probs(pool.images), pool.labels)
    LOGGER.info("temperature %.3f, %s", temperature, tail)
    update_card(out, temperature=temperature, tail=tail)
    if card.classes != ALPHABET:
        return
    classifier = open_classifier(load_model_card(out))
    decoder = Decoder()
    parts = []
    for level in CARD_LEVELS:
        drawn = draw_cards(bank, _vins(cards, CALIBRATION_SEED), level, CALIBRATION_SEED, workers)
        parts.append(card_outcomes(card_log_probs(classifier, drawn), drawn, decoder))
    policy = fit_policy(_joined(parts))
    LOGGER.info("policy %s", policy)
    update_card(out, policy=policy)


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
        Scores by source, and scores by level of the scan.
    """
    card = load_model_card(out)
    classifier = open_classifier(card)
    characters = [score_characters(classifier, pack) for pack in data.held_out if len(pack.labels)]
    if not cards or card.classes != ALPHABET:
        return characters, {}
    bank, decoder = held_out_bank(data, card.classes), Decoder()
    levels: tuple[Level, ...] = ("clean", *CARD_LEVELS)
    return characters, {
        level: _measure_level(classifier, bank, card.policy, decoder, (level, cards, workers))
        for level in levels
    }


def _measure_level(
    classifier: Classifier,
    bank: GlyphBank,
    policy: DecisionPolicy,
    decoder: Decoder,
    order: tuple[Level, int, int],
) -> CardScore:
    level, cards, workers = order
    drawn = draw_cards(bank, _vins(cards, MEASUREMENT_SEED), level, MEASUREMENT_SEED, workers)
    return score_cards(card_log_probs(classifier, drawn), drawn, policy, decoder)


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


def _vins(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng([seed, 3])
    return [random_vin(rng).vin for _ in range(count)]


def _joined(parts: list[Outcomes]) -> Outcomes:
    return Outcomes(
        posterior=np.concatenate([part.posterior for part in parts]),
        correct=np.concatenate([part.correct for part in parts]),
        acceptable=np.concatenate([part.acceptable for part in parts]),
    )
