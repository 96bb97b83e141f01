"""Finding the cards that kill their worker, by reading a shard in parts. Pure bookkeeping.

The parts are read one after another, each by a fresh worker with nothing else in flight. A
part that is lost is cut: around the row that its worker was on, where that is known, else
into halves. A card is blamed only when it was lost in a part of its own, and only by the
second loss that speaks against it: one death may be an accident.

With rows known, a guilty card costs two losses. Without, it costs one for every halving and
two at the end, about ``log2(cards) + 2``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

PATIENCE: Final = 64
"""What the losses of one shard may cost, all its parts and stages together: enough for some
30 deadly cards in it. More is no matter of single cards."""
COST_OF_DEATH: Final = 1
"""About a second: a new worker."""
COST_OF_TIMEOUT: Final = 4
"""Minutes, with usual limits: 16 of them are the patience of a shard."""
CONVICTING: Final = 2
"""Losses that speak against a card before it is blamed."""


@dataclass(slots=True)
class Patience:
    """What the losses of a shard may still cost."""

    left: int = PATIENCE

    def spend(self, timed_out: bool) -> None:
        """Pay for one loss."""
        self.left -= COST_OF_TIMEOUT if timed_out else COST_OF_DEATH

    @property
    def is_gone(self) -> bool:
        """True when no further loss can be paid for."""
        return self.left <= 0


@dataclass(slots=True)
class Isolation:
    """The parts of one list of rows: which comes next, and who is to blame.

    Attributes:
        rows: Length of the list.
        patience: Shared with other lists of the same shard.
        passed: Parts that were read.
        blamed: Rows that are to blame, in the order of their conviction.
        given_up: Rows that were neither read nor blamed when the patience was gone.
    """

    rows: int
    patience: Patience
    passed: list[range] = field(default_factory=list)
    blamed: list[int] = field(default_factory=list)
    given_up: list[int] = field(default_factory=list)
    _pending: list[range] = field(init=False)
    _against: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._pending = [range(self.rows)] if self.rows else []

    @property
    def part(self) -> range | None:
        """The rows to read now; None when all are settled."""
        return self._pending[-1] if self._pending else None

    def read(self) -> None:
        """The part was read."""
        self.passed.append(self._pending.pop())

    def lost(self, row: int | None, timed_out: bool) -> None:
        """The worker that had the part died, hung or gave up.

        Args:
            row: Which row it was on; None where that is not known. Rows outside the part
                are not known.
            timed_out: Whether it cost the time of a limit.
        """
        part = self._pending.pop()
        self.patience.spend(timed_out)
        suspect = part[0] if len(part) == 1 else row
        if suspect is not None and suspect in part:
            self._against[suspect] += 1
        if len(part) == 1 and self._against[part[0]] >= CONVICTING:
            self.blamed.append(part[0])
        else:
            # A stack: the first rows of the part come first.
            self._pending += reversed(_cut(part, row))
        if self.patience.is_gone:
            self.given_up = sorted(row for part in self._pending for row in part)
            self._pending = []


def _cut(part: range, row: int | None) -> list[range]:
    """Smaller parts with the same rows, in order; a single row stays as it is."""
    if row is not None and row in part:
        pieces = [range(part.start, row), range(row, row + 1), range(row + 1, part.stop)]
    else:
        middle = part.start + (len(part) + 1) // 2
        pieces = [range(part.start, middle), range(middle, part.stop)]
    return [piece for piece in pieces if piece]
