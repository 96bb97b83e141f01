"""How fast the latest session of a run works, and when it last got anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vin_batch.batch.receipts import Receipt


@dataclass(frozen=True, slots=True)
class Pace:
    """What the receipts of the latest session say about its speed.

    Attributes:
        cards: Cards that it read.
        last_progress: When its last shard was finished; when it began, where none was; None
            for a run without a session.
        seconds: From its beginning to its last progress.
    """

    cards: int
    last_progress: datetime | None
    seconds: float

    @property
    def cards_per_second(self) -> float | None:
        """Speed since the session began, loading of the model included; None if unknown."""
        return round(self.cards / self.seconds, 3) if self.cards and self.seconds > 0 else None

    def seconds_since(self, moment: datetime) -> float | None:
        """Seconds from the last progress to a moment; a clock that was set back gives 0."""
        if self.last_progress is None:
            return None
        return max(0.0, round((moment - self.last_progress).total_seconds(), 1))

    def seconds_left(self, cards: int) -> float | None:
        """Seconds until so many more cards are read; None if that cannot be told."""
        rate = self.cards_per_second
        return round(cards / rate, 1) if rate else None


def pace_of(session: Mapping[str, Any] | None, receipts: Iterable[Receipt]) -> Pace:
    """Measure a session.

    Args:
        session: As in ``RunRecord.sessions``; None where there was none.
        receipts: All of the run; those that are older than the session do not count.
    """
    if session is None:
        return Pace(0, None, 0.0)
    began = datetime.fromisoformat(session["started_at"])
    cards, last = 0, began
    for receipt in receipts:
        finished = datetime.fromisoformat(receipt.finished_at)
        if finished >= began:
            cards, last = cards + receipt.cards, max(last, finished)
    return Pace(cards, last, (last - began).total_seconds())
