"""How much a count can be trusted: intervals of shares."""

from __future__ import annotations

import math
from typing import Final

Z_95: Final = 1.959964
"""Standard normal quantile of 97.5 %: two-sided 95 %."""
RULE_OF_THREE: Final = 3.0
"""None among n leaves room for a share of 3/n: ``-ln 0.05`` is 2.996 (Hanley and
Lippman-Hand, 1983). One-sided 95 %."""


def wilson(count: int, total: int) -> tuple[float, float]:
    """Wilson score interval (1927) of a share, 95 %.

    Args:
        count: How many of them.
        total: Of how many; of none, every share is possible.

    Returns:
        Lower and upper bound, 0 to 1.
    """
    if total == 0:
        return 0.0, 1.0
    z = Z_95
    share = count / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    low = 0.0 if count == 0 else max(0.0, (centre - spread) / scale)
    high = 1.0 if count == total else min(1.0, (centre + spread) / scale)
    return low, high


def share_text(count: int, total: int) -> str:
    """A share in percent with its interval, aligned; ``none`` of nothing."""
    if total == 0:
        return "  none"
    low, high = wilson(count, total)
    return f"{100 * count / total:6.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def cards_without_error(share: float) -> int:
    """How many cards, none of them wrong, show that at most a share is wrong (95 %).

    Args:
        share: The largest share of wrong ones, above 0.

    Returns:
        Number of cards by the rule of three.
    """
    return math.ceil(round(RULE_OF_THREE / share, 6))
