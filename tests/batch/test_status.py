"""The status of a run for monitors: complete, stable, honest about what it does not know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from finished_run import make_run, reading, unreadable
from vin_batch.batch.ledger import load_run, save_run, with_session
from vin_batch.batch.lock import hold
from vin_batch.batch.pace import Pace, pace_of
from vin_batch.batch.receipts import Receipt, load_receipt, save_receipt
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.status import (
    KEYS,
    RunState,
    describe,
    is_starting,
    read_status,
    starting,
)
from vin_batch.cli import main
from vin_batch.errors import ExitCode
from vin_batch.records import Status

BEGAN = datetime(2026, 1, 31, 2, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """Two of three shards done, 20 and 40 seconds after the session began."""
    cards = [[reading(f"{shard}/{card}") for card in range(10)] for shard in range(3)]
    run = make_run(tmp_path / "run", cards, unfinished={2})
    set_session(run, finished_at=None, outcome=None)
    for shard in (0, 1):
        set_receipt(run, shard, finished_at=at(20 * (shard + 1)).isoformat())
    return run


def set_session(run: RunDir, **values: object) -> None:
    save_run(run, with_session(load_run(run), **values))


def set_receipt(run: RunDir, shard: int, **values: object) -> None:
    receipt = load_receipt(run, shard)
    assert receipt is not None
    save_receipt(run, replace(receipt, **values))  # type: ignore[arg-type]


def test_a_running_session_tells_its_pace(run: RunDir) -> None:
    with hold(run.lock):
        status = read_status(run, at(50))
        found = status.as_dict()
        words = describe(status)
    assert found["state"] == "running"
    assert found["last_progress_at"] == "2026-01-31T02:00:40+00:00"
    assert found["seconds_since_progress"] == 10.0
    assert (found["session_cards"], found["cards_per_second"]) == (20, 0.5)
    assert found["eta_seconds"] == 20.0
    assert (found["attention"], found["stalled"], found["died"]) == ([], False, False)
    assert found["last_exit_code"] is None
    assert "0.5 cards/s" in words
    assert "last progress 10 s ago" in words


def test_a_session_without_progress_is_stuck_in_the_end(run: RunDir) -> None:
    with hold(run.lock):
        limit = read_status(run).stalled_after
        before = read_status(run, at(40 + limit)).as_dict()
        after = read_status(run, at(41 + limit)).as_dict()
    assert (before["stalled"], before["attention"]) == (False, [])
    assert (after["stalled"], after["attention"]) == (True, ["stalled"])
    assert limit == 2100.0


def test_the_limit_follows_the_setting(run: RunDir) -> None:
    save_run(run, replace(load_run(run), config={"shard_timeout": 60.0}))
    assert read_status(run).stalled_after == 360.0


def test_a_session_that_ended_without_a_word_died(run: RunDir) -> None:
    status = read_status(run, at(50))
    found = status.as_dict()
    assert (found["state"], found["died"]) == ("incomplete", True)
    assert found["attention"] == ["not_running", "died"]
    assert found["eta_seconds"] is None
    assert "without a word" in describe(status)


@pytest.mark.parametrize("code", list(ExitCode))
def test_the_last_exit_code_is_known(run: RunDir, code: ExitCode) -> None:
    set_session(run, outcome=code.name.lower(), finished_at=at(45).isoformat())
    found = read_status(run, at(50)).as_dict()
    assert found["last_exit_code"] == code
    assert not found["died"]


def test_shards_of_earlier_sessions_do_not_count_for_the_pace(run: RunDir) -> None:
    set_receipt(run, 0, finished_at=at(-3600).isoformat())
    found = read_status(run, at(50)).as_dict()
    assert (found["session_cards"], found["cards_per_second"]) == (10, 0.25)
    assert found["cards_done"] == 20


def test_failures_want_attention(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a"), unreadable("b", Status.FAILED)]])
    found = read_status(run).as_dict()
    assert "failed_cards" in found["attention"]
    assert found["statuses"] == {"accepted": 1, "review": 0, "unreadable": 0, "failed": 1}
    record = load_run(run)
    save_run(run, replace(record, walk={**record.walk, "unreadable_folders": 2}))
    assert "unreadable_folders" in read_status(run).as_dict()["attention"]


def test_keys_are_stable(run: RunDir) -> None:
    found = read_status(run).as_dict()
    assert set(KEYS) <= found.keys()
    assert starting().keys() == set(KEYS)
    json.dumps(found)


def test_a_clock_that_was_set_back_gives_no_nonsense(run: RunDir) -> None:
    found = read_status(run, at(-100)).as_dict()
    assert found["seconds_since_progress"] == 0.0
    set_session(run, started_at=at(3600).isoformat())
    found = read_status(run, at(50)).as_dict()
    assert (found["session_cards"], found["cards_per_second"]) == (0, None)


def session(started: datetime) -> Mapping[str, Any]:
    return {"started_at": started.isoformat()}


def test_pace_without_a_session_or_without_time(run: RunDir) -> None:
    receipts: list[Receipt] = [r for r in (load_receipt(run, 0), load_receipt(run, 1)) if r]
    assert pace_of(None, receipts) == Pace(0, None, 0.0)
    assert Pace(0, None, 0.0).seconds_since(BEGAN) is None
    assert pace_of(session(at(40)), receipts) == Pace(10, at(40), 0.0)
    assert pace_of(session(at(40)), receipts).cards_per_second is None
    assert pace_of(session(at(40)), receipts).seconds_left(5) is None


def test_a_run_that_lists_its_archive_is_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDir(tmp_path)
    assert not is_starting(run)
    assert main(["status", str(tmp_path), "--json"]) == ExitCode.USAGE
    with hold(run.lock):
        capsys.readouterr()
        assert main(["status", str(tmp_path), "--json", "--check"]) == 0
        assert json.loads(capsys.readouterr().out)["state"] == RunState.STARTING


def test_check_says_by_its_exit_code_whether_to_look(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["status", str(run.root)]
    assert main(arguments) == ExitCode.DONE
    assert main([*arguments, "--check"]) == ExitCode.FINISHED_WITH_FAILURES
    set_session(run, started_at=datetime.now(UTC).isoformat())
    with hold(run.lock):
        assert main([*arguments, "--check"]) == ExitCode.DONE
    capsys.readouterr()
