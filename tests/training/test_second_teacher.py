"""The second reader as a teacher."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vin_batch.second_reader.canvas import EMPTY
from vin_batch.second_reader.shape import HEIGHT, WIDTH
from vin_batch.training.second_teacher import calibrated_teacher

CLASSES = 3


class HeightOfInk:
    """Scores a canvas by the rows in which it finds ink: top, middle, bottom."""

    def __init__(self) -> None:
        self.seen: list[NDArray[np.uint8]] = []

    def scores(self, canvases: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen.append(canvases)
        dark = (canvases < EMPTY - 40).reshape(len(canvases), 3, HEIGHT // 3, WIDTH)
        return np.asarray(np.log(dark.sum(axis=(2, 3)) + 1), np.float32)


def bars(labels: NDArray[np.int16]) -> NDArray[np.uint8]:
    images = np.zeros((len(labels), 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 + 9 * label : 7 + 9 * label, 4:24] = 255
    return images


def test_a_teacher_answers_with_probabilities_that_labels_gave_its_scores() -> None:
    labels = np.arange(90).astype(np.int16) % CLASSES
    recogniser = HeightOfInk()
    teach = calibrated_teacher(recogniser, bars(labels), labels, CLASSES)
    shown = np.array([2, 0, 1, 1], np.int16)
    taught = teach(bars(shown))
    assert taught.shape == (4, CLASSES)
    assert taught.dtype == np.float32
    assert taught.sum(axis=1) == pytest.approx(1, abs=1e-3)
    assert taught.argmax(axis=1).tolist() == shown.tolist()
    assert taught.max(axis=1).min() > 0.6
    assert recogniser.seen[-1].shape == (4, HEIGHT, WIDTH)
    assert (recogniser.seen[-1][:, 0, 0] > EMPTY).all(), "dark ink on light paper"
