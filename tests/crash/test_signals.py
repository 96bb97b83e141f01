"""Kill, terminate and interrupt: no child stays, nothing is lost, the same bytes come out."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from batch_fakes import fake_tools, make_config, readings_bytes
from crash_tools import (
    assert_gone,
    children_of,
    drive,
    driving,
    new_base,
    receipts,
    wait_until,
)
from vin_batch.batch.job import run_job
from vin_batch.batch.lock import is_held
from vin_batch.errors import ExitCode

SLOW = {"FAKE_PAUSE": "0.2"}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return new_base(tmp_path, 40)


def finish_and_compare(base: Path) -> None:
    run_job(make_config(base), fake_tools())
    run_job(make_config(base, output=base / "undisturbed", workers=1), fake_tools())
    assert readings_bytes(base / "run") == readings_bytes(base / "undisturbed")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, 143)]
)
def test_asked_to_stop_in_the_middle(base: Path, number: int, code: int) -> None:
    with driving(base, **SLOW) as process:
        wait_until(lambda: receipts(base) >= 1)
        children = children_of(process.pid)
        assert children, "workers should be running"
        process.send_signal(number)
        assert process.wait(timeout=30) == code
        assert "stopped on request" in (process.stderr.read() if process.stderr else "")
    assert_gone(children)
    assert not is_held(base / "run" / "lock")
    assert 1 <= receipts(base) < 10
    finish_and_compare(base)


def test_asked_to_stop_while_the_model_loads(base: Path) -> None:
    with driving(base, FAKE_LOAD="600") as process:
        wait_until(lambda: len(children_of(process.pid)) >= 2)
        children = children_of(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == ExitCode.TERMINATED
    assert_gone(children)


def test_second_signal_ends_at_once(base: Path) -> None:
    with driving(base, FAKE_PAUSE="600") as process:
        wait_until(lambda: len(children_of(process.pid)) >= 2)
        time.sleep(1.0)
        children = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == ExitCode.INTERRUPTED
    assert_gone(children)
    finish_and_compare(base)


def test_killed_at_random_moments(base: Path) -> None:
    moments = random.Random(5)
    for _ in range(3):
        with driving(base, **SLOW) as process:
            wait_until(lambda: len(children_of(process.pid)) >= 1 or process.poll() is not None)
            time.sleep(moments.uniform(0.0, 0.8))
            children = children_of(process.pid)
            process.kill()
            process.wait()
        assert_gone(children)
        assert not is_held(base / "run" / "lock")
    finish_and_compare(base)


def test_two_runs_at_once(base: Path) -> None:
    with driving(base, **SLOW):
        wait_until(lambda: is_held(base / "run" / "lock"))
        code, words = drive(base)
        assert code == ExitCode.LOCKED
        assert "another run works on" in words
