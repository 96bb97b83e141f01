"""A second reader without its extra, for tests: parameters, and a recogniser of pixel sums."""

from __future__ import annotations

import os
import signal
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vin_batch.batch.second_opinion import SecondReader
from vin_batch.classifier.model_card import ModelCard, load_model_card
from vin_batch.errors import ModelError
from vin_batch.records import DecisionPolicy
from vin_batch.second_reader.evidence import Calibration, Fusion, Weights
from vin_batch.second_reader.parameters import (
    MODES,
    load_parameters,
    parameters_json,
    save_parameters,
)
from vin_batch.second_reader.recogniser import SYMBOLS
from vin_batch.vin.alphabet import ALPHABET

POLICY = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=0.99)
TAKEN_FOR = {"I": "1", "l": "1", "i": "1", "O": "0", "o": "0", "Q": "0", "q": "9"}
"""What a symbol that no VIN has stands for, besides lower case."""
WEIGHTS = b"weights of the second reader"
DEADLY = "VIN_BATCH_TEST_DEADLY_LOOK"
"""Names a file that is made by the first recogniser that is opened, which then dies."""
DEADLY_CANVASES = "VIN_BATCH_TEST_DEADLY_CANVASES"
"""SHA-256 of canvases, in hexadecimal, that no recogniser survives."""


def plain_calibration() -> Calibration:
    """A character's logit is the mean score of the symbols that look like it."""
    coefficients = np.zeros((len(SYMBOLS), len(ALPHABET)))
    for row, symbol in enumerate(SYMBOLS):
        character = TAKEN_FOR.get(symbol, symbol.upper())
        coefficients[row, ALPHABET.index(character)] = 1.0
    return Calibration(coefficients / coefficients.sum(axis=0), np.zeros(len(ALPHABET)))


def plain_fusion() -> Fusion:
    return Fusion(Weights(0.8, 0.3), Weights(0.6, 0.4), np.zeros(len(ALPHABET)))


def write_parameters(model: Path, weights_sha256: str) -> Path:
    """Plain parameters beside a model."""
    document = parameters_json(
        load_model_card(model),
        ("fake recogniser", weights_sha256),
        plain_calibration(),
        plain_fusion(),
        dict.fromkeys(MODES, POLICY),
    )
    return save_parameters(model, document)


class FakeRecogniser:
    """Answers depend on the pixels alone."""

    def scores(self, canvases: NDArray[np.uint8]) -> NDArray[np.float32]:
        deadly = os.environ.get(DEADLY_CANVASES, "").split()
        if deadly and any(sha256(canvas.tobytes()).hexdigest() in deadly for canvas in canvases):
            os.kill(os.getpid(), signal.SIGKILL)
        sums = canvases.reshape(len(canvases), -1).astype(np.int64).sum(axis=1)
        symbols = np.arange(1, len(SYMBOLS) + 1)
        scores: NDArray[np.float32] = (-((sums[:, None] * symbols) % 97) / 8).astype(np.float32)
        return scores


def open_fake(weights: Path, sha256: str) -> FakeRecogniser:
    """Importable by workers; the first call dies where the environment says so."""
    mark = os.environ.get(DEADLY)
    if mark and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return FakeRecogniser()


def load_fake(card: ModelCard) -> SecondReader:
    """What ``load_second_reader`` does, without the extra."""
    path = card.directory / "recogniser.bin"
    parameters = load_parameters(card)
    if sha256(path.read_bytes()).hexdigest() != parameters.weights_sha256:
        raise ModelError("other weights")
    return SecondReader(parameters, path, open_fake, "fake 1.0")


def add_second_reader(model: Path) -> Path:
    """Give a model directory of ``batch_fakes.make_model`` a second reader; the directory."""
    (model / "recogniser.bin").write_bytes(WEIGHTS)
    write_parameters(model, sha256(WEIGHTS).hexdigest())
    return model
