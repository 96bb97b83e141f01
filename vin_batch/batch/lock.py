"""Who may work on a run directory: one process on all of it, or one on each slice.

All locks are ``flock``: the kernel drops them when a process ends, however it ends, so no
stale lock can remain. On NFS they hold between machines from version 4 on.

``lock`` is held alone by whoever works on the whole run, and in common by whoever works on a
slice; ``lock.slice-2-of-8`` is held by whoever works on that slice; ``lock.common`` by the one
slice that, for the moment, works on what belongs to all: the plan, ``run.json`` and the
outputs.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from vin_batch.batch.atomic import current_mode, disk_errors
from vin_batch.errors import LockedError
from vin_batch.slices import Slice

ATTEMPTS: Final = 4
ATTEMPT_PAUSE: Final = 0.1
"""Seconds."""
COMMON_PAUSE: Final = 0.3
"""Seconds between attempts at the lock of what belongs to all slices."""

_SLICE: Final = re.compile(r"\.slice-([0-9]+)-of-([0-9]+)")


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock of a run directory.

    The text in the file only tells people who holds it. Workers do not inherit the lock.

    Raises:
        LockedError: Another process holds it, or the lock of a slice.
        DiskError: The lock file cannot be opened, or the file system has no locks.
    """
    with _held(path, fcntl.LOCK_EX):
        yield


@contextmanager
def hold_slice(path: Path, part: Slice) -> Iterator[None]:
    """Hold the lock of one slice of a run directory.

    Args:
        path: The lock of the run directory.
        part: Which slice.

    Raises:
        LockedError: Another process works on the slice, on the whole run, or on a slice of
            another size.
        DiskError: A lock file cannot be opened, or the file system has no locks.
    """
    with _held(path, fcntl.LOCK_SH), _held(_slice_lock(path, part), fcntl.LOCK_EX):
        for other, lock in _slices(path):
            if other.of != part.of and _is_held(lock):
                raise LockedError(
                    f"slice {other} works on {path.parent}; slice {part} would cut it otherwise",
                    "Wait for it, or cut the run into as many slices.",
                )
        yield


@contextmanager
def hold_common(
    path: Path, check: Callable[[], None], waiting: Callable[[], None]
) -> Iterator[bool]:
    """Wait for the lock of what belongs to all slices, and hold it.

    Args:
        path: The lock of the run directory.
        check: Called now and then while waiting; may raise to stop.
        waiting: Called once if it has to wait.

    Yields:
        Whether it had to wait.

    Raises:
        DiskError: The lock file cannot be opened, or the file system has no locks.
    """
    common = path.with_name(f"{path.name}.common")
    waited = False
    with _opened(common) as descriptor:
        while not _try_once(descriptor, common, fcntl.LOCK_EX):
            check()
            if not waited:
                waiting()
            waited = True
            time.sleep(COMMON_PAUSE)
        yield waited


def is_held(path: Path) -> bool:
    """Tell whether a process works on the run, or on a slice of it, right now."""
    return _is_held(path) or any(_is_held(lock) for _, lock in _slices(path))


@contextmanager
def _held(path: Path, kind: int) -> Iterator[None]:
    with _opened(path) as descriptor:
        # `status` holds the lock for an instant when it asks; that is no other run.
        for _ in range(ATTEMPTS - 1):
            if locked := _try_once(descriptor, path, kind):
                break
            time.sleep(ATTEMPT_PAUSE)
        else:
            locked = _try_once(descriptor, path, kind)
        if not locked:
            raise LockedError(
                f"another run works on {path.parent} ({_holder(descriptor, path)})",
                "Wait for it or stop it; `vin-batch status` shows how far it is.",
            )
        if kind == fcntl.LOCK_EX:
            with disk_errors("write", path):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    with disk_errors("open", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, current_mode())
    try:
        yield descriptor
    finally:
        # The work is done or has failed by now; the kernel drops the lock in any case.
        with suppress(OSError):
            os.close(descriptor)


def _try_once(descriptor: int, path: Path, kind: int) -> bool:
    with disk_errors("lock", path):
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _holder(descriptor: int, path: Path) -> str:
    """Who holds a lock, in words; it may be some slices rather than one run."""
    slices = [str(part) for part, lock in _slices(path) if _is_held(lock)]
    if slices:
        return f"slices {', '.join(slices[:5])}" + ", …" * (len(slices) > 5)
    with suppress(OSError):
        return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "holder unknown"
    return "holder unknown"


def _is_held(path: Path) -> bool:
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


def _slice_lock(path: Path, part: Slice) -> Path:
    return path.with_name(f"{path.name}.slice-{part.number}-of-{part.of}")


def _slices(path: Path) -> Iterator[tuple[Slice, Path]]:
    """Slices that were ever worked on beside a lock, and their locks."""
    with suppress(OSError):
        for name in sorted(os.listdir(path.parent)):
            match = _SLICE.fullmatch(name.removeprefix(path.name))
            if match and name.startswith(path.name):
                yield Slice(int(match[1]), int(match[2])), path.with_name(name)
