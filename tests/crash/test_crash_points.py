"""The job dies at every step of publishing; the same command finishes it, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batch_fakes import fake_tools, make_config, readings_bytes
from crash_tools import drive, new_base
from vin_batch.batch.faults import KILLED, VARIABLE
from vin_batch.batch.job import run_job
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.verify import verify_run
from vin_batch.errors import ExitCode

CARDS = 10
"""Three shards of four cards and less."""

STEPS = ("written", "synced", "renamed")
POINTS = [
    "plan:renamed:1",
    "run_json:renamed:1",
    "run_json:renamed:2",
    *(f"readings:{step}:1" for step in STEPS),
    "publish:between:3",
    *(f"receipt:{step}:1" for step in STEPS),
    "publish:done:2",
    "outputs:renamed:2",
    "run_json:renamed:4",
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = new_base(tmp_path_factory.mktemp("crash"), CARDS)
    run_job(make_config(base, output=base / "undisturbed"), fake_tools())
    return base


@pytest.mark.parametrize("point", POINTS)
def test_death_at_any_step_is_survived(base: Path, point: str) -> None:
    output = base / point.replace(":", "_")
    code, _ = drive(base, {VARIABLE: point}, output=output, workers=1)
    assert code == KILLED, "the point was never passed"
    outcome = run_job(make_config(base, output=output), fake_tools())
    assert outcome.exit_code == ExitCode.DONE
    assert readings_bytes(output) == readings_bytes(base / "undisturbed")
    assert list(verify_run(RunDir(output))) == []
    assert not [name for _, _, names in os.walk(output) for name in names if ".tmp" in name]


def test_dying_again_and_again_still_ends(base: Path) -> None:
    output = base / "again"
    for _ in range(2):
        code, _ = drive(base, {VARIABLE: "publish:done:1"}, output=output, workers=1)
        assert code == KILLED
    outcome = run_job(make_config(base, output=output), fake_tools())
    assert outcome.shards_worked == 1, "every death came after a finished shard"
    assert readings_bytes(output) == readings_bytes(base / "undisturbed")
