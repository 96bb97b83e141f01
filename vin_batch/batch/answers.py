"""Classifying in a worker: what was packed becomes log-probabilities, group by group."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.artefact import Artefact
from vin_batch.classifier.model_card import ModelCard
from vin_batch.errors import ModelError
from vin_batch.records import BoxIssue
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH

CARDS_PER_GROUP: Final = 64
"""Cards that a worker classifies at a time: 1,088 images, some tenths of a second."""
SAYS_NOTHING: Final = np.float32(-math.log(len(ALPHABET)))
"""Log-probability of every character in a box that nobody classified."""


class Network(Protocol):
    """What computes in a worker."""

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See ``Classifier.log_probs``."""
        ...


OpenNetwork = Callable[[Artefact], Network]
"""Loads an exported network, or gives the one that this process has; workers import it."""


@dataclass(frozen=True, slots=True)
class WorkerInference:
    """What a worker needs to know to classify.

    Attributes:
        artefact: The exported network.
        open_network: Loads it.
    """

    artefact: Artefact
    open_network: OpenNetwork


@dataclass(slots=True)
class Answers:
    """Classifies cards as they are packed, group by group.

    Args:
        network: What computes.
        pixels: ``uint8[n, 17, 28, 28]``, filled before a group is classified.
        issues: ``uint8[n, 17]`` of ``BoxIssue``, likewise.

    Attributes:
        log_probs: ``float32[n, 17, 33]``; boxes with an issue say nothing.
        seconds: Time that the network took.
    """

    network: Network
    pixels: NDArray[np.uint8]
    issues: NDArray[np.uint8]
    log_probs: NDArray[np.float32] = field(init=False)
    seconds: float = 0.0
    _done: int = 0

    def __post_init__(self) -> None:
        self.log_probs = silence(len(self.pixels))

    def is_due(self, rows: int) -> bool:
        """Whether a whole group waits, now that so many rows are packed."""
        return rows - self._done >= CARDS_PER_GROUP

    def classify(self, rows: int) -> None:
        """Classify the cards packed since the last time.

        Raises:
            ModelError: The network's answer has a wrong shape or is not a number.
        """
        began = time.perf_counter()
        part = slice(self._done, rows)
        read = self.issues[part] == BoxIssue.NONE
        if read.any():
            flat = self.network.log_probs(self.pixels[part][read])
            if flat.shape != (read.sum(), len(ALPHABET)) or not np.isfinite(flat.sum()):
                raise ModelError(
                    f"the network gave {flat.shape} answers, or numbers that are none",
                    "Evaluate the model, or give --inference tensorflow.",
                )
            self.log_probs[part][read] = flat
        self._done = rows
        self.seconds += time.perf_counter() - began


def silence(cards: int) -> NDArray[np.float32]:
    """Log-probabilities ``float32[cards, 17, 33]`` of boxes that nobody classified."""
    return np.full((cards, VIN_LENGTH, len(ALPHABET)), SAYS_NOTHING, np.float32)


@dataclass(frozen=True, slots=True)
class ClassifyingWorkers:
    """Stands where a classifier would in the main process, when the workers hold theirs.

    Attributes:
        card: See ``Classifier``.
        device: See ``Classifier``.
    """

    card: ModelCard
    device: str = "cpu"

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Never asked: packs come with their log-probabilities."""
        raise AssertionError(f"{len(pixels)} images reached the main process unclassified")
