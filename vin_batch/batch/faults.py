"""Places where a test may kill the process, to prove that any death is survived.

``VIN_BATCH_CRASH_AT=readings:renamed:3`` ends the process, as ``kill -9`` would, when it
passes the named point for the third time. Without that variable a point costs a dictionary
lookup.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

VARIABLE: Final = "VIN_BATCH_CRASH_AT"
KILLED: Final = 137
"""Exit status that a shell reports for a process ended by SIGKILL."""

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    _passed[name] += 1
    target, _, occurrence = wanted.rpartition(":")
    if target == name and int(occurrence) == _passed[name]:
        os._exit(KILLED)
