"""SIGINT and SIGTERM: the first asks, the second kills."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from vin_batch.errors import InterruptedRunError, TerminatedRunError

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Remembers that the run was asked to stop.

    A handler that raises could strike anywhere, inside a lock of the pool as well; so it only
    takes a note, and the loop asks with ``check``. Within ``raising`` it raises at once.

    Use as a context manager around a run; outside the main thread it does nothing.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._raising = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Stop here if a signal came.

        Raises:
            InterruptedRunError: SIGINT came; exit code 130.
            TerminatedRunError: SIGTERM came; exit code 143.
        """
        if self._signal is None:
            return
        kind = TerminatedRunError if self._signal == signal.SIGTERM else InterruptedRunError
        raise kind(
            "stopped on request; every finished shard is safe",
            "The same command resumes.",
        )

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Let a signal break off a long call of which nothing need be kept."""
        self.check()
        self._raising = True
        try:
            yield
        finally:
            self._raising = False
        self.check()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._signal is not None:
            os._exit(128 + number)
        self._signal = number
        if self._raising:
            self.check()
