"""Progress of a run: a bar on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, NoReturn, Self

from tqdm import tqdm

from vin_batch.records import Status

logger = logging.getLogger(__name__)

LOG_SECONDS: Final = 60.0
"""Least time between two log lines."""
_BAR_SECONDS: Final = 0.5
"""Least time between two drawings of the bar."""


class Progress:
    """Tells how far a run is. Only the parent process may hold one.

    Args:
        total_cards: Cards in the plan.
        already_done: Cards that an earlier session finished.
        enabled: True for a bar, False for log lines, None for a bar exactly if stderr is a
            terminal.
        clock: Monotonic seconds; tests pass their own.
    """

    def __init__(
        self,
        total_cards: int,
        already_done: int = 0,
        enabled: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total_cards
        self._before = already_done
        self._done = already_done
        self._counts: Counter[str] = Counter()
        self._clock = clock
        self._began = self._last_line = clock()
        self._with_bar = sys.stderr.isatty() if enabled is None else enabled
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Self:
        self._began = self._last_line = self._clock()
        if self._with_bar:
            self._bar = tqdm(
                total=self._total,
                initial=self._before,
                unit=" cards",
                desc="reading",
                file=sys.stderr,
                dynamic_ncols=True,
                mininterval=_BAR_SECONDS,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._done > self._before:
            logger.info("%s", self.line())

    def shard_done(self, counts: Mapping[str, int], cards: int) -> None:
        """Count a finished shard.

        Args:
            counts: Its cards by status.
            cards: How many they are.
        """
        self._done += cards
        self._counts.update(counts)
        if self._bar is not None:
            self._bar.set_postfix_str(self._shares(), refresh=False)
            self._bar.update(cards)
        elif self._clock() - self._last_line >= LOG_SECONDS:
            self._last_line = self._clock()
            logger.info("%s", self.line())

    def line(self) -> str:
        """How far the run is, in one line; rate and shares are those of this session."""
        share = self._done / self._total if self._total else 1.0
        elapsed = max(self._clock() - self._began, 1e-9)
        rate = (self._done - self._before) / elapsed
        left = (self._total - self._done) / rate if rate > 0 else float("inf")
        return (
            f"{self._done} of {self._total} cards ({share:.1%}), {rate:.0f} cards/s, "
            f"{_duration(left)} left, {self._shares()}"
        )

    def _shares(self) -> str:
        seen = max(self._counts.total(), 1)
        return ", ".join(
            f"{status.value} {self._counts[status.value] / seen:.1%}"
            for status in (Status.ACCEPTED, Status.REVIEW)
        )


def _duration(seconds: float) -> str:
    if seconds == float("inf"):
        return "unknown time"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
