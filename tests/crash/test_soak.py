"""The soak finds nothing in a short time; and it would find something."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from crash_inline import make_base
from crash_tools import TESTS, environment
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import ExitCode

if TYPE_CHECKING:
    from soak_checks import Reference

JOBS = TESTS.parent / "jobs"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_soak() -> None:
    """Few cards in as many shards as a larger run has: the disturbances are what counts."""
    flags = ["--seconds", "40", "--cards", "30", "--shard-size", "3", "--seed", "20", "--json"]
    done = subprocess.run(
        [sys.executable, str(JOBS / "soak.py"), *flags],
        env=environment(), capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["broken"] == []
    assert result["rounds"] >= 1
    assert result["sessions"] > result["rounds"]


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(JOBS)
    return import_module("soak_checks")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("soak"))


@pytest.fixture
def run(base: Path, tmp_path: Path) -> RunDir:
    shutil.copytree(base / "undisturbed", tmp_path / "run")
    return RunDir(tmp_path / "run")


@pytest.fixture
def reference(checks: ModuleType, base: Path) -> Reference:
    readings, csv = checks.results_of(RunDir(base / "undisturbed"))
    made: Reference = checks.Reference(ExitCode.DONE, readings, csv, 1.0, 5)
    return made


def complete(
    checks: ModuleType, run: RunDir, reference: Reference, code: int = ExitCode.DONE
) -> str:
    return "; ".join(checks.check_complete(run, reference, code))


def test_what_is_whole_passes(
    checks: ModuleType, base: Path, run: RunDir, reference: Reference
) -> None:
    assert complete(checks, run, reference) == ""
    assert list(checks.check_unfinished(run, reference, set())) == []
    assert list(checks.check_cards(run, base / "archive")) == []


def test_what_is_not_is_found(
    checks: ModuleType, base: Path, run: RunDir, reference: Reference
) -> None:
    assert "exit 3" in complete(checks, run, reference, ExitCode.FINISHED_WITH_FAILURES)
    (run.readings_dir / ".part-00000.parquet.tmp").write_bytes(b"")
    assert "left over" in complete(checks, run, reference)
    shutil.copyfile(run.readings(0), run.readings(1))
    words = "; ".join(checks.check_unfinished(run, reference, {0}))
    assert words == "readings of shard 1 are not those of the undisturbed run"
    assert list(checks.check_unfinished(run, reference, {1})) == []
    assert "5 cards, 5 rows: 2 lost, 2 twice" in list(checks.check_cards(run, base / "archive"))
    run.readings(1).unlink()
    assert "receipt without readings" in "; ".join(checks.check_unfinished(run, reference, set()))
    run.receipt(1).write_bytes(b"{")
    assert "torn" in "; ".join(checks.check_unfinished(run, reference, set()))
    run.receipt(1).unlink()
    assert "2 shards instead of 3" in complete(checks, run, reference)


def test_memory_that_grows_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(JOBS)
    usage = import_module("soak_processes").Usage()
    assert usage.slope() is None
    for step in range(20):
        usage.cards.append(100 * step)
        usage.rss_bytes.append(2**20 * (50 + step))
        usage.descriptors.append(10 + step)
    assert usage.slope() == pytest.approx(100.0)
    assert usage.leaked_descriptors() > 0
