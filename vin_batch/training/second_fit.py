"""Fits a second reader: what its scores mean, and what they add to the first reader. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.second_reader.evidence import (
    Calibration,
    Fusion,
    Weights,
    normalised,
    pooled,
    second_log_probs,
)
from vin_batch.training.minimise import Vector, minimise

SCALE: Final = 4.0
"""Scores are divided by this while they are fitted: they vary by about 4, so that one ridge
fits coefficients and the optimiser takes round steps."""
RIDGE: Final = 3.0
"""Pull of the scaled coefficients towards 0, in units of the log-likelihood. Of 3, 10 and 50
it left the smallest loss of both readers together on other people's characters."""
BIAS_RIDGE: Final = 10.0
"""Pull of the fusion's biases towards 0: as much as 10 boxes say against a nat."""
RAREST: Final = 4.0
"""Largest weight of a box, over the mean: rarer characters count less than evenly, so that a
few glyphs do not decide."""
FOLDS: Final = 3
"""Parts of the glyphs; each is read by a calibration that has not seen its glyphs."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes that both readers saw.

    Attributes:
        first: ``float32[m, 33]``, log-probabilities of the first reader.
        scores: ``float32[m, 62]`` of the second reader.
        truth: ``int64[m]``, true classes.
        glyphs: ``int64[m]``, which glyph of the bank each shows.
    """

    first: NDArray[np.float32]
    scores: NDArray[np.float32]
    truth: NDArray[np.int64]
    glyphs: NDArray[np.int64]


def even_weights(truth: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Weights that let every character count alike, as far as ``RAREST`` allows.

    The decoder knows how frequent characters are and expects evidence under an even prior;
    what is fitted to cards as they come would count their frequencies twice. On 2,000 cards
    of the level ``scan`` the two readers so fitted read 83.4 % of the VINs, and 81.7 %
    without.

    Args:
        truth: ``int64[m]``.
        classes: Number of classes.

    Returns:
        ``float64[m]``, 1 on average.
    """
    counts = np.bincount(truth, minlength=classes)
    weights = np.minimum(len(truth) / (classes * np.maximum(counts, 1)), RAREST)[truth]
    return np.asarray(weights / max(float(weights.mean()), 1e-9))


def fit_calibration(
    scores: NDArray[np.float32], truth: NDArray[np.int64], classes: int
) -> Calibration:
    """Multinomial logistic regression with a ridge, by maximum likelihood.

    Args:
        scores: ``float32[m, symbols]``.
        truth: ``int64[m]``.
        classes: Number of classes.
    """
    scaled = np.column_stack([scores / SCALE, np.ones(len(scores))]).astype(np.float64)
    rows, count = np.arange(len(truth)), len(truth)
    even = even_weights(truth, classes)

    def loss(flat: Vector) -> tuple[float, Vector]:
        weights = flat.reshape(-1, classes)
        log_probs = normalised(scaled @ weights)
        error = np.exp(log_probs)
        error[rows, truth] -= 1.0
        error *= even[:, None]
        pull = weights.copy()
        pull[-1] = 0.0
        value = -(even * log_probs[rows, truth]).sum() + 0.5 * RIDGE * (pull * pull).sum()
        return float(value) / count, (scaled.T @ error + RIDGE * pull).ravel() / count

    best = minimise(loss, np.zeros(scaled.shape[1] * classes)).reshape(-1, classes)
    return Calibration(best[:-1] / SCALE, best[-1])


def other_glyphs_log_probs(boxes: Boxes) -> NDArray[np.float32]:
    """The second reader's log-probabilities, each by a calibration to other glyphs.

    A calibration is surer of what it was fitted to; what is fitted next must not believe it.

    Returns:
        ``float32[m, 33]``.
    """
    found = np.zeros_like(boxes.first)
    fold = boxes.glyphs % FOLDS
    for number in range(FOLDS):
        own = fold == number
        fitted = fit_calibration(boxes.scores[~own], boxes.truth[~own], found.shape[1])
        found[own] = second_log_probs(boxes.scores[own], fitted)
    return found


def fit_fusion(
    first: NDArray[np.float32], second: NDArray[np.float32], truth: NDArray[np.int64]
) -> Fusion:
    """Weights and biases of the two readers, by maximum likelihood.

    Args:
        first: ``float32[m, classes]``, log-probabilities on boxes it was not fitted to.
        second: The same of the second reader.
        truth: ``int64[m]``.
    """
    rows, count = np.arange(len(truth)), len(truth)
    even = even_weights(truth, first.shape[1])
    same = (first.argmax(axis=1) == second.argmax(axis=1))[:, None]
    parts = [np.where(chosen, part, 0.0) for chosen in (same, ~same) for part in (first, second)]

    def loss(flat: Vector) -> tuple[float, Vector]:
        fusion = _unpacked(flat)
        log_probs = normalised(pooled(first, second, fusion))
        error = np.exp(log_probs)
        error[rows, truth] -= 1.0
        error *= even[:, None]
        slopes = [float((error * part).sum()) for part in parts]
        chosen = (even * log_probs[rows, truth]).sum()
        value = -chosen + 0.5 * BIAS_RIDGE * (fusion.bias**2).sum()
        bias = error.sum(axis=0) + BIAS_RIDGE * fusion.bias
        return float(value) / count, np.concatenate([slopes, bias]) / count

    start = np.concatenate([[1.0, 0.0, 1.0, 0.0], np.zeros(first.shape[1])])
    return _unpacked(minimise(loss, start))


def _unpacked(flat: Vector) -> Fusion:
    agreeing, differing = Weights(*map(float, flat[:2])), Weights(*map(float, flat[2:4]))
    return Fusion(agreeing, differing, flat[4:].copy())
