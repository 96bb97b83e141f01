"""Two runs on one output, and what an earlier one left in the lock file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from batch_fakes import fake_tools, make_config, readings_bytes
from crash_tools import PATIENCE, command, environment, new_base
from vin_batch.batch.job import run_job
from vin_batch.batch.lock import hold
from vin_batch.errors import ExitCode

ROUNDS, RUNNERS = 25, 8

RACE = f"""
import os, sys
from pathlib import Path
from vin_batch.batch.lock import hold
from vin_batch.errors import LockedError
folder = Path(sys.argv[1])

def compete(number, start, end):
    os.close(start[1])
    os.close(end[1])
    os.read(start[0], 1)
    try:
        with hold(folder / f"lock_{{number}}"):
            os.close(os.open(folder / f"inside_{{number}}", os.O_CREAT | os.O_EXCL))
            os.read(end[0], 1)
            (folder / f"inside_{{number}}").unlink()
            return 0
    except LockedError:
        return 9

for number in range({ROUNDS}):
    start, end = os.pipe(), os.pipe()
    for _ in range({RUNNERS}):
        if not os.fork():
            os._exit(compete(number, start, end))
    os.close(start[1])
    codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range({RUNNERS} - 1)]
    os.close(end[1])
    codes.append(os.waitstatus_to_exitcode(os.wait()[1]))
    assert codes == [9] * ({RUNNERS} - 1) + [0], codes
    os.close(start[0])
    os.close(end[0])
print("raced")
"""


def test_of_many_that_start_at_once_one_holds_the_lock(tmp_path: Path) -> None:
    """The holder waits until the others have given up; all must see it."""
    done = subprocess.run(
        [sys.executable, "-c", RACE, str(tmp_path)],
        env=environment(), capture_output=True, text=True, timeout=PATIENCE * 2, check=False,
    )  # fmt: skip
    assert done.stdout == "raced\n", done.stderr


def test_jobs_started_at_once(tmp_path: Path) -> None:
    base = new_base(tmp_path, 10)
    run_job(make_config(base, output=base / "undisturbed"), fake_tools())
    seen: Counter[int] = Counter()
    for number in range(3):
        output = base / f"run_{number}"
        racers = [
            subprocess.Popen(
                command(base, output=output, workers=1),
                env=environment(FAKE_LOAD="2"),
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for racer in racers:
            _, words = racer.communicate(timeout=PATIENCE)
            assert racer.returncode in {ExitCode.DONE, ExitCode.LOCKED}, words
            seen[racer.returncode] += 1
        assert run_job(make_config(base, output=output), fake_tools()).shards_worked == 0
        assert readings_bytes(output) == readings_bytes(base / "undisturbed")
    assert seen[ExitCode.DONE] >= 3
    assert seen[ExitCode.LOCKED] >= 1


@pytest.mark.parametrize(
    "text",
    [
        f"pid {os.getpid()} on another-host.example\n",
        f"pid {os.getppid()} on {os.uname().nodename}\n",
        "",
        "\0" * 4096,
        "pid 1 on " + "x" * 100_000,
    ],
    ids=["other host", "pid in use again", "empty", "zeros after a power cut", "too long"],
)
def test_what_a_dead_holder_wrote_does_not_lock(tmp_path: Path, text: str) -> None:
    """After a reboot the file is there, but no lock: the kernel kept that."""
    lock = tmp_path / "lock"
    lock.write_text(text)
    with hold(lock):
        assert lock.read_text() == f"pid {os.getpid()} on {os.uname().nodename}\n"
