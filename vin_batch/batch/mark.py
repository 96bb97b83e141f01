"""Which row a worker is on, in memory that outlives the worker.

A worker that dies cannot say what it was doing, and a message for every card would wake the
parent thousands of times a second. A store into shared memory costs a tenth of a
microsecond, and the parent reads it when it has a reason to.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from multiprocessing.reduction import DupFd
from typing import Any, Final

NO_ROW: Final = -1
"""The worker is on no row in particular: it starts, reads a group, or sends its answer."""

_BYTES: Final = 8
_FORMAT: Final = "q"


class RowMark:
    """One number that two processes see.

    It can be passed to a process that is being started, and in no other way.

    Args:
        descriptor: A file of at least eight bytes; the mark closes it. None for a new one.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = _anonymous_file() if descriptor is None else descriptor
        self._memory = mmap.mmap(self._descriptor, _BYTES)
        self._rows = memoryview(self._memory).cast(_FORMAT)
        if descriptor is None:
            self.row = NO_ROW

    @property
    def row(self) -> int:
        """Index of a row of the task, or ``NO_ROW``."""
        return int(self._rows[0])

    @row.setter
    def row(self, row: int) -> None:
        self._rows[0] = row

    def set(self, row: int) -> None:
        """Say which row comes now."""
        self._rows[0] = row

    def close(self) -> None:
        """Give the memory back; once only."""
        self._rows.release()
        self._memory.close()
        os.close(self._descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (DupFd(self._descriptor),)


def _reopen(duplicate: Any) -> RowMark:  # noqa: ANN401 - each start method has its own class
    return RowMark(duplicate.detach())


def _anonymous_file() -> int:
    """A file without a name: not one byte stays behind, however the processes end."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("vin_batch-row")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _BYTES)
    return descriptor
