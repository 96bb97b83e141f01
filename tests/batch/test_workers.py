"""Workers that die, hang, raise, or meet an archive that changes under them."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

import batch_fakes
from batch_fakes import HANG, POISON, RAISE, box_png, fake_tools, make_archive, make_config
from crash_tools import wait_until
from vin_batch.archive import open_archive, walk
from vin_batch.batch import pool
from vin_batch.batch.job import JobOutcome, failed_again, run_job
from vin_batch.batch.pack import ShardTask
from vin_batch.batch.pool import WorkerPool
from vin_batch.batch.readings_schema import read_part
from vin_batch.batch.receipts import ShardState, iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import ChangedUnderRunError, ExitCode, VinBatchError


@pytest.fixture
def base(tmp_path: Path) -> Path:
    make_archive(tmp_path / "archive", 12)
    return tmp_path


def work(base: Path, **flags: object) -> JobOutcome:
    return run_job(make_config(base, **flags), fake_tools())


def spoil(base: Path, data: bytes) -> Path:
    """Card 5 of shard 1 (cards 4 to 7)."""
    path = base / "archive" / "box_01" / "card_0005" / "08.png"
    path.write_bytes(data)
    return path


def states(base: Path) -> dict[int, tuple[ShardState, int]]:
    return {r.shard: (r.state, r.failed_cards) for r in iter_receipts(RunDir(base / "run"))}


def test_deadly_card_quarantines_its_shard_alone_and_retry_heals(base: Path) -> None:
    work(base, output=base / "undisturbed")
    path = spoil(base, POISON)
    outcome = work(base)
    assert outcome.exit_code == ExitCode.FINISHED_WITH_FAILURES
    assert outcome.tally.quarantined == (1,)
    assert outcome.tally.cards == 12
    assert states(base) == {
        0: (ShardState.DONE, 0),
        1: (ShardState.QUARANTINED, 4),
        2: (ShardState.DONE, 0),
    }
    rows = read_part(RunDir(base / "run"), 1).to_pylist()
    assert [row["card_id"] for row in rows] == [
        f"box_{n // 5:02d}/card_{n:04d}" for n in (4, 5, 6, 7)
    ]
    assert {row["status"] for row in rows} == {"failed"}
    assert {char["issue"] for row in rows for char in row["chars"]} == {"not_read"}

    assert work(base).shards_worked == 0, "the same command does not try again by itself"
    path.write_bytes(box_png(5 * 100 + 8))
    healed = run_job(make_config(base), fake_tools(), failed_again)
    assert (healed.shards_worked, healed.exit_code) == (1, ExitCode.DONE)
    assert batch_fakes.readings_bytes(base / "run") == batch_fakes.readings_bytes(
        base / "undisturbed"
    )


def test_hanging_worker_is_stopped(base: Path) -> None:
    spoil(base, HANG)
    outcome = work(base, shard_timeout=0.7)
    assert outcome.tally.quarantined == (1,)
    receipt = next(r for r in iter_receipts(RunDir(base / "run")) if r.shard == 1)
    assert "no answer within" in receipt.errors[0]
    assert receipt.strikes == 3


def test_defect_on_one_box_costs_that_box_only(base: Path) -> None:
    spoil(base, RAISE)
    outcome = work(base)
    assert outcome.tally.quarantined == ()
    assert outcome.tally.issues == {"undecodable": 1}
    assert outcome.tally.statuses == {"failed": 1, "review": 11}
    receipt = next(r for r in iter_receipts(RunDir(base / "run")) if r.shard == 1)
    assert "card_0005" in receipt.errors[0]


def test_retry_reads_repaired_files_and_only_their_shards(base: Path) -> None:
    path = spoil(base, b"torn")
    assert work(base).exit_code == ExitCode.FINISHED_WITH_FAILURES
    path.write_bytes(box_png(1))
    with pytest.raises(ChangedUnderRunError) as caught:
        work(base)
    assert "retry" in caught.value.advice
    healed = run_job(make_config(base), fake_tools(), failed_again)
    assert (healed.shards_worked, healed.exit_code) == (1, ExitCode.DONE)
    assert work(base).shards_worked == 0


def test_retry_does_not_excuse_changes_elsewhere(base: Path) -> None:
    spoil(base, b"torn")
    work(base)
    (base / "archive" / "box_00" / "card_0001" / "01.png").write_bytes(box_png(1))
    with pytest.raises(ChangedUnderRunError, match="box_00/card_0001"):
        run_job(make_config(base), fake_tools(), failed_again)


def test_archive_that_changes_while_it_is_read(base: Path) -> None:
    def open_late(card: object, device: str) -> object:
        (base / "archive" / "box_02" / "card_0011" / "17.png").unlink()
        return batch_fakes.open_fake(card, device)  # type: ignore[arg-type]

    tools = fake_tools(open_classifier=open_late)
    with pytest.raises(ChangedUnderRunError, match="box_02/card_0011"):
        run_job(make_config(base, workers=1, shard_size=1), tools)
    done = {r.shard for r in iter_receipts(RunDir(base / "run"))}
    assert 11 not in done
    assert done


def test_pool_starts_anew_after_a_death(base: Path) -> None:
    spoil(base, POISON)
    outcome = work(base, shard_size=1, workers=2)
    assert outcome.tally.quarantined == (5,)
    assert outcome.tally.statuses == {"review": 11, "failed": 1}


def test_empty_pool_can_be_abandoned() -> None:
    empty = WorkerPool(2)
    assert empty.abandon().lost == []
    assert empty.wait(0.0).delivered == []
    assert empty.overdue(0.0) == []


def test_no_shard_is_blamed_where_workers_cannot_start(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "initialise_worker", batch_fakes.refuse_to_start)
    with pytest.raises(VinBatchError, match="cannot start"):
        work(base, workers=1, limit=4)
    assert states(base) == {}
    monkeypatch.undo()
    assert work(base, workers=1, limit=4).exit_code == ExitCode.DONE


def test_pool_abandoned_at_once_clears_up(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[object] = []
    monkeypatch.setattr(threading, "excepthook", complaints.append)
    spoil(base, HANG)
    root = open_archive(base / "archive")
    cards = tuple(walk(root)) * 1000
    for _ in range(3):
        busy = WorkerPool(2)
        for shard in range(4):
            busy.submit(ShardTask(root, shard, cards, batch_fakes.prepare))
        assert sorted(busy.abandon().lost) == [0, 1, 2, 3]
    assert complaints == []


def test_submitting_to_a_pool_whose_worker_just_died(base: Path) -> None:
    root = open_archive(base / "archive")
    cards = tuple(walk(root))
    deadly = spoil(base, POISON)
    busy = WorkerPool(1)
    assert busy.submit(ShardTask(root, 0, cards, batch_fakes.prepare))
    (future,) = busy._flights
    assert future.exception() is not None
    assert not busy.submit(ShardTask(root, 1, cards, batch_fakes.prepare))
    assert busy.wait(10).lost == [0]
    deadly.write_bytes(box_png(1))
    assert busy.submit(ShardTask(root, 1, cards, batch_fakes.prepare))
    assert [d.shard for d in busy.wait(60).delivered] == [1]
    for pid in list(busy._executor._processes):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: busy._executor._flags.broken is not None)
    assert busy.submit(ShardTask(root, 2, cards, batch_fakes.prepare)), "nobody to blame"
    assert [d.shard for d in busy.wait(60).delivered] == [2]
    busy.abandon()
