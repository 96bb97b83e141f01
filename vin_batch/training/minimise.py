"""Minimises smooth functions of many numbers: limited-memory BFGS with halved steps.

After Nocedal and Wright, "Numerical Optimization", algorithms 7.4 and 7.5. For convex
functions, as the negative log-likelihoods here are, it finds the minimum from any start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Objective = Callable[[Vector], tuple[float, Vector]]
"""Gives value and gradient."""

MEMORY: Final = 10
"""Pairs of steps that stand for the curvature."""
SUFFICIENT: Final = 1e-4
"""Share of the promised decrease that a step must bring."""
SHORTEST: Final = 1e-10
"""Steps shorter than this bring nothing."""


def minimise(
    objective: Objective, start: Vector, steps: int = 150, tolerance: float = 1e-7
) -> Vector:
    """Find a minimum.

    Args:
        objective: The function.
        start: Where to begin.
        steps: Most steps.
        tolerance: Ends when a step lowers the value by less than this share of it.

    Returns:
        The best point found.
    """
    point, (value, slope) = start, objective(start)
    pairs: deque[tuple[Vector, Vector]] = deque(maxlen=MEMORY)
    for _ in range(steps):
        direction = _direction(slope, pairs)
        length = 1.0 if pairs else 1.0 / max(float(np.abs(slope).sum()), SHORTEST)
        while True:
            there = point - length * direction
            new_value, new_slope = objective(there)
            if new_value <= value - SUFFICIENT * length * float(slope @ direction):
                break
            length /= 2
            if length < SHORTEST:
                return point
        step, change = there - point, new_slope - slope
        if step @ change > 0:
            pairs.append((step, change))
        gained = value - new_value
        point, value, slope = there, new_value, new_slope
        if gained < tolerance * abs(value):
            break
    return point


def _direction(slope: Vector, pairs: deque[tuple[Vector, Vector]]) -> Vector:
    """Inverse curvature times the gradient, by the two loops of L-BFGS."""
    direction = slope.copy()
    shares = []
    for step, change in reversed(pairs):
        share = (step @ direction) / (change @ step)
        shares.append(share)
        direction -= share * change
    if pairs:
        step, change = pairs[-1]
        direction *= (step @ change) / (change @ change)
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        direction += step * (share - (change @ direction) / (change @ step))
    return direction
