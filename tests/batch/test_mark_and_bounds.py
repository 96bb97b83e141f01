"""Memory that outlives a worker, and memory that it may not have."""

from __future__ import annotations

import subprocess
import sys

import pytest

from crash_tools import PATIENCE, environment
from vin_batch.batch.mark import NO_ROW, RowMark

LIMITED = """
import numpy as np
from pathlib import Path
from vin_batch.batch.bounds import EXPENDABLE, limit_memory, offer_to_kernel
offer_to_kernel()
assert int(Path("/proc/self/oom_score_adj").read_text()) >= EXPENDABLE
limit_memory(64)
assert np.ones(2**24, np.uint8).sum() == 2**24
try:
    np.ones(2**28, np.uint8)
except MemoryError:
    print("refused")
"""


def test_mark_begins_nowhere_and_remembers() -> None:
    mark = RowMark()
    assert mark.row == NO_ROW
    mark.set(99_999)
    assert mark.row == 99_999
    mark.row = NO_ROW
    assert mark.row == NO_ROW
    mark.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_beyond_the_limit_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.stdout == "refused\n", done.stderr
