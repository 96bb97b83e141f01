"""What the second reader's scores are worth, alone and beside the first reader. Pure.

Two readers of the same ink err together: a 1 without a foot looks like a 7 to both. Adding
their log-probabilities would count what they share twice. So they are joined log-linearly,

    log p(character) = first * log p1 + second * log p2 + bias + constant,

with weights that maximum likelihood finds on cards neither was fitted to (logarithmic opinion
pool; Heskes, "Selecting weighting factors in logarithmic opinion pools", 1998). Independent
readers would get 1 and 1; what is missing is what they share. There are weights for
boxes where both name the same character and for those where they do not, because there the
two know different things.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LOG_PROB_STEP: Final = 1 / 512
"""Log-probabilities are rounded to this step, like those of the first reader."""
FLOOR: Final = -20.0
"""Smallest log-probability: no reader knows that a character is impossible."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Multinomial logistic regression from scores to characters.

    Attributes:
        coefficients: ``float64[symbols, classes]``.
        intercepts: ``float64[classes]``.
    """

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Weights:
    """Exponents of the two readers."""

    first: float
    second: float


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the two readers are joined.

    Attributes:
        agreeing: Weights where both find the same character most probable.
        differing: Weights where they do not.
        bias: ``float64[classes]``, added to the log-probabilities.
    """

    agreeing: Weights
    differing: Weights
    bias: NDArray[np.float64]


def second_log_probs(scores: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float32]:
    """Calibrated log-probabilities of the second reader by itself.

    Args:
        scores: ``float32[m, symbols]`` of a recogniser.
        calibration: Fitted to scores of the same recogniser.

    Returns:
        ``float32[m, classes]``, normalised, floored and rounded.
    """
    logits = np.asarray(scores, np.float64) @ calibration.coefficients + calibration.intercepts
    return _settled(logits)


def fuse(
    first: NDArray[np.float32], second: NDArray[np.float32], fusion: Fusion
) -> NDArray[np.float32]:
    """Join two readers.

    Args:
        first: ``float32[m, classes]``, log-probabilities of the first reader.
        second: ``float32[m, classes]`` of the second.
        fusion: Weights and bias.

    Returns:
        ``float32[m, classes]``, normalised, floored and rounded.
    """
    return _settled(pooled(first, second, fusion))


def pooled(
    first: NDArray[np.float32], second: NDArray[np.float32], fusion: Fusion
) -> NDArray[np.float64]:
    """The weighted sum of ``fuse`` before it is normalised, ``float64[m, classes]``."""
    same = (first.argmax(axis=1) == second.argmax(axis=1))[:, None]
    own = np.where(same, fusion.agreeing.first, fusion.differing.first)
    other = np.where(same, fusion.agreeing.second, fusion.differing.second)
    return np.asarray(own * first + other * second + fusion.bias)


def normalised(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities ``float64[m, classes]`` of unnormalised ones."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _settled(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    steps = np.rint(np.maximum(normalised(logits), FLOOR) / LOG_PROB_STEP)
    return steps.astype(np.float32) * np.float32(LOG_PROB_STEP)
