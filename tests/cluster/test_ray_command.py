"""``vin-batch run --engine ray`` with the shipped model, on a Ray cluster of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from batch_fakes import readings_bytes
from cluster_fakes import RAY_SETTINGS
from crash_tools import environment
from vin_batch.errors import ExitCode

pytest.importorskip("ray", reason="Ray is not installed: pip install 'vin_batch[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SAMPLES = Path(__file__).parents[2] / "sample_cards"


def vin_batch(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "vin_batch", *arguments],
        env=environment(**RAY_SETTINGS), capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode in {ExitCode.DONE, ExitCode.FINISHED_WITH_FAILURES}, done.stderr
    return done


def test_the_command_gives_the_same_bytes_with_ray(tmp_path: Path) -> None:
    usual = ("--shard-size", "8", "--limit", "20", "--workers", "2", "--log-format", "json")
    here = vin_batch("run", str(SAMPLES), "-o", str(tmp_path / "here"), *usual)
    there = vin_batch(
        "run", str(SAMPLES), "-o", str(tmp_path / "there"), *usual,
        "--engine", "ray", "--ray-address", "local",
    )  # fmt: skip
    assert readings_bytes(tmp_path / "there") == readings_bytes(tmp_path / "here")
    assert there.returncode == here.returncode
    assert there.stdout == ""
    assert all(json.loads(line)["message"] for line in there.stderr.splitlines())
    again = vin_batch("run", str(SAMPLES), "-o", str(tmp_path / "there"), *usual)
    assert "nothing to do" in again.stderr, "either engine resumes what the other began"
