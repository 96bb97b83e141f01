"""Calibration: temperature of the characters, log odds of the cards, the threshold.

Temperature scaling: Guo et al., "On Calibration of Modern Neural Networks" (2017). The
confidence of a card is recalibrated by a logistic regression on the log odds of its
posterior (Platt, 1999).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.records import DecisionPolicy

MAX_WRONG_SHARE: Final = 1e-3
"""Accepted VINs that may be wrong: 1 in 1,000, the error of double keying."""
SAFETY: Final = 2.0
"""The threshold is fitted to this many times fewer wrong ones: other people's cards will be
less like the training data than these are."""
MAX_LOG_ODDS: Final = 30.0
"""As in the verdict: posteriors nearer to 0 or 1 are not told apart."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Decoded cards with known truth.

    Attributes:
        posterior: ``float64[n]`` of the decoder.
        correct: ``bool[n]``, whether the most probable VIN is the true one.
        acceptable: ``bool[n]``, whether nothing but the confidence can stand in the way.
    """

    posterior: NDArray[np.float64]
    correct: NDArray[np.bool_]
    acceptable: NDArray[np.bool_]


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int16]) -> float:
    """Find the temperature of the smallest negative log-likelihood.

    Args:
        logits: ``float32[n, classes]`` of images that were not trained on.
        labels: ``int16[n]``.

    Returns:
        Divisor of the logits, between 0.3 and 5.
    """
    low, high = math.log(0.3), math.log(5.0)
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(30):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _loss(logits, labels, math.exp(left)) < _loss(logits, labels, math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def _loss(logits: NDArray[np.float32], labels: NDArray[np.int16], temperature: float) -> float:
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(scaled).sum(axis=1))
    return float((log_sum - scaled[np.arange(len(labels)), labels]).mean())


def log_odds(posterior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds, limited to ``MAX_LOG_ODDS`` either way."""
    tiny = np.finfo(np.float64).tiny
    odds = np.log(np.maximum(posterior, tiny)) - np.log(np.maximum(1 - posterior, tiny))
    limited: NDArray[np.float64] = np.clip(odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)
    return limited


def fit_policy(outcomes: Outcomes) -> DecisionPolicy:
    """Fit the recalibration and the threshold.

    Args:
        outcomes: Cards that neither the network nor the temperature has seen.

    Returns:
        The policy; where no threshold is pure enough, nothing is ever accepted (threshold 1).
    """
    slope, intercept = _logistic(log_odds(outcomes.posterior), outcomes.correct)
    confidence = 1 / (1 + np.exp(-(slope * log_odds(outcomes.posterior) + intercept)))
    chosen = outcomes.acceptable
    threshold = _purest_threshold(confidence[chosen], outcomes.correct[chosen])
    return replace(
        DecisionPolicy(slope=slope, intercept=intercept, accept_confidence=1.0),
        accept_confidence=threshold,
    )


def _logistic(x: NDArray[np.float64], y: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of a logistic regression (Newton's method, slight ridge)."""
    design = np.column_stack([x, np.ones_like(x)])
    weights = np.array([1.0, 0.0])
    ridge = np.diag([1e-3, 1e-3])
    for _ in range(50):
        predicted = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (predicted - y) + ridge @ (weights - [1.0, 0.0])
        curvature = (design * (predicted * (1 - predicted))[:, None]).T @ design + ridge
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0]), float(weights[1])


def _purest_threshold(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Smallest confidence above which at most ``MAX_WRONG_SHARE / SAFETY`` are wrong."""
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~correct[order])
    accepted = np.arange(1, len(order) + 1)
    pure = np.flatnonzero(wrong <= accepted * MAX_WRONG_SHARE / SAFETY)
    if not pure.size:
        return 1.0
    return math.ceil(float(confidence[order[pure[-1]]]) * 1e6) / 1e6
