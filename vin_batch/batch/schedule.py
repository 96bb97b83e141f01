"""Which shard goes next, and what becomes of one whose worker died. Pure bookkeeping."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

MAX_DEATHS_ALONE: Final = 2
"""Deaths with no other shard in flight, after which a shard is certainly the cause."""


class Schedule:
    """Hands out shards so that a deadly one cannot take others down for long.

    Every shard in flight when a worker dies becomes a suspect. Suspects run alone, after
    everything else, so a second death convicts. A shard that is not lost is handed out once.

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
        self._deaths_alone: Counter[int] = Counter()
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

    def lost(self, shards: Iterable[int], innocent: Iterable[int] = ()) -> list[int]:
        """A worker died, or was killed because it hung.

        Args:
            shards: Shards in flight that may have caused it.
            innocent: Shards in flight that certainly did not; they go first again.

        Returns:
            Shards that died alone too often: they leave the schedule, to be quarantined.
        """
        convicted = []
        alone = self._alone
        self._alone = False
        for shard in shards:
            self._in_flight.remove(shard)
            self.strikes[shard] += 1
            self._deaths_alone[shard] += alone
            if self._deaths_alone[shard] >= MAX_DEATHS_ALONE:
                convicted.append(shard)
            else:
                self._suspects.append(shard)
        for shard in sorted(innocent, reverse=True):
            self._in_flight.remove(shard)
            self._fresh.appendleft(shard)
        return convicted
