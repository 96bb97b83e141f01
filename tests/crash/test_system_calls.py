"""The job dies or is failed at its system calls, one by one; the same command finishes it.

``crash_steps.py`` takes every call with a last argument of 1; here every few of them are taken,
so that the tests stay fast, and all of those that publish.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash_tools import TESTS, environment
from crash_tracer import POSSIBLE

pytestmark = [
    pytest.mark.skipif(not POSSIBLE, reason="needs ptrace on Linux, x86-64"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of fsyncs are slow on a disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


def steps(*arguments: object) -> int:
    """Run the walk over the calls; how many it tried."""
    done = subprocess.run(
        [sys.executable, str(TESTS / "crash_steps.py"), *map(str, arguments)],
        env=environment(OPENBLAS_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.stdout, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["problems"] == [], done.stderr[-2000:]
    assert done.returncode == 0
    return int(outcome["tried"])


def test_killed_between_any_two_calls_of_publishing(base: Path) -> None:
    assert steps("publish", "fresh", base) > 60
    assert steps("publish", "again", base / "again") > 60


@pytest.mark.slow
@pytest.mark.parametrize(("start", "every"), [("fresh", 5), ("half", 5), ("retry", 5)])
def test_killed_between_calls_that_change_files(base: Path, start: str, every: int) -> None:
    assert steps("kill", start, base, every) > 10


@pytest.mark.slow
@pytest.mark.parametrize(("start", "every"), [("fresh", 19), ("half", 19), ("retry", 23)])
def test_every_kind_of_call_fails(base: Path, start: str, every: int) -> None:
    assert steps("fail", start, base, every) > 15
