"""One process per run directory."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from vin_batch.batch.atomic import current_mode, disk_errors
from vin_batch.errors import LockedError

ATTEMPTS: Final = 4
ATTEMPT_PAUSE: Final = 0.1
"""Seconds."""


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock of a run directory.

    The kernel drops the lock when the process ends, however it ends, so no stale lock can
    remain; the text in the file only tells people who holds it. Workers do not inherit it.

    Raises:
        LockedError: Another process holds it.
        DiskError: The lock file cannot be opened, or the file system has no locks.
    """
    with disk_errors("open", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, current_mode())
    try:
        holder = ""
        with disk_errors("lock", path):
            locked = _try_lock(descriptor)
        if not locked:
            with suppress(OSError):
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            raise LockedError(
                f"another run works on {path.parent} ({holder or 'holder unknown'})",
                "Wait for it or stop it; `vin-batch status` shows how far it is.",
            )
        with disk_errors("write", path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        # The work is done or has failed by now; the kernel drops the lock in any case.
        with suppress(OSError):
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    # `status` holds the lock for an instant when it asks; that is no other run.
    for attempt in range(ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < ATTEMPTS:
                time.sleep(ATTEMPT_PAUSE)
        else:
            return True
    return False


def is_held(path: Path) -> bool:
    """Tell whether a process works on the run right now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
