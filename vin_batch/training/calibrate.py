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

from vin_batch.classifier.tail import Tail, stretch_tail
from vin_batch.records import DecisionPolicy
from vin_batch.vin.verdict import confidences, log_odds

MAX_WRONG_SHARE: Final = 1e-3
"""Accepted VINs that may be wrong: 1 in 1,000, the error of double keying."""
SAFETY: Final = 2.0
"""The threshold is fitted to this many times fewer wrong ones: other people's cards will be
less like the training data than these are."""
MIN_ACCEPTED: Final = 500
"""Accepted cards that a threshold must have been seen on. None wrong among 500 bounds the
share of wrong ones to 0.6 % with 95 % confidence (rule of three); more cards say more."""
NEVER: Final = math.nextafter(1.0, 2.0)
"""Threshold above every confidence: one may be 1 to the last bit of a float."""
RIDGE: Final = 1e-3
"""Pull of the recalibration towards none, in units of its log-likelihood."""
SMALLEST_STEP: Final = 1e-9
WRONG_LABELS: Final = 2e-3
"""Share of wrong labels among the held-out images. Of 2,466 letter cards, 13 show another
character or half of one when looked at (0.5 %); MNIST has fewer."""
TAIL_KNEES: Final = (2.5, 3.0, 3.5, 4.0, 4.5)
TAIL_GAINS: Final = (0.0, 0.5, 1.0, 1.5, 2.0)
TEMPERATURE_STEPS: Final = 14
"""Golden-section steps: the temperature is known to better than 1 %."""


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


def fit_characters(logits: NDArray[np.float32], labels: NDArray[np.int16]) -> tuple[float, Tail]:
    """Find temperature and tail of the smallest negative log-likelihood, together.

    Labels themselves are wrong now and then, and at 99.9 % that is all there is to see: the
    likelihood of a label is mixed with an even chance of ``WRONG_LABELS``.

    Args:
        logits: ``float32[n, classes]`` of images that were not trained on.
        labels: ``int16[n]``.

    Returns:
        Divisor of the logits, between 0.3 and 5, and the best tail of a grid.
    """
    fits = [
        (*_fit_temperature(logits, labels, tail), tail)
        for tail in (Tail(knee, gain) for knee in TAIL_KNEES for gain in TAIL_GAINS)
    ]
    _, temperature, tail = min(fits, key=lambda fit: fit[0])
    return temperature, tail


def _fit_temperature(
    logits: NDArray[np.float32], labels: NDArray[np.int16], tail: Tail
) -> tuple[float, float]:
    """Smallest loss with a given tail, and its temperature, by golden section."""
    low, high = math.log(0.3), math.log(5.0)
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(TEMPERATURE_STEPS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _loss(logits, labels, math.exp(left), tail) < _loss(
            logits, labels, math.exp(right), tail
        ):
            high = right
        else:
            low = left
    temperature = math.exp((low + high) / 2)
    return _loss(logits, labels, temperature, tail), temperature


def calibrated(logits: NDArray[np.float32], temperature: float, tail: Tail) -> NDArray[np.float32]:
    """Log-probabilities as the classifier would give them, but for rounding."""
    scaled = logits / np.float32(temperature)
    return stretch_tail(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True), tail)


def _loss(
    logits: NDArray[np.float32], labels: NDArray[np.int16], temperature: float, tail: Tail
) -> float:
    log_probs = calibrated(logits, temperature, tail)
    chosen = log_probs[np.arange(len(labels)), labels].astype(np.float64)
    chance = WRONG_LABELS / logits.shape[1]
    return float(-np.log((1 - WRONG_LABELS) * np.exp(chosen) + chance).mean())


def fit_policy(outcomes: Outcomes) -> DecisionPolicy:
    """Fit the recalibration and the threshold.

    Args:
        outcomes: Cards that neither the network nor the temperature has seen.

    Returns:
        The policy; where no threshold is pure enough, or too few cards show that it is,
        nothing is ever accepted (``NEVER``).
    """
    slope, intercept = _logistic(log_odds(outcomes.posterior), outcomes.correct)
    policy = DecisionPolicy(slope=slope, intercept=intercept, accept_confidence=NEVER)
    confidence = confidences(outcomes.posterior, policy)
    chosen = outcomes.acceptable
    threshold = _purest_threshold(confidence[chosen], outcomes.correct[chosen])
    return replace(policy, accept_confidence=threshold)


def _logistic(x: NDArray[np.float64], y: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of a logistic regression, drawn a little towards 1 and 0.

    Newton's method with halved steps: where the posterior is far too sure, full steps
    leave for infinity.
    """
    design = np.column_stack([x, np.ones_like(x)])
    start = np.array([1.0, 0.0])
    weights = start.copy()

    def loss(candidate: NDArray[np.float64]) -> float:
        z = design @ candidate
        pull = 0.5 * RIDGE * float(((candidate - start) ** 2).sum())
        return float((np.logaddexp(0, z) - y * z).sum()) + pull

    for _ in range(100):
        predicted = 0.5 + 0.5 * np.tanh(0.5 * (design @ weights))
        gradient = design.T @ (predicted - y) + RIDGE * (weights - start)
        curvature = (design * (predicted * (1 - predicted))[:, None]).T @ design
        step = np.linalg.solve(curvature + RIDGE * np.eye(2), gradient)
        before = loss(weights)
        while np.abs(step).max() > SMALLEST_STEP and loss(weights - step) > before:
            step /= 2
        weights -= step
        if np.abs(step).max() <= SMALLEST_STEP:
            break
    return float(weights[0]), float(weights[1])


def _purest_threshold(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Smallest confidence from which at most ``MAX_WRONG_SHARE / SAFETY`` are wrong.

    Fewer than ``MIN_ACCEPTED`` cards show next to nothing.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    # Equal confidences are accepted together.
    accepted = np.searchsorted(-ranked, -ranked, side="right")
    wrong = np.cumsum(~correct[order])[accepted - 1]
    enough = accepted >= MIN_ACCEPTED
    pure = np.flatnonzero(enough & (wrong <= accepted * MAX_WRONG_SHARE / SAFETY))
    return float(ranked[pure[-1]]) if pure.size else NEVER
