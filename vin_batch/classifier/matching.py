"""What a model and this version of the package must have in common."""

from __future__ import annotations

from vin_batch.classifier.model_card import ModelCard
from vin_batch.errors import ModelError


def require_preprocessing(card: ModelCard) -> None:
    """Refuse a model that was trained through another preprocessing.

    Raises:
        ModelError: It was.
    """
    from vin_batch.preprocess import PREPROCESSING  # noqa: PLC0415 - loads OpenCV

    if card.preprocessing != PREPROCESSING:
        raise ModelError(
            f"model {card.name} was trained through another preprocessing: "
            f"{card.preprocessing} instead of {PREPROCESSING}",
            "Retrain it with this version, or use the version that made it.",
        )
