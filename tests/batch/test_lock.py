from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vin_batch.batch.lock import hold, is_held
from vin_batch.errors import ExitCode, LockedError

HOLD = """
import sys, time
from pathlib import Path
from vin_batch.batch.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_holder_is_told_who_holds_it(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with hold(lock):
        assert is_held(lock)
        with pytest.raises(LockedError, match=f"pid {os.getpid()}") as caught, hold(lock):
            pass
        assert caught.value.exit_code == ExitCode.LOCKED
    assert not is_held(lock)


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_held(lock)
        holder.kill()
        holder.wait()
    with hold(lock):
        assert f"pid {os.getpid()} " in lock.read_text()


def test_no_lock_file_is_not_held(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "lock")
