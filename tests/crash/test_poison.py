"""Cards that kill or stall their worker: they alone fail, and a repair makes the run whole."""

from __future__ import annotations

import shutil
import signal
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import second_fakes
from batch_fakes import (
    HANG,
    HOG,
    POISON,
    QUIT,
    SEGFAULT,
    box_png,
    fake_tools,
    make_archive,
    make_config,
    make_model,
    readings_bytes,
)
from crash_tools import drive, driving, new_base, receipts, wait_until
from second_fakes import add_second_reader, load_fake
from vin_batch.batch.faults import KILLED, VARIABLE
from vin_batch.batch.frames import read_frame
from vin_batch.batch.job import JobOutcome, failed_again, run_job
from vin_batch.batch.ledger import load_run
from vin_batch.batch.readings_schema import iter_tables
from vin_batch.batch.receipts import Receipt, ShardState, Stage, iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.status import describe, read_status
from vin_batch.batch.verify import Severity, verify_run
from vin_batch.commands._job import last_words
from vin_batch.errors import ExitCode
from vin_batch.report.html import write_report
from vin_batch.report.summary import write_summary
from vin_batch.second_reader.canvas import canvas_from_bytes

CARDS, SHARD, LOOKED = 20, 10, 4
BOX = "08.png"


def folder(number: int) -> str:
    return f"box_{number // 5:02d}/card_{number:04d}"


def spoil(base: Path, deadly: dict[int, bytes]) -> None:
    for number, data in deadly.items():
        (base / "archive" / folder(number) / BOX).write_bytes(data)


def repair(base: Path, numbers: list[int]) -> None:
    box = int(BOX.partition(".")[0])
    for number in numbers:
        path = base / "archive" / folder(number) / BOX
        path.write_bytes(box_png(number * 100 + box))


def work(base: Path, **flags: object) -> JobOutcome:
    return run_job(make_config(base, **{"shard_size": SHARD, **flags}), fake_tools())


def retry(base: Path, **flags: object) -> JobOutcome:
    return run_job(make_config(base, shard_size=SHARD, **flags), fake_tools(), failed_again)


def rows(run: Path) -> dict[str, Any]:
    return {row["card_id"]: row for table in iter_tables(RunDir(run)) for row in table.to_pylist()}


def receipt_of(run: Path, shard: int) -> Receipt:
    return next(r for r in iter_receipts(RunDir(run)) if r.shard == shard)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that was read without disturbance."""
    base = new_base(tmp_path_factory.mktemp("healthy"), CARDS)
    work(base)
    return base


@pytest.fixture
def base(tmp_path: Path, healthy: Path) -> Path:
    shutil.copytree(healthy / "archive", tmp_path / "archive")
    shutil.copytree(healthy / "model", tmp_path / "model")
    return tmp_path


def test_every_kind_of_death_costs_its_card_only(base: Path, healthy: Path) -> None:
    causes = {
        2: (SEGFAULT, "killed by SIGSEGV"),
        3: (POISON, "killed by SIGKILL"),
        9: (QUIT, "ended with status 7"),
    }
    deadly = {number: data for number, (data, _) in causes.items()}
    spoil(base, deadly)
    outcome = work(base)
    assert outcome.exit_code == ExitCode.FINISHED_WITH_FAILURES
    assert outcome.tally.quarantined == ()
    found, undisturbed = rows(base / "run"), rows(healthy / "run")
    guilty = [folder(number) for number in deadly]
    assert list(found) == list(undisturbed)
    for card_id, row in found.items():
        same = {"run_id": undisturbed[card_id]["run_id"], "model_id": row["model_id"]}
        if card_id in guilty:
            assert row["status"] == "failed"
            assert {char["issue"] for char in row["chars"]} == {"not_read"}
        else:
            assert row | same == undisturbed[card_id]
    whole = readings_bytes(base / "run")["part-00001.parquet"]
    assert whole == readings_bytes(healthy / "run")["part-00001.parquet"], "the same plan"
    receipt = receipt_of(base / "run", 0)
    assert [blame.card_id for blame in receipt.blamed] == guilty
    for blame, (_, cause) in zip(receipt.blamed, causes.values(), strict=True):
        assert blame.stage is Stage.READ
        assert cause in blame.cause
        assert any(blame.card_id in error and cause in error for error in receipt.errors)
    assert receipt.strikes <= 2 * len(deadly) + 1
    assert receipt.state is ShardState.DONE
    assert receipt_of(base / "run", 1).strikes <= 1

    check_that_people_hear_of_it(base, outcome, guilty)
    assert work(base).shards_worked == 0, "the same command does not try again by itself"
    repair(base, list(deadly))
    healed = retry(base)
    assert (healed.shards_worked, healed.exit_code) == (1, ExitCode.DONE)
    assert readings_bytes(base / "run") == readings_bytes(healthy / "run")
    assert list(verify_run(RunDir(base / "run"))) == []
    assert read_status(RunDir(base / "run")).as_dict()["poison"]["cards"] == 0


def check_that_people_hear_of_it(base: Path, outcome: JobOutcome, guilty: list[str]) -> None:
    run = RunDir(base / "run")
    assert {finding.severity for finding in verify_run(run)} == {Severity.INCOMPLETE}
    status = read_status(run)
    poison = status.as_dict()["poison"]
    assert (poison["cards"], poison["given_up"]) == (3, 0)
    assert [each["card_id"] for each in poison["examples"]] == guilty
    summary = write_summary(run.root)
    assert summary["poison"] == poison
    page = write_report(run.root).read_text()
    for text in (describe(status), last_words(outcome), page):
        assert all(card_id in text for card_id in guilty)
        assert "SIGSEGV" in text
    assert "retry" in last_words(outcome)


def test_card_that_hangs_costs_its_card_and_little_time(base: Path, healthy: Path) -> None:
    spoil(base, {1: HANG})
    outcome = work(base, limit=2, card_timeout=3.0)
    assert outcome.tally.statuses == {"failed": 1, "review": 1}
    receipt = receipt_of(base / "run", 0)
    (blame,) = receipt.blamed
    assert (blame.card_id, blame.cause[:20]) == (folder(1), "no answer within 3 s")
    repair(base, [1])
    healed = retry(base, limit=2)
    assert healed.exit_code == ExitCode.DONE
    found, undisturbed = rows(base / "run"), rows(healthy / "run")
    for card_id, row in found.items():
        assert row | {"run_id": undisturbed[card_id]["run_id"]} == undisturbed[card_id]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_memory_that_is_not_there_costs_a_box(base: Path, healthy: Path) -> None:
    spoil(base, {4: HOG})
    outcome = work(base, worker_memory_limit=512, second_reader="off")
    assert outcome.exit_code == ExitCode.FINISHED_WITH_FAILURES
    row = rows(base / "run")[folder(4)]
    issues = [char["issue"] for char in row["chars"]]
    assert issues == [None] * 7 + ["not_read"] + [None] * 9
    receipt = receipt_of(base / "run", 0)
    assert receipt.blamed == ()
    assert any("MemoryError" in error and folder(4) in error for error in receipt.errors)
    repair(base, [4])
    assert retry(base).exit_code == ExitCode.DONE
    assert readings_bytes(base / "run") == readings_bytes(healthy / "run")


def test_shard_of_guilty_cards_only(base: Path) -> None:
    spoil(base, dict.fromkeys((5, 6, 7), POISON))
    outcome = work(base, shard_size=4, limit=8)
    receipt = receipt_of(base / "run", 1)
    assert outcome.tally.statuses == {"failed": 3, "review": 5}
    assert [blame.card_id for blame in receipt.blamed] == [folder(n) for n in (5, 6, 7)]
    single = work(base, shard_size=1, limit=6, output=base / "single")
    assert single.tally.quarantined == (5,)
    assert receipt_of(base / "single", 5).strikes == 3


def test_same_bytes_whatever_the_workers_and_deaths_of_the_run(base: Path) -> None:
    """The run is killed in the middle of looking for the guilty, and taken up again."""
    spoil(base, {8: SEGFAULT})
    work(base, output=base / "one", workers=1, limit=SHARD)
    output = base / "killed"
    settings: dict[str, Any] = {"output": output, "shard_size": SHARD, "limit": SHARD}
    code, _ = drive(base, {VARIABLE: "suspect:part:3"}, workers=3, **settings)
    assert code == KILLED, "the point was never passed"
    code, words = drive(base, workers=2, **settings)
    assert code == ExitCode.FINISHED_WITH_FAILURES, words
    assert readings_bytes(output) == readings_bytes(base / "one")
    (blame,) = receipt_of(output, 0).blamed
    assert blame.card_id == folder(8)


def test_stopped_while_a_card_hangs(base: Path) -> None:
    spoil(base, {3: HANG})
    with driving(base) as process:
        wait_until(lambda: receipts(base) >= 4)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == ExitCode.TERMINATED
    assert load_run(RunDir(base / "run")).sessions[-1]["outcome"] == "terminated"


def canvas_digests(base: Path, number: int) -> str:
    paths = sorted((base / "archive" / folder(number)).iterdir())
    canvases = (canvas_from_bytes(path.read_bytes()) for path in paths)
    return " ".join(sha256(c.tobytes()).hexdigest() for c in canvases if c is not None)


def test_card_that_the_second_reader_does_not_survive_keeps_its_first_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies while it reads a group of cards, so that no row tells which."""
    make_archive(tmp_path / "archive", LOOKED)
    add_second_reader(make_model(tmp_path / "model"))
    tools = fake_tools(load_second_reader=load_fake)
    config = make_config(tmp_path, shard_size=SHARD, second_reader="review")
    first = make_config(tmp_path, shard_size=SHARD, output=tmp_path / "first")
    run_job(first, fake_tools())
    run_job(make_config(tmp_path, shard_size=SHARD, second_reader="review",
                        output=tmp_path / "both"), tools)  # fmt: skip
    monkeypatch.setenv(second_fakes.DEADLY_CANVASES, canvas_digests(tmp_path, 2))
    outcome = run_job(config, tools)
    assert outcome.exit_code == ExitCode.FINISHED_WITH_FAILURES
    assert outcome.tally.statuses == {"review": LOOKED}
    (receipt,) = iter_receipts(RunDir(tmp_path / "run"))
    (blame,) = receipt.blamed
    assert (blame.card_id, blame.stage) == (folder(2), Stage.SECOND_LOOK)
    assert (receipt.readers[0].cards, receipt.readers[1].cards) == (LOOKED, LOOKED - 1)
    found, both = rows(tmp_path / "run"), rows(tmp_path / "both")
    only_first = rows(tmp_path / "first")
    for card_id, row in found.items():
        if card_id == folder(2):
            assert row["raw_vin"] == only_first[card_id]["raw_vin"]
            assert "second_reader" not in row["reasons"]
        else:
            assert row == both[card_id]
    frame = read_frame(tmp_path / "run")
    assert (frame["status"] == "review").all()
    monkeypatch.delenv(second_fakes.DEADLY_CANVASES)
    assert run_job(config, tools, failed_again).exit_code == ExitCode.DONE
    assert readings_bytes(tmp_path / "run") == readings_bytes(tmp_path / "both")
