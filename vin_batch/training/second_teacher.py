"""The second reader as a teacher: its opinion of the images that a training shows."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.model_card import sha256_of
from vin_batch.second_reader.canvas import canvas_from_crop
from vin_batch.second_reader.evidence import second_log_probs
from vin_batch.second_reader.recogniser import Recogniser, find_recogniser, open_recogniser
from vin_batch.training.batches import Teacher
from vin_batch.training.pool import REJECT, GlyphBank, draw_pool
from vin_batch.training.second_fit import fit_calibration

SAMPLE_IMAGES: Final = 12_000
"""Images that what its scores mean is fitted to."""
SAMPLE_SEED: Final = -2
"""Added to a training's seed for the sample, which no pool shows."""


def second_reader_teacher(bank: GlyphBank, classes: int, seed: int, workers: int) -> Teacher:
    """Open the second reader and find out what its scores mean on preprocessed images.

    It sees what the network sees, not the raw crops that it reads in production: what is to
    be learned from it must be in the image.

    Args:
        bank: Training glyphs; its labels calibrate the scores.
        classes: Number of classes.
        seed: Seed of the training.
        workers: Drawing processes.

    Returns:
        A teacher for ``train_network``.

    Raises:
        ModelError: The extra is not installed.
    """
    weights = find_recogniser()
    recogniser = open_recogniser(weights, sha256_of(weights))
    sample = draw_pool(bank, SAMPLE_IMAGES, seed + SAMPLE_SEED, workers)
    known = sample.labels != REJECT
    return calibrated_teacher(recogniser, sample.images[known], sample.labels[known], classes)


def calibrated_teacher(
    recogniser: Recogniser,
    images: NDArray[np.uint8],
    labels: NDArray[np.int16],
    classes: int,
) -> Teacher:
    """A teacher whose scores are turned into probabilities by labelled images.

    Args:
        recogniser: Any recogniser.
        images: ``uint8[n, 28, 28]``, light ink on black.
        labels: ``int16[n]``.
        classes: Number of classes.
    """
    calibration = fit_calibration(
        recogniser.scores(_canvases(images)), labels.astype(np.int64), classes
    )

    def teach(shown: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.exp(second_log_probs(recogniser.scores(_canvases(shown)), calibration))

    return teach


def _canvases(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([canvas_from_crop(255 - image) for image in images])
