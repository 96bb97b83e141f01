"""Which shard goes next, and what becomes of one whose worker died. Pure bookkeeping."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

MAX_LOSSES_ALONE: Final = 2
"""Losses with no other shard in flight, after which a shard is surely the cause itself, and
not the memory that others took."""


class Schedule:
    """Hands out shards so that a deadly one cannot take others down for long.

    A shard whose worker died becomes a suspect. Suspects run alone, after everything else:
    what dies there again is not the victim of another. A shard that is not lost is handed
    out once.

    Args:
        shards: What is to be done, in order.
        width: Most shards in flight.
    """

    def __init__(self, shards: Iterable[int], width: int) -> None:
        self._fresh = deque(shards)
        self._suspects: deque[int] = deque()
        self._in_flight: set[int] = set()
        self._alone = False
        self._width = width
        self._losses_alone: Counter[int] = Counter()
        self.strikes: Counter[int] = Counter()

    @property
    def done(self) -> bool:
        """True when nothing waits and nothing is in flight."""
        return not (self._fresh or self._suspects or self._in_flight)

    def next(self) -> int | None:
        """The shard to start now, None if nothing may start now."""
        if self._alone or len(self._in_flight) >= self._width:
            return None
        if self._fresh:
            shard = self._fresh.popleft()
        elif self._suspects and not self._in_flight:
            shard = self._suspects.popleft()
            self._alone = True
        else:
            return None
        self._in_flight.add(shard)
        return shard

    def finished(self, shard: int) -> None:
        """A shard's result arrived."""
        self._in_flight.remove(shard)
        self._alone = False

    def lost(self, shard: int) -> bool:
        """The worker that had a shard died, hung or gave up.

        Returns:
            True if the shard was lost alone too often: it leaves the schedule, to be
            quarantined. Otherwise it becomes a suspect.
        """
        self._in_flight.remove(shard)
        self.strikes[shard] += 1
        self._losses_alone[shard] += self._alone
        self._alone = False
        if self._losses_alone[shard] >= MAX_LOSSES_ALONE:
            return True
        self._suspects.append(shard)
        return False
