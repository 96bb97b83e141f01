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
from vin_batch.training.minimise import Vector, minimise
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
"""Share of wrong labels that are left among the held-out images. 38 of 23,672 (0.16 %) show
another character or a piece of one when looked at and are left out (``label_errors.csv``); of
3,292 that no reader doubted none does."""
BIAS_RIDGE: Final = 3.0
"""Pull of the class biases towards 0: as much as three images say against a nat squared."""
TAIL_KNEES: Final = (2.5, 3.0, 3.5, 4.0, 4.5)
TAIL_GAINS: Final = (0.0, 0.5, 1.0, 1.5, 2.0)
TEMPERATURES: Final = (0.3, 5.0)
"""Bounds of the temperature."""
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


@dataclass(frozen=True, slots=True)
class CharacterCalibration:
    """What turns logits into probabilities.

    Attributes:
        temperature: Divisor of the logits.
        class_bias: ``float64[classes]``, added to the divided logits.
        tail: Stretching of nearly sure answers.
    """

    temperature: float
    class_bias: NDArray[np.float64]
    tail: Tail


def fit_characters(logits: NDArray[np.float32], labels: NDArray[np.int16]) -> CharacterCalibration:
    """Find temperature, class bias and tail of the smallest negative log-likelihood.

    All classes count the same, however many images they have: the decoder knows how frequent
    characters are at each position, and would count it twice if the answers knew it too
    (scaled likelihoods: Bourlard and Morgan, 1994). First the temperature, then the biases,
    then the tail with a finer temperature.

    Labels themselves are wrong now and then, and at 99.9 % that is all there is to see: the
    likelihood of a label is mixed with an even chance of ``WRONG_LABELS``.

    Args:
        logits: ``float32[n, classes]`` of images that were not trained on.
        labels: ``int16[n]``.

    Returns:
        The calibration; its temperature lies in ``TEMPERATURES``, its tail is the best of a
        grid.
    """
    weights = even_weights(labels, logits.shape[1])
    low, high = TEMPERATURES
    _, coarse = _fit_temperature((logits, labels, weights), Tail(), TEMPERATURES)
    scaled = logits / np.float32(coarse)
    bias = _fit_bias(scaled, labels, weights)
    biased = (scaled + bias).astype(np.float32)
    bounds = (low / coarse, high / coarse)
    fits = [
        (*_fit_temperature((biased, labels, weights), tail, bounds), tail)
        for tail in (Tail(knee, gain) for knee in TAIL_KNEES for gain in TAIL_GAINS)
    ]
    _, finer, tail = min(fits, key=lambda fit: fit[0])
    return CharacterCalibration(coarse * finer, bias / finer, tail)


def even_weights(labels: NDArray[np.int16], classes: int) -> NDArray[np.float64]:
    """Weights of images under which every class that is there counts the same.

    Returns:
        ``float64[n]`` of sum 1.
    """
    weights = 1.0 / np.bincount(labels, minlength=classes)[labels]
    return np.asarray(weights / weights.sum())


def _fit_bias(
    logits: NDArray[np.float32], labels: NDArray[np.int16], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bias of the classes, by maximum likelihood."""
    rows = np.arange(len(labels))
    pull = BIAS_RIDGE / len(labels)

    def loss(flat: Vector) -> tuple[float, Vector]:
        scaled = logits + flat
        log_probs = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
        error = np.exp(log_probs)
        error[rows, labels] -= 1.0
        error *= weights[:, None]
        value = -(weights * log_probs[rows, labels]).sum() + pull * (flat**2).sum()
        return float(value), error.sum(axis=0) + 2 * pull * flat

    return minimise(loss, np.zeros(logits.shape[1]))


_Evidence = tuple[NDArray[np.float32], NDArray[np.int16], NDArray[np.float64]]
"""Logits, labels and weights of images."""


def _fit_temperature(
    evidence: _Evidence, tail: Tail, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Smallest loss with a given tail, and its temperature, by golden section."""
    low, high = map(math.log, bounds)
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(TEMPERATURE_STEPS):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _loss(evidence, math.exp(left), tail) < _loss(evidence, math.exp(right), tail):
            high = right
        else:
            low = left
    temperature = math.exp((low + high) / 2)
    return _loss(evidence, temperature, tail), temperature


def calibrated(logits: NDArray[np.float32], temperature: float, tail: Tail) -> NDArray[np.float32]:
    """Log-probabilities as the classifier would give them, but for rounding."""
    scaled = logits / np.float32(temperature)
    return stretch_tail(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True), tail)


def _loss(evidence: _Evidence, temperature: float, tail: Tail) -> float:
    logits, labels, weights = evidence
    log_probs = calibrated(logits, temperature, tail)
    chosen = log_probs[np.arange(len(labels)), labels].astype(np.float64)
    chance = WRONG_LABELS / logits.shape[1]
    return float(-(weights * np.log((1 - WRONG_LABELS) * np.exp(chosen) + chance)).sum())


@dataclass(frozen=True, slots=True)
class Settled:
    """Cards that were accepted before, by another policy.

    Attributes:
        accepted: How many.
        wrong: Wrong ones among them.
    """

    accepted: int = 0
    wrong: int = 0


NOTHING_SETTLED: Final = Settled()


def fit_policy(outcomes: Outcomes, settled: Settled = NOTHING_SETTLED) -> DecisionPolicy:
    """Fit the recalibration and the threshold.

    Args:
        outcomes: Cards that neither the network nor the temperature has seen.
        settled: Cards that were accepted before these were asked about; the threshold is that
            from which they are pure together.

    Returns:
        The policy; where no threshold is pure enough, or too few cards show that it is,
        nothing is ever accepted (``NEVER``).
    """
    slope, intercept = _logistic(log_odds(outcomes.posterior), outcomes.correct)
    policy = DecisionPolicy(slope=slope, intercept=intercept, accept_confidence=NEVER)
    confidence = confidences(outcomes.posterior, policy)
    chosen = outcomes.acceptable
    threshold = _purest_threshold(confidence[chosen], outcomes.correct[chosen], settled)
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


def _purest_threshold(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], settled: Settled
) -> float:
    """Smallest confidence from which at most ``MAX_WRONG_SHARE / SAFETY`` are wrong.

    Fewer than ``MIN_ACCEPTED`` cards show next to nothing.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    # Equal confidences are accepted together.
    accepted = np.searchsorted(-ranked, -ranked, side="right")
    wrong = np.cumsum(~correct[order])[accepted - 1] + settled.wrong
    accepted = accepted + settled.accepted
    enough = accepted >= MIN_ACCEPTED
    pure = np.flatnonzero(enough & (wrong <= accepted * MAX_WRONG_SHARE / SAFETY))
    return float(ranked[pure[-1]]) if pure.size else NEVER
