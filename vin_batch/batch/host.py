"""Facts about this process for receipts and ``run.json``."""

from __future__ import annotations

import os
import platform
import resource
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

LIBRARIES: Final = (
    "tensorflow",
    "keras",
    "opencv-python-headless",
    "numpy",
    "pyarrow",
    "joblib",
    "vininfo",
)
"""Distributions whose version may show in results."""

OPTIONAL_LIBRARIES: Final = ("rapidocr", "onnxruntime", "ai-edge-litert")
"""Such ones that come with an extra: named where they are installed."""


def now() -> str:
    """The time, ISO 8601 with time zone, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def now_after(moment: str) -> str:
    """The time, but a second after another time where the clock is not past that.

    Args:
        moment: ISO 8601 with time zone; anything else is passed over.
    """
    try:
        least = datetime.fromisoformat(moment).astimezone(UTC) + timedelta(seconds=1)
    except (ValueError, OverflowError):
        return now()
    return max(datetime.now(UTC), least).isoformat(timespec="seconds")


def host_name() -> str:
    """Name of this machine."""
    return socket.gethostname()


def versions() -> dict[str, str]:
    """Versions of Python and the libraries, without importing them."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    for name in OPTIONAL_LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def resident_bytes() -> int:
    """Resident memory of this process now, in bytes; its peak where /proc is not there."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGESIZE")
