"""A night dies at any step; the same command next finishes it, as if nothing had happened."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batch_fakes import box_png, make_archive, make_card
from crash_tools import PATIENCE, TESTS, assert_gone, children_of, environment, wait_until
from night_fakes import catalogue_rows, night, nights_of, what_is_read
from vin_batch.batch.faults import KILLED, VARIABLE
from vin_batch.batch.verify import Severity, verify_run
from vin_batch.errors import ExitCode, LockedError

POINTS = [
    "night:kept:1",
    "night:chosen:1",
    "plan:renamed:1",
    "readings:renamed:2",
    "catalogue:renamed:2",
    "current:renamed:1",
    "run_json:renamed:4",
    "night:synced:1",
]
SETTINGS: dict[str, Any] = {"keep_nights": 1, "current": ["csv", "parquet"]}


def prepare(base: Path) -> None:
    """A first night, and then new, changed, touched and missing cards."""
    make_archive(base / "archive", 6)
    night(base, **SETTINGS)
    make_archive(base / "archive" / "more", 9)
    card = base / "archive" / "box_00"
    (card / "card_0001" / "03.png").write_bytes(box_png(4711))
    (card / "card_0002" / "03.png").touch()
    shutil.rmtree(card / "card_0003")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("prepared")
    prepare(base)
    return base


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("undisturbed") / "base"
    shutil.copytree(prepared, base, copy_function=shutil.copy2)
    night(base, **SETTINGS)
    return base


@pytest.fixture
def base(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2)
    return tmp_path


def command(base: Path, how: str) -> list[str]:
    return [sys.executable, str(TESTS / "night_driver.py"), str(base), how]


def drive(base: Path, how: str = "inline", **variables: str) -> int:
    return subprocess.run(
        command(base, how), env=environment(**variables), timeout=PATIENCE, check=False
    ).returncode


def assert_same(base: Path, undisturbed: Path) -> None:
    for kind in ("csv", "parquet"):
        ours, theirs = nights_of(base).current(kind), nights_of(undisturbed).current(kind)
        assert ours.read_bytes() == theirs.read_bytes()
    kept = [what_is_read(row) for row in catalogue_rows(base)]
    assert kept == [what_is_read(row) for row in catalogue_rows(undisturbed)]
    missing = [row.card_id for row in catalogue_rows(base) if row.missing_since]
    assert missing == ["box_00/card_0003"]
    for name in nights_of(base).run_names():
        findings = verify_run(nights_of(base).run(name))
        assert not [f for f in findings if f.severity is Severity.DAMAGE]
    names = [name for _, _, files in os.walk(base / "nights") for name in files]
    assert not [name for name in names if ".tmp" in name]


@pytest.mark.parametrize("point", POINTS)
def test_death_at_any_step_is_survived(base: Path, undisturbed: Path, point: str) -> None:
    assert drive(base, **{VARIABLE: point}) == KILLED, "the point was never passed"
    summary = night(base, **SETTINGS)
    assert summary.outcome == ExitCode.DONE
    assert_same(base, undisturbed)
    after = night(base, **SETTINGS)
    assert (sum(after.read.values()), after.jobs) == (0, {})
    assert_same(base, undisturbed)


def test_asked_to_stop_while_workers_read(base: Path, undisturbed: Path) -> None:
    slow = environment(FAKE_PAUSE="0.5")
    receipts = nights_of(base).run("000002").receipts_dir
    with subprocess.Popen(command(base, "workers"), env=slow) as process:
        wait_until(lambda: receipts.is_dir() and any(receipts.glob("part-*")))
        children = children_of(process.pid)
        with pytest.raises(LockedError):
            night(base, **SETTINGS)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == ExitCode.TERMINATED
    assert_gone(children)
    assert drive(base, "workers") == ExitCode.DONE
    assert_same(base, undisturbed)


def test_a_card_arrives_between_death_and_the_next_night(base: Path) -> None:
    assert drive(base, **{VARIABLE: "publish:done:1"}) == KILLED
    make_card(base / "archive" / "late", 99)
    (base / "archive" / "more" / "box_01" / "card_0008" / "02.png").write_bytes(box_png(5))
    night(base, **SETTINGS)
    assert len(catalogue_rows(base)) == 6 + 9 + 1
    assert sum(night(base, **SETTINGS).read.values()) == 0
