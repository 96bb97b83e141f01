"""A real model that is made in a second: one linear layer, fitted to drawn characters.

It reads what the packaged typefaces draw, so tests can expect answers and not only formats.
Importing this module is cheap; making a model imports TensorFlow.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.records import BoxIssue
from vin_batch.synthesis.scan import ScanStyle, scan_box
from vin_batch.synthesis.typefaces import families
from vin_batch.synthesis.writer import BoxShape, Writer
from vin_batch.vin.alphabet import ALPHABET

if TYPE_CHECKING:
    import keras

Grey = NDArray[np.uint8]
HANDS = 3
"""Hands of every typeface that the model is fitted to."""
RIDGE = 10.0
GAIN = 12.0
"""Logits of a target; makes answers about as sure as they are right."""


def drawn_box(character: str, seed: int = 0, family: str | None = None) -> Grey:
    """A clean crop of one character."""
    rng = np.random.default_rng([seed, ord(character)])
    hand = replace(Writer.random("clean", rng), habits=())
    hand = replace(hand, family=family) if family else hand
    paper = replace(ScanStyle.random("clean", rng), line_share=0.0)
    return scan_box(hand.draw(character, BoxShape(64, 56), rng), paper, rng)


def write_box(path: Path, character: str, seed: int = 0) -> Path:
    """Save such a crop in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix, drawn_box(character, seed))
    assert done
    path.write_bytes(data.tobytes())
    return path


def samples(alphabet: str, hands: int = HANDS) -> tuple[Grey, NDArray[np.int64]]:
    """Preprocessed characters of every typeface, and their classes."""
    images, labels = [], []
    for number, family in enumerate(families()):
        for hand in range(hands):
            for label, character in enumerate(alphabet):
                crop = drawn_box(character, 1000 + 10 * number + hand, family)
                image, issue = preprocess_image(crop)
                if issue is BoxIssue.NONE:
                    images.append(image)
                    labels.append(label)
    return np.stack(images), np.array(labels)


def make_tiny_model(directory: Path, alphabet: str = ALPHABET) -> Path:
    """Fit, save and publish; the directory is a model directory."""
    import keras

    images, labels = samples(alphabet)
    flat = images.reshape(len(images), -1) / 255.0
    x = np.column_stack([flat, np.ones(len(flat))])
    targets = np.eye(len(alphabet))[labels]
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ targets) * GAIN
    model = keras.Sequential(
        [
            keras.Input((IMAGE_SIDE, IMAGE_SIDE, 1), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(len(alphabet)),
        ]
    )
    model.set_weights([weights[:-1], weights[-1]])
    return publish(model, directory, alphabet)


def publish(model: keras.Model, directory: Path, alphabet: str) -> Path:
    """Save a Keras model as a model directory."""
    from vin_batch.training.publish import publish_weights

    file = directory.parent / f"{directory.name}.keras"
    model.save(file)
    publish_weights(file, directory, alphabet, {"parameters": int(model.count_params())})
    file.unlink()
    return directory
