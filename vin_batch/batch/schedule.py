"""Which shard goes next, and what becomes of one whose worker died. Pure bookkeeping."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """A shard that is to be read now, and whether nothing else is in flight meanwhile."""

    shard: int
    alone: bool


class Schedule:
    """Hands out shards so that a deadly one cannot take others down for long.

    A shard whose worker died becomes a suspect. Suspects run alone, after everything else:
    what dies there again is not the victim of another, and not of the memory that others
    took. What a suspect needs then, it gets in one turn: see ``isolation``. A shard that is
    not lost is handed out once, a shard that is lost twice.

    Args:
        shards: What is to be done, in order.
        width: Most shards in flight.
        suspects: What is to be done after that, each alone.

    Attributes:
        width: Most shards in flight; may change.
        strikes: Losses by shard.
    """

    def __init__(self, shards: Iterable[int], width: int, suspects: Iterable[int] = ()) -> None:
        self._fresh = deque(shards)
        self._suspects: deque[int] = deque(suspects)
        self._in_flight: set[int] = set()
        self._alone = False
        self.width = width
        self.strikes: Counter[int] = Counter()

    @property
    def done(self) -> bool:
        """True when nothing waits and nothing is in flight."""
        return not (self._fresh or self._suspects or self._in_flight)

    @property
    def is_alone(self) -> bool:
        """True while a suspect is in flight."""
        return self._alone

    def next(self) -> Turn | None:
        """The shard to start now, None if nothing may start now."""
        if self._alone or len(self._in_flight) >= self.width:
            return None
        if self._fresh:
            shard = self._fresh.popleft()
        elif self._suspects and not self._in_flight:
            shard = self._suspects.popleft()
            self._alone = True
        else:
            return None
        self._in_flight.add(shard)
        return Turn(shard, self._alone)

    def finished(self, shard: int) -> None:
        """A shard's turn ended with a result."""
        self._in_flight.remove(shard)
        self._alone = False

    def lost(self, shard: int) -> bool:
        """The worker that had a shard, or a part of it, died, hung or gave up.

        Returns:
            True if the shard ran alone: its turn goes on, with parts of it. Otherwise its
            turn ended and it is a suspect.
        """
        self.strikes[shard] += 1
        if self._alone:
            return True
        self._in_flight.remove(shard)
        self._suspects.append(shard)
        return False

    def displaced(self, shard: int) -> None:
        """Where a shard was read has gone, which says nothing about its cards.

        It comes again as if it were new; one that ran alone does so again.
        """
        self.strikes[shard] += 1
        self._in_flight.remove(shard)
        if self._alone:
            self._alone = False
            self._suspects.appendleft(shard)
        else:
            self._fresh.append(shard)
