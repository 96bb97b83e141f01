"""Risk-coverage curves and reliability: does a confidence know what is wrong?

Risk-coverage: El-Yaniv and Wiener, "On the Foundations of Noise-free Selective
Classification" (2010). Expected calibration error: Naeini et al. (2015), here over bins of
equal mass, because most answers are nearly sure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]

RISKS: Final = (0.0, 0.0005, 0.001, 0.005, 0.01)
"""Shares of wrong ones for which the coverage is reported; double keying leaves 0.0014."""
BINS: Final = 10
MAX_POINTS: Final = 200
"""Points of a curve that are written out: finer than a picture shows."""


@dataclass(frozen=True, slots=True)
class RiskCurve:
    """What is wrong among the surest, for every threshold.

    Attributes:
        total: All cards, whether or not they can be accepted.
        thresholds: ``float64[m]``, distinct confidences, falling.
        accepted: ``int64[m]``, cards at or above each threshold, growing.
        wrong: ``int64[m]``, wrong ones among them.
    """

    total: int
    thresholds: Reals
    accepted: NDArray[np.int64]
    wrong: NDArray[np.int64]

    @property
    def coverage(self) -> Reals:
        """Accepted cards over all cards."""
        return self.accepted / max(self.total, 1)

    @property
    def risk(self) -> Reals:
        """Wrong cards over accepted cards."""
        return self.wrong / np.maximum(self.accepted, 1)

    def at_most(self, risk: float) -> tuple[int, int]:
        """The most cards that can be accepted with at most a share of wrong ones.

        Args:
            risk: The share; the threshold is chosen on these very cards.

        Returns:
            Accepted cards, and wrong ones among them; 0 and 0 where no threshold will do.
        """
        pure = np.flatnonzero(self.wrong <= risk * self.accepted)
        if not pure.size:
            return 0, 0
        last = int(pure[-1])
        return int(self.accepted[last]), int(self.wrong[last])

    def points(self) -> list[tuple[float, int, int]]:
        """Threshold, accepted and wrong at up to ``MAX_POINTS`` places, the ends included."""
        count = len(self.thresholds)
        chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_POINTS)).round().astype(int))
        return [
            (float(self.thresholds[row]), int(self.accepted[row]), int(self.wrong[row]))
            for row in chosen
        ]


def risk_curve(score: Reals, right: Flags, eligible: Flags | None = None) -> RiskCurve:
    """Rank cards by a score and count what is wrong above every threshold.

    Args:
        score: ``float64[n]``, larger is surer.
        right: ``bool[n]``.
        eligible: ``bool[n]``, cards that may be accepted at all; all when None.

    Returns:
        The curve; cards of equal score enter together.
    """
    chosen = np.ones(len(score), bool) if eligible is None else eligible
    order = np.argsort(-score[chosen], kind="stable")
    ranked = score[chosen][order]
    wrong = np.cumsum(~right[chosen][order])
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    return RiskCurve(len(score), ranked[ends], ends + 1, wrong[ends].astype(np.int64))


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Answers of about the same confidence.

    Attributes:
        count: How many.
        confidence: Their mean confidence.
        right: How many of them are right.
    """

    count: int
    confidence: float
    right: int


def reliability(confidence: Reals, right: Flags, bins: int = BINS) -> list[ReliabilityBin]:
    """Sort answers into bins of equal mass, least sure first; empty bins are left out."""
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    return [
        ReliabilityBin(len(part), float(confidence[part].mean()), int(right[part].sum()))
        for part in parts
        if len(part)
    ]


def expected_calibration_error(confidence: Reals, right: Flags, bins: int = BINS) -> float:
    """Mean gap between confidence and share right over bins of equal mass."""
    gaps = [
        part.count * abs(part.confidence - part.right / part.count)
        for part in reliability(confidence, right, bins)
    ]
    return sum(gaps) / max(len(confidence), 1)
