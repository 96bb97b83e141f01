"""Counting what befalls a shard from outside. Pure bookkeeping.

A node that dies is believed to live for some time yet: whatever Ray sends there comes back at
once. Losses that follow each other closely are therefore one incident.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

WINDOW: Final = 30.0
"""Seconds from the first loss of an incident. Ray takes 15 to 65 to give a node up for dead."""
REST: Final = 5.0
"""Seconds until a shard that lost its place is sent out again."""


@dataclass(slots=True)
class Incidents:
    """Incidents by shard."""

    _count: Counter[int] = field(default_factory=Counter)
    _began: dict[int, float] = field(default_factory=dict)

    def note(self, shard: int, now: float) -> int:
        """A shard was lost.

        Args:
            shard: Which one.
            now: Monotonic seconds.

        Returns:
            Incidents that it has had, this one included.
        """
        if now - self._began.get(shard, float("-inf")) >= WINDOW:
            self._began[shard] = now
            self._count[shard] += 1
        return self._count[shard]

    def of(self, shard: int) -> int:
        """Incidents that a shard has had."""
        return self._count[shard]
