"""The whole evaluation of a model: characters, cards, rejects, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vin_batch.classifier.keras_classifier import open_classifier
from vin_batch.classifier.model_card import ModelCard, load_model_card
from vin_batch.training import course, rejects
from vin_batch.training.cost import Cost, measure_cost
from vin_batch.training.curves import RISKS
from vin_batch.training.judged import CardScore, JudgedCards
from vin_batch.training.measure import CharacterScore
from vin_batch.training.rejects import RejectScore, reject_crops, reject_table, score_rejects
from vin_batch.training.tables import (
    classes_json,
    curves_json,
    measurement_text,
    pooled_calibration_error,
    positions_json,
    worst_confusions,
)
from vin_batch.vin.alphabet import ALPHABET


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured.

    Attributes:
        card: The model.
        characters: Scores by source.
        cards: Scores by level of the scan.
        rejects: Scores by kind; empty for models that are no VIN readers.
        cost: Size and speed.
    """

    card: ModelCard
    characters: list[CharacterScore]
    cards: dict[str, CardScore]
    rejects: list[RejectScore]
    cost: Cost

    def text(self) -> str:
        """All tables."""
        parts = [
            f"model {self.card.model_id}",
            measurement_text(self.characters, self.cards),
            reject_table(self.rejects) if self.rejects else "",
            self.cost.text(),
        ]
        return "\n\n".join(part for part in parts if part)

    def metrics(self) -> dict[str, Any]:
        """What ``model.json`` keeps."""
        return {
            **course.metrics_json(self.characters, self.cards),
            "rejects": {score.kind: score.as_json() for score in self.rejects},
        }

    def as_json(self) -> dict[str, Any]:
        """Plain values: what ``model.json`` keeps, and all that is too long for it."""
        return {
            "model": self.card.model_id,
            **self.metrics(),
            "character_calibration_error": pooled_calibration_error(self.characters),
            "classes": classes_json(self.characters),
            "worst_confusions": worst_confusions(self.characters),
            "curves": _by_level(self.cards, curves_json),
            "positions": _by_level(self.cards, positions_json),
            "risks": list(RISKS),
            "cost": self.cost.as_json(),
        }


def evaluate_model(directory: Path, data: course.Data, drawn: int, workers: int) -> Evaluation:
    """Measure a model on what it was neither trained nor calibrated on.

    Args:
        directory: The model directory.
        data: The packs.
        drawn: Cards drawn for each level; 0 for none.
        workers: Drawing processes.
    """
    characters, cards = course.measure(directory, data, drawn, workers)
    classifier = open_classifier(load_model_card(directory))
    refused = []
    if classifier.card.classes == ALPHABET:
        crops = reject_crops(data.folder, data.held_out, rejects.CROPS)
        refused = [score_rejects(classifier, kind, shown) for kind, shown in crops.items()]
    return Evaluation(classifier.card, characters, cards, refused, measure_cost(classifier))


def _by_level(
    cards: dict[str, CardScore], tell: Callable[[JudgedCards], object]
) -> dict[str, object]:
    return {level: tell(score.judged) for level, score in cards.items() if score.judged}
