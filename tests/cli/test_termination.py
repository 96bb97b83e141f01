"""SIGTERM ends commands that use worker processes, and their workers with them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil


def wait_for_workers(process: subprocess.Popen[bytes], patience: float = 60.0) -> list[int]:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        if len(children) >= 2:
            return [child.pid for child in children]
        time.sleep(0.1)
    raise AssertionError("no worker processes appeared")


def test_sigterm_leaves_no_worker(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vin_batch", "synthesise", str(tmp_path / "cards")]
    process = subprocess.Popen(
        [*command, "--cards", "100000", "--workers", "2"], stderr=subprocess.DEVNULL
    )
    workers = wait_for_workers(process)
    process.terminate()
    assert process.wait(timeout=60) == 143
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in workers if psutil.pid_exists(pid)], timeout=20
    )
    assert not alive
