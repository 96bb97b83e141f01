"""Preprocessing that complains on stderr as C libraries do; workers import it."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

import batch_fakes
from vin_batch.records import BoxIssue

NOISE = b"libpng error: noise of a worker\n"
LAST_WORDS = b"free(): invalid pointer of a worker\n"


def prepare(data: bytes) -> tuple[NDArray[np.uint8], BoxIssue]:
    """Complain, and die with a last word where the file says so."""
    os.write(2, NOISE)
    if batch_fakes.POISON in data:
        os.write(2, LAST_WORDS)
    return batch_fakes.prepare(data)
