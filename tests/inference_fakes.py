"""Models with a network for the workers, and networks that workers can open."""

from __future__ import annotations

import os
import signal
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from batch_fakes import FakeClassifier, make_model
from vin_batch.classifier.artefact import Artefact, read_artefact
from vin_batch.preprocess import PREPROCESSING

WEIGHTS = b"weights"
NETWORK = b"network"


def make_exported_model(directory: Path, network: bytes = NETWORK) -> Path:
    """A model directory with an exported network."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "network.tflite").write_bytes(network)
    entry = {
        "file": "network.tflite",
        "sha256": sha256(network).hexdigest(),
        "network_sha256": sha256(WEIGHTS).hexdigest(),
    }
    return make_model(directory, WEIGHTS, engines={"litert": entry}, preprocessing=PREPROCESSING)


class FakeNetwork(FakeClassifier):
    """Computes what the fake classifier does; dies of a whole group when its file says so."""

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert "tensorflow" not in sys.modules, "a worker imported TensorFlow"
        return super().log_probs(pixels)


def open_fake_network(artefact: Artefact) -> FakeNetwork:
    data = read_artefact(artefact)
    if data == b"deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    return FakeNetwork(card=None)  # type: ignore[arg-type]


def open_swapped(artefact: Artefact) -> FakeNetwork:
    """The file becomes another one after the main process looked at it."""
    artefact.path.write_bytes(b"another")
    return open_fake_network(artefact)


def open_senseless(artefact: Artefact) -> FakeNetwork:
    """Its answers are no numbers."""
    network = open_fake_network(artefact)
    network.weights = network.weights * np.nan
    return network
