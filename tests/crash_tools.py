"""Starting, killing and watching processes of the job in tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from batch_fakes import make_archive, make_config

TESTS = Path(__file__).parent
PATIENCE = 60.0
"""Seconds until a test gives up waiting; never the measure of anything."""


def environment(**variables: str) -> dict[str, str]:
    """The environment with tests and project importable."""
    path = os.pathsep.join((str(TESTS), str(TESTS.parent)))
    return {**os.environ, "PYTHONPATH": path, **variables}


def command(base: Path, **flags: object) -> list[str]:
    driver = [sys.executable, str(TESTS / "crash_driver.py"), str(base)]
    return driver + [f"{name}={value}" for name, value in flags.items()]


def drive(base: Path, variables: dict[str, str] | None = None, **flags: object) -> tuple[int, str]:
    """Run the job to its end; exit code and stderr."""
    done = subprocess.run(
        command(base, **flags),
        env=environment(**(variables or {})),
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stderr


@contextlib.contextmanager
def driving(base: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The job in the background; killed at the end of the block, if it still runs."""
    with subprocess.Popen(
        command(base), env=environment(**variables), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.02)


def children_of(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def assert_gone(processes: list[psutil.Process]) -> None:
    """Every one of these processes ends."""
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    alive = [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not alive, f"left behind: {alive}"


def receipts(base: Path) -> int:
    return len(list((base / "run" / "receipts").glob("part-*.json")))


def new_base(base: Path, cards: int) -> Path:
    """``base`` with an archive and a model, ready for a run."""
    make_archive(base / "archive", cards)
    make_config(base)
    return base
