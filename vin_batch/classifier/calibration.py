"""Logits to calibrated log-probabilities: one arithmetic, whatever engine gave the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.model_card import ModelCard
from vin_batch.classifier.tail import Tail, stretch_tail

LOG_PROB_STEP: Final = 1 / 512
"""Log-probabilities are rounded to this step: last-bit differences of an arithmetic unit
must not reach the readings."""
FLOOR: Final = -20.0
"""Smallest log-probability: no network knows that a character is impossible."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What turns the logits of one engine into probabilities; see ``ModelCard``.

    Attributes:
        temperature: Divisor of the logits.
        class_bias: Added to the divided logits, one for every class.
        tail: Stretching of nearly sure answers.
    """

    temperature: float
    class_bias: tuple[float, ...]
    tail: Tail


def calibration_of(card: ModelCard) -> Calibration:
    """The calibration that a model card holds."""
    return Calibration(card.temperature, card.class_bias, card.tail)


def calibrate_logits(logits: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float32]:
    """Calibrate logits and round what comes out.

    Args:
        logits: ``float32[m, classes]``.
        calibration: Of the engine that gave them.

    Returns:
        ``float32[m, classes]`` of log-probabilities; a row depends on its own logits only.
    """
    if not len(logits):
        return logits.astype(np.float32)
    bias = np.array(calibration.class_bias, np.float64)
    scaled = logits.astype(np.float64) / calibration.temperature + bias
    scaled -= scaled.max(axis=1, keepdims=True)
    scaled -= np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    return settle(scaled.astype(np.float32), calibration.tail)


def settle(log_probs: NDArray[np.float32], tail: Tail) -> NDArray[np.float32]:
    """Stretch the tail, then bound and round.

    Args:
        log_probs: ``float32[m, classes]``, normalised, after temperature and bias.
        tail: Calibration of nearly sure answers.

    Returns:
        ``float32[m, classes]``, multiples of ``LOG_PROB_STEP`` from ``FLOOR`` to 0.
    """
    bounded = np.maximum(stretch_tail(log_probs, tail), np.float32(FLOOR))
    np.rint(bounded / np.float32(LOG_PROB_STEP), out=bounded)
    return bounded * np.float32(LOG_PROB_STEP)
