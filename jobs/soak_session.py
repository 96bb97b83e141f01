"""One session of the soak: the command line with an exact, cheap classifier for the network.

``python jobs/soak_session.py run ARCHIVE -o RUN_DIR ...`` takes what ``vin-batch`` takes. All
but the network is real. Its stand-in needs no TensorFlow, so that a session starts in a second.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch import cli
from vin_batch.classifier.base import Classifier
from vin_batch.classifier.model_card import ModelCard
from vin_batch.commands import _job
from vin_batch.preprocess import PREPROCESSING
from vin_batch.vin.alphabet import ALPHABET

PAUSE: Final = "VIN_BATCH_SOAK_PAUSE"
"""Seconds that the stand-in takes for a call, so that a session can be hit in the middle."""
WEIGHTS: Final = "weights.npy"
STEP: Final = 1 / 512
LARGEST: Final = 8
PIXELS: Final = 28 * 28


@dataclass(frozen=True, slots=True)
class StandIn:
    """A linear classifier in whole numbers: the same answer whatever the batch or machine.

    Attributes:
        card: Its card.
        weights: ``float64[784, 33]`` of whole numbers: sums stay below 2**53 and are exact.
        device: What receipts say.
    """

    card: ModelCard
    weights: NDArray[np.float64]
    device: str = "stand-in"

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See ``vin_batch.classifier.base.Classifier``."""
        time.sleep(float(os.environ.get(PAUSE, "0")))
        logits = pixels.reshape(len(pixels), -1) @ self.weights / 4096
        logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return (np.rint(np.maximum(logits, -20.0) / STEP) * STEP).astype(np.float32)


def open_stand_in(card: ModelCard, device: str) -> Classifier:
    """Load the stand-in's weights."""
    return StandIn(card, np.load(card.weights, allow_pickle=False))


def make_stand_in(directory: Path, seed: int) -> Path:
    """Write a model directory that passes every check a real one has to pass."""
    directory.mkdir(parents=True)
    weights = np.random.default_rng(seed).integers(
        -LARGEST, LARGEST, size=(PIXELS, len(ALPHABET)), endpoint=True
    )
    np.save(directory / WEIGHTS, weights.astype(np.float64))
    card = {
        "schema": 1,
        "name": "stand-in",
        "weights": WEIGHTS,
        "sha256": sha256((directory / WEIGHTS).read_bytes()).hexdigest(),
        "classes": ALPHABET,
        "preprocessing": PREPROCESSING,
        "temperature": 1.0,
        "policy": {"slope": 1.0, "intercept": 0.0, "accept_confidence": 0.5},
    }
    (directory / "model.json").write_text(json.dumps(card, indent=1), encoding="utf-8")
    return directory


if __name__ == "__main__":
    _job.open_real_classifier = open_stand_in
    sys.exit(cli.main(sys.argv[1:]))
