"""Workers that die, hang, raise, or meet an archive that changes under them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import batch_fakes
from batch_fakes import HANG, POISON, RAISE, SCARCE, box_png, fake_tools, make_archive, make_config
from crash_tools import wait_until
from vin_batch.archive import open_archive, walk
from vin_batch.batch import worker
from vin_batch.batch.job import JobOutcome, failed_again, run_job
from vin_batch.batch.pack import ShardTask
from vin_batch.batch.pool import Limits, Round, WorkerPool
from vin_batch.batch.receipts import ShardState, iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import ChangedUnderRunError, ExitCode, VinBatchError

LIMITS = Limits(card_seconds=600.0, task_seconds=600.0)


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


def test_defect_on_one_box_costs_that_box_only(base: Path) -> None:
    spoil(base, RAISE)
    outcome = work(base)
    assert not outcome.tally.poisoned
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


def test_no_shard_is_blamed_where_workers_cannot_start(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "live", batch_fakes.refuse_to_start)
    with pytest.raises(VinBatchError, match="cannot start"):
        work(base, workers=1, limit=4)
    assert states(base) == {}
    monkeypatch.undo()
    assert work(base, workers=1, limit=4).exit_code == ExitCode.DONE


def tasks(base: Path, shards: int, repeat: int = 1) -> list[ShardTask]:
    root = open_archive(base / "archive")
    cards = tuple(walk(root)) * repeat
    return [ShardTask(root, shard, cards, batch_fakes.prepare) for shard in range(shards)]


@pytest.fixture
def busy() -> Iterator[WorkerPool]:
    busy = WorkerPool(2, LIMITS)
    yield busy
    busy.close()


def test_idle_pool_closes() -> None:
    idle = WorkerPool(2, LIMITS)
    assert idle.wait(0.0) == Round()
    idle.close()


def test_pool_closes_at_any_moment(base: Path) -> None:
    moments = random.Random(3)
    for number in range(5):
        busy = WorkerPool(2, LIMITS)
        for task in tasks(base, 4, repeat=100):
            busy.submit(task)
        while number and not busy.wait(0.1).delivered:
            pass
        pids = busy.pids()
        time.sleep(moments.uniform(0.0, 0.05))
        busy.close()
        assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_worker_killed_while_it_answers_costs_one_shard(base: Path, busy: WorkerPool) -> None:
    """The answer is far larger than a pipe: a kill leaves half of it behind."""
    moments = random.Random(4)
    for task in tasks(base, 24, repeat=40):
        busy.submit(task)
    outcomes: list[int] = []
    kills = 0
    while len(outcomes) < 24:
        news = busy.wait(0.2)
        outcomes += [d.shard for d in news.delivered] + [loss.shard for loss in news.lost]
        kills += len(news.lost)
        if news.delivered and kills < 5:
            time.sleep(moments.uniform(0.0, 0.02))
            for pid in busy.pids()[:1]:
                os.kill(pid, signal.SIGKILL)
    assert sorted(outcomes) == list(range(24))
    assert kills >= 1


def test_idle_worker_that_was_killed_is_replaced(base: Path, busy: WorkerPool) -> None:
    first, second = tasks(base, 2)
    busy.submit(first)
    assert [d.shard for d in busy.wait(60).delivered] == [0]
    for pid in busy.pids():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not busy.pids())
    busy.submit(second)
    news = busy.wait(60)
    assert [d.shard for d in news.delivered] == [1]
    assert news.lost == []


@pytest.mark.parametrize(
    ("data", "limits", "row", "cause"),
    [
        (POISON, LIMITS, 5, "killed by SIGKILL"),
        (SCARCE, LIMITS, 5, "MemoryError"),
        (HANG, Limits(card_seconds=3.0, task_seconds=600.0), 5, "no answer within 3 s"),
        (HANG, Limits(card_seconds=600.0, task_seconds=0.7), None, "no answer within 0.7 s"),
    ],
)
def test_loss_names_the_card_that_the_worker_was_on(
    base: Path, data: bytes, limits: Limits, row: int | None, cause: str
) -> None:
    """A limit for the whole task speaks against no card."""
    spoil(base, data)
    pool = WorkerPool(1, limits)
    pool.submit(tasks(base, 1)[0])
    news = pool.wait(60)
    pool.close()
    (loss,) = news.lost
    assert (loss.shard, loss.row, loss.timed_out) == (0, row, data == HANG)
    assert cause in loss.cause


def test_time_in_which_nothing_ran_counts_against_nobody(
    base: Path, busy: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processes were stopped for longer than any limit, and go on."""
    spoil(base, HANG)
    busy.submit(tasks(base, 1)[0])
    wait_until(lambda: any(each.row == 5 for each in busy._workers))
    monotonic = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 10 * LIMITS.task_seconds)
    wait_until(lambda: busy._watched > monotonic() + LIMITS.task_seconds)
    assert busy.wait(1.0) == Round()


def test_renewed_pool_reads_with_fresh_workers(base: Path, busy: WorkerPool) -> None:
    first, second = tasks(base, 2)
    busy.submit(first)
    assert [d.shard for d in busy.wait(60).delivered] == [0]
    worn = busy.pids()
    busy.renew()
    busy.submit(second)
    news = busy.wait(60)
    assert ([d.shard for d in news.delivered], news.lost) == ([1], [])
    assert not set(worn) & set(busy.pids())
    busy.renew()
    busy.renew()
    wait_until(lambda: not busy.pids())


def test_answer_of_a_defect_in_the_worker(base: Path, busy: WorkerPool) -> None:
    (task,) = tasks(base, 1)
    busy.submit(replace(task, cards=(None,)))  # type: ignore[arg-type]
    (loss,) = busy.wait(60).lost
    assert loss.shard == 0
    assert "AttributeError" in loss.cause
    assert loss.row == 0
    busy.submit(task)
    assert [d.shard for d in busy.wait(60).delivered] == [0]
