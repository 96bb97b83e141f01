"""Probabilities of labels by models that have not seen the image nor its writer.

Confident learning needs them. Any model will do; without one at hand, the labels of the most
similar thumbnails serve (``fit_neighbours``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.base import Classifier
from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.records import BoxIssue
from vin_batch.training.datasets.thumbnails import fingerprint
from vin_batch.training.packs import GlyphPack

Predict = Callable[[NDArray[np.uint8]], NDArray[np.floating]]
"""Images ``uint8[n, h, w]``, dark ink on white, to probabilities ``float[n, classes]``."""
Fit = Callable[[NDArray[np.uint8], NDArray[np.int64]], Predict]
"""Training images and class numbers to a prediction."""

FOLDS: Final = 5
NEIGHBOURS: Final = 10
_SMOOTHING: Final = 0.1
"""Votes that every class gets beforehand."""
_CHUNK: Final = 1_000


def folds_of(pack: GlyphPack, folds: int = FOLDS) -> NDArray[np.int64]:
    """Give every image a fold, so that no writer is in two.

    Args:
        pack: A pack. Where its writers are not known, each class is cut into stretches:
            neighbours in a file mostly share a writer.
        folds: How many.

    Returns:
        ``int64[n]`` from 0 to ``folds - 1``.
    """
    if pack.writers is not None:
        _, number = np.unique(pack.writers, return_inverse=True)
        return np.asarray(number % folds, np.int64)
    fold = np.zeros(len(pack.labels), np.int64)
    for label in np.unique(pack.labels):
        members = np.flatnonzero(pack.labels == label)
        fold[members] = np.arange(len(members)) * folds // len(members)
    return fold


def cross_fit(
    images: NDArray[np.uint8], labels: NDArray[np.int64], fold: NDArray[np.int64], fit: Fit
) -> NDArray[np.float64]:
    """Predict every fold by a model of the others.

    Args:
        images: ``uint8[n, h, w]``, dark ink on white.
        labels: ``int64[n]`` class numbers.
        fold: ``int64[n]``, see ``folds_of``.
        fit: Trains a model.

    Returns:
        ``float64[n, classes]``.

    Raises:
        ValueError: There are fewer than two folds.
    """
    numbers = np.unique(fold)
    if len(numbers) < 2:
        raise ValueError("cross-fitting needs images in two folds or more")
    parts = {}
    for number in numbers.tolist():
        inside = fold == number
        parts[number] = fit(images[~inside], labels[~inside])(images[inside])
    probs = np.zeros((len(labels), max(part.shape[1] for part in parts.values())))
    for number, part in parts.items():
        probs[fold == number, : part.shape[1]] = part
    return probs


def fit_neighbours(classes: int) -> Fit:
    """A model without training: votes of the most similar thumbnails.

    Args:
        classes: Number of classes.

    Returns:
        What ``cross_fit`` takes.
    """

    def fit(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Predict:
        known = fingerprint(images).thumbnails
        return lambda asked: _votes(fingerprint(asked).thumbnails, known, labels, classes)

    return fit


def _votes(
    asked: NDArray[np.float32],
    known: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
) -> NDArray[np.float64]:
    wanted = min(NEIGHBOURS, len(known))
    votes = np.full((len(asked), classes), _SMOOTHING)
    for start in range(0, len(asked), _CHUNK):
        likeness = asked[start : start + _CHUNK] @ known.T
        nearest = np.argpartition(-likeness, wanted - 1, axis=1)[:, :wanted]
        rows = np.repeat(np.arange(start, start + len(likeness)), wanted)
        np.add.at(votes, (rows, labels[nearest.ravel()]), 1)
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))


def probabilities(classifier: Classifier, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Answers of a recogniser that was not trained on these images.

    Args:
        classifier: The recogniser.
        images: ``uint8[n, h, w]``, dark ink on white.

    Returns:
        ``float64[n, classes of the recogniser]``; the same for every class where the
        preprocessing finds no ink.
    """
    boxes = np.zeros((len(images), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    found = np.zeros(len(images), bool)
    for row, image in enumerate(images):
        boxes[row], issue = preprocess_image(image)
        found[row] = issue == BoxIssue.NONE
    probs = np.exp(classifier.log_probs(boxes).astype(np.float64))
    probs[~found] = 1 / probs.shape[1]
    return probs
