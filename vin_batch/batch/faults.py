"""Places where a test may kill the process or fail it, to prove that everything is survived.

``VIN_BATCH_CRASH_AT=readings:renamed:3`` ends the process, as ``kill -9`` would, when it
passes the named point for the third time. ``VIN_BATCH_FAIL_AT=readings:written:2:ENOSPC`` is
answered at the second passing with that error of the system. Without these variables a point
costs two dictionary lookups.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from typing import Final

VARIABLE: Final = "VIN_BATCH_CRASH_AT"
FAIL_VARIABLE: Final = "VIN_BATCH_FAIL_AT"
KILLED: Final = 137
"""Exit status that a shell reports for a process ended by SIGKILL."""

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """Die or fail here if the environment says so.

    Raises:
        OSError: The environment asked for it.
    """
    killing, failing = os.environ.get(VARIABLE), os.environ.get(FAIL_VARIABLE)
    if killing is None and failing is None:
        return
    _passed[name] += 1
    here = f"{name}:{_passed[name]}"
    if killing == here:
        os._exit(KILLED)
    if failing is not None:
        place, _, error = failing.rpartition(":")
        if place == here:
            number = getattr(errno, error)
            raise OSError(number, os.strerror(number))
