"""What a worker may take, so that a crop that is too much for it costs the worker only."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

MIB: Final = 2**20
EXPENDABLE: Final = 500
"""Added to the kernel's score, -1000 to 1000, by which it chooses whom to kill when memory
is short. A worker that dies costs a second read; the main process, mostly the larger one,
costs the run. Half of the scale still lets a stranger that fills the machine go first."""

_SCORE: Final = Path("/proc/self/oom_score_adj")
_STATUS: Final = Path("/proc/self/status")


def offer_to_kernel() -> None:
    """Let the kernel kill this process rather than its parent. Does nothing beside Linux."""
    with suppress(OSError, ValueError):
        if int(_SCORE.read_text()) < EXPENDABLE:
            _SCORE.write_text(str(EXPENDABLE))


def limit_memory(mebibytes: int) -> None:
    """Let allocations fail beyond a limit; Python and NumPy then raise ``MemoryError``.

    The limit counts from what is taken now: libraries reserve address space when they are
    loaded, more on machines with more cores, and use little of it. Does nothing beside Linux.

    Args:
        mebibytes: What this process may take in addition, in MiB.
    """
    with suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = _private_bytes() + mebibytes * MIB
        if most != resource.RLIM_INFINITY:
            wanted = min(wanted, most)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, most))


def _private_bytes() -> int:
    """Private writable memory of this process, as ``RLIMIT_DATA`` counts it."""
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) * 1024
