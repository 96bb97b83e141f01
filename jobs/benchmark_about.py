"""The machine and the versions that a figure belongs to."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

from vin_batch._version import __version__
from vin_batch.batch.host import now, versions
from vin_batch.config import default_workers


def about_machine() -> dict[str, Any]:
    """Processor, memory, system, versions, revision of the source, and the time."""
    return {
        "at": now(),
        "cpu": _cpu_model(),
        "cores": default_workers(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "vin_batch": __version__,
        "versions": versions(),
        "revision": _revision(),
    }


def load_average() -> str:
    """Load averages of 1, 5 and 15 minutes."""
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _revision() -> str:
    """Revision of the checkout, ``unknown`` for an installed package."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"
