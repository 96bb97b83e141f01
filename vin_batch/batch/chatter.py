"""What C code in a worker writes to stderr.

libpng, libjpeg, libtiff and OpenCV complain there about every broken image: noise in a log, and
no JSON. A worker keeps it in memory instead, that of its present task only. Of a worker that
died the parent reads the end: it may tell why.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

MAX_WORDS: Final = 200
"""Bytes of the last line that are kept."""
_NAME: Final = "worker-stderr"
_caught: list[bool] = []


def catch() -> None:
    """Keep in memory what this process writes to file descriptor 2 from now on."""
    descriptor = os.memfd_create(_NAME, os.MFD_CLOEXEC)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    _caught.append(True)


def forget() -> None:
    """Drop what was kept: another task begins."""
    if _caught:
        with suppress(OSError):
            os.ftruncate(2, 0)


def listen(pid: int) -> int | None:
    """Open what a child process keeps, before it can die.

    Returns:
        A file descriptor; None where the child keeps nothing, or the system has no /proc.
    """
    name = Path(f"/proc/{pid}/fd/2")
    try:
        if not os.readlink(name).startswith(f"/memfd:{_NAME}"):  # noqa: PTH115 - no real path
            return None
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def last_words(descriptor: int | None) -> str:
    """The last line of what a child kept; empty where there is none."""
    if descriptor is None:
        return ""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, 4 * MAX_WORDS, max(0, size - 4 * MAX_WORDS))
    lines = [line for line in tail.decode("utf-8", "backslashreplace").splitlines() if line.strip()]
    return lines[-1].strip()[-MAX_WORDS:] if lines else ""


def stop_listening(descriptor: int | None) -> None:
    """Close what ``listen`` opened."""
    if descriptor is not None:
        os.close(descriptor)
