"""One network from several: the mean of their weights.

Where one training went on from another, the networks lie in one basin, and the mean of their
weights reads nearly as well as both together at the cost of one (Wortsman et al., "Robust
fine-tuning of zero-shot models", 2022). Networks that were not trained from each other must
not be averaged: measure the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from vin_batch.classifier.model_card import ModelCard
from vin_batch.errors import UsageError
from vin_batch.training.provenance import provenance
from vin_batch.training.publish import WEIGHTS_NAME, publish_weights


def average_models(first: ModelCard, second: ModelCard, share: float, out: Path) -> None:
    """Write a model whose weights are a mean of two models' (uncalibrated).

    Args:
        first: A model.
        second: Another one of the same network and classes.
        share: Weight of the second, 0 to 1.
        out: Model directory to write; must be neither of the two.

    Raises:
        UsageError: They do not fit together, or ``out`` is one of them.
    """
    if out.resolve() in {first.directory.resolve(), second.directory.resolve()}:
        raise UsageError(f"{out} is one of the models to average", "Name another directory.")
    if not 0 <= share <= 1:
        raise UsageError(f"a share is from 0 to 1, not {share}")
    networks = [keras.saving.load_model(card.weights, compile=False) for card in (first, second)]
    weights = [network.get_weights() for network in networks]
    if first.classes != second.classes or [part.shape for part in weights[0]] != [
        part.shape for part in weights[1]
    ]:
        raise UsageError(
            f"{first.directory} and {second.directory} are different networks",
            "Average a model with one that its training began with, or that began with it.",
        )
    mean = [(1 - share) * one + share * other for one, other in zip(*weights, strict=True)]
    networks[0].set_weights([np.asarray(part, np.float32) for part in mean])
    out.mkdir(parents=True, exist_ok=True)
    saved = out / f"unfinished-{WEIGHTS_NAME}"
    networks[0].save(saved)
    publish_weights(saved, out, first.classes, _record(first, second, share))
    saved.unlink()


def _record(first: ModelCard, second: ModelCard, share: float) -> dict[str, Any]:
    """How the model came about: what both trainings say, and the mean."""
    trained = second.details["training"]
    kept = ("parameters", "multiply_adds", "glyphs", "packs_sha256", "plan", "history")
    return {
        **{key: trained[key] for key in kept if key in trained},
        "provenance": provenance(),
        "averaged": [
            {"sha256": card.sha256, "share": part, "training": card.details["training"]}
            for card, part in ((first, 1 - share), (second, share))
        ],
    }
