"""What the job needs of a classifier, whatever engine computes it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.model_card import ModelCard


class Classifier(Protocol):
    """Turns pixels into calibrated log-probabilities."""

    @property
    def card(self) -> ModelCard:
        """The card of the loaded model."""
        ...

    @property
    def device(self) -> str:
        """The device in words, for receipts."""
        ...

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify box images.

        Args:
            pixels: ``uint8[m, 28, 28]``, light ink on black.

        Returns:
            ``float32[m, classes]`` of calibrated log-probabilities. A row depends on its own
            image only, not on its neighbours in the batch.
        """
        ...
