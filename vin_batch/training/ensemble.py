"""Several recognisers as one teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.keras_classifier import open_classifier
from vin_batch.classifier.model_card import ModelCard
from vin_batch.training.batches import Teacher


def ensemble(cards: Sequence[ModelCard]) -> Teacher:
    """The mean of several models' calibrated probabilities.

    Args:
        cards: Models of the same classes, at least one.

    Returns:
        A function from ``uint8[n, 28, 28]`` to ``float32[n, classes]``.
    """
    classifiers = [open_classifier(card) for card in cards]

    def teach(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers = [np.exp(classifier.log_probs(images)) for classifier in classifiers]
        return np.asarray(np.mean(answers, axis=0, dtype=np.float64), np.float32)

    return teach
