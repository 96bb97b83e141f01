"""Which reading is the newest, when the clock is no help."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finished_run import RUN_ID, reading, unreadable
from loader_runs import run_of, set_read_at
from register_rows import night
from vin_batch.batch import host
from vin_batch.batch.ledger import load_run, save_run
from vin_batch.batch.publish import Evidence, Publisher
from vin_batch.batch.receipts import ShardState, load_receipt
from vin_batch.export.embedded import export_embedded
from vin_batch.export.shards import open_finished, read_time
from vin_batch.records import CardRef, Status

TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC, microsecond=0).isoformat()
)


@given(TIMES)
def test_a_time_after_another_is_later_and_not_before_now(moment: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    later = datetime.fromisoformat(host.now_after(moment))
    assert later >= max(before, datetime.fromisoformat(moment) + timedelta(seconds=1))
    assert later <= max(datetime.now(UTC), datetime.fromisoformat(moment) + timedelta(seconds=1))


@pytest.mark.parametrize("moment", ["", "yesterday", "9999-12-31T23:59:59+00:00"])
def test_a_time_that_is_none_is_passed_over(moment: str) -> None:
    assert abs(datetime.now(UTC) - datetime.fromisoformat(host.now_after(moment))).seconds < 5


@given(st.just("") | TIMES, TIMES)
def test_no_reading_is_before_what_its_run_comes_after(
    tmp_path_factory: pytest.TempPathFactory, not_before: str, finished: str
) -> None:
    run = tmp_path_factory.getbasetemp() / "order"
    if not run.exists():
        run_of(run, [[reading("a")]])
    whole = open_finished(run)
    record = replace(whole.record, not_before=not_before)
    read = read_time(record, replace(whole.receipt(0), finished_at=finished)).isoformat()
    assert read == max(not_before, finished)


@pytest.mark.parametrize("engine", ["duckdb", "sqlite"])
def test_a_shard_read_again_counts_whatever_the_clock_says(tmp_path: Path, engine: str) -> None:
    """Its first reading lies in the future, or in the very second of the second one."""
    for days in (3000, 0):
        folder = tmp_path / str(days)
        run = run_of(folder, [[unreadable("a", Status.FAILED), reading("b")]])
        first = (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")
        set_read_at(run, {0: first})
        file = tmp_path / f"{days}.db"
        export_embedded(folder, engine, file)
        cards = [CardRef(name, None, "0" * 32) for name in "ab"]
        again = [reading("a"), reading("b")]
        publisher = Publisher(run, RUN_ID, load_run(run).model["id"], "none")
        publisher.publish(0, cards, again, Evidence(ShardState.DONE))
        receipt = load_receipt(run, 0)
        assert receipt is not None
        assert receipt.finished_at > first
        outcome = export_embedded(folder, engine, file)
        assert (outcome.shards, outcome.stale) == (1, ())


def test_runs_by_hand_within_one_second_are_told_apart_the_same_way_each_time(
    tmp_path: Path,
) -> None:
    runs = [
        run_of(tmp_path / name, [[reading("a", confidence=0.5 + n / 10)]], name * 32, night(1))
        for n, name in enumerate("12")
    ]
    found: list[list[tuple[str]]] = []
    for order in (runs, runs[::-1]):
        file = tmp_path / f"{len(found)}.sqlite"
        for run in order:
            export_embedded(run.root, "sqlite", file)
        with sqlite3.connect(file) as connection:
            found.append(connection.execute("SELECT run_id FROM readings").fetchall())
    assert found == [[("2" * 32,)]] * 2


def test_what_a_run_comes_after_is_kept(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [[reading("a")]], read_at=night(1))
    save_run(run, replace(load_run(run), not_before=night(5)))
    whole = open_finished(run.root)
    assert read_time(whole.record, whole.receipt(0)) == datetime.fromisoformat(night(5))
