"""Resuming: what is the same goes on, what changed stops with words."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from batch_fakes import (
    FakeClassifier,
    box_png,
    fake_tools,
    make_archive,
    make_card,
    make_config,
    make_model,
    open_fake,
    readings_bytes,
)
from hostile_privilege import like_any_user
from vin_batch.batch.job import JobOutcome, run_job
from vin_batch.batch.ledger import load_run
from vin_batch.batch.rundir import RunDir
from vin_batch.classifier.model_card import ModelCard
from vin_batch.errors import (
    ArchiveError,
    ChangedUnderRunError,
    DiskError,
    ExitCode,
    ModelError,
    UsageError,
)

CARDS = 10


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("finished")
    make_archive(base / "archive", CARDS)
    run_job(make_config(base), fake_tools())
    return base


@pytest.fixture
def base(finished: Path, tmp_path: Path) -> Path:
    """A finished run of three shards, to be spoiled."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2)
    return tmp_path


def again(base: Path, **flags: object) -> JobOutcome:
    return run_job(make_config(base, **flags), fake_tools())


def never_open(*_: object) -> None:
    raise AssertionError("the model must not be loaded")


def card(base: Path, number: int) -> Path:
    return base / "archive" / f"box_{number // 5:02d}" / f"card_{number:04d}"


def test_complete_run_is_left_alone(base: Path) -> None:
    before = readings_bytes(base / "run")
    stamps = {p: p.stat().st_mtime_ns for p in (base / "run").rglob("part-*")}
    tools = fake_tools(open_classifier=never_open, finishers=(never_open,))
    outcome = run_job(make_config(base), tools)
    assert (outcome.exit_code, outcome.shards_worked) == (ExitCode.DONE, 0)
    assert readings_bytes(base / "run") == before
    assert stamps == {p: p.stat().st_mtime_ns for p in (base / "run").rglob("part-*")}
    assert len(outcome.record.sessions) == 2


def test_missing_output_is_made_again_without_the_model(base: Path) -> None:
    (base / "run" / "readings.csv").unlink()
    run_job(make_config(base), fake_tools(open_classifier=never_open))
    assert (base / "run" / "readings.csv").is_file()


@pytest.mark.parametrize("workers", [1, 3])
def test_bytes_do_not_depend_on_workers_or_place(base: Path, workers: int) -> None:
    shutil.copytree(base / "archive", base / "moved")
    outcome = again(base, output=base / "other", archive=base / "moved", workers=workers)
    assert readings_bytes(base / "other") == readings_bytes(base / "run")
    assert outcome.record.run_id == load_run(RunDir(base / "run")).run_id


@pytest.mark.parametrize("spoil", ["receipt", "receipt of another run", "readings", "no readings"])
def test_exactly_the_damaged_shard_is_read_again(base: Path, spoil: str) -> None:
    run = RunDir(base / "run")
    before = readings_bytes(run.root)
    untouched = {s: run.readings(s).stat().st_ino for s in (0, 2)}
    if spoil == "receipt":
        run.receipt(1).write_bytes(run.receipt(1).read_bytes()[:100])
    elif spoil == "receipt of another run":
        document = json.loads(run.receipt(1).read_bytes())
        run.receipt(1).write_text(json.dumps({**document, "run_id": "0" * 32}))
    elif spoil == "readings":
        os.truncate(run.readings(1), 500)
    else:
        run.readings(1).unlink()
    outcome = again(base)
    assert outcome.shards_worked == 1
    assert readings_bytes(run.root) == before
    assert untouched == {s: run.readings(s).stat().st_ino for s in (0, 2)}


def test_interrupted_planning_starts_over(base: Path) -> None:
    run = RunDir(base / "run")
    shutil.rmtree(run.receipts_dir)
    run.run_json.unlink()
    run.plan.write_bytes(b"half a pl")
    assert again(base).shards_worked == 3


def expect_change(base: Path, *words: str, **flags: object) -> None:
    before = readings_bytes(base / "run")
    with pytest.raises(ChangedUnderRunError) as caught:
        again(base, **flags)
    assert caught.value.exit_code == ExitCode.CHANGED_UNDER_RUN
    for word in words:
        assert word in caught.value.message
    assert caught.value.advice
    assert readings_bytes(base / "run") == before


def test_added_removed_and_changed_cards_are_named(base: Path) -> None:
    make_card(base / "archive" / "box_00" / "card_0001b", 77)
    shutil.rmtree(card(base, 3))
    (card(base, 7) / "17.png").rename(card(base, 7) / "17.jpg")
    expect_change(
        base,
        "1 card added (box_00/card_0001b)",
        "1 card removed (box_00/card_0003)",
        "1 card with other files (box_01/card_0007)",
    )


def test_many_changes_are_counted_and_a_few_shown(base: Path) -> None:
    for number in range(8):
        make_card(base / "archive" / "new" / str(number), number)
    expect_change(base, "8 cards added (new/0, new/1, new/2, new/3, new/4, …)")


def test_changed_contents_of_finished_cards_are_named(base: Path) -> None:
    (card(base, 2) / "05.png").write_bytes(box_png(4711))
    expect_change(base, "1 card with changed contents (box_00/card_0002)")


def test_new_times_alone_are_no_change(base: Path) -> None:
    for path in card(base, 2).iterdir():
        os.utime(path, (1, 1))
    assert again(base).shards_worked == 0
    (card(base, 2) / "05.png").write_bytes(box_png(4711))
    expect_change(base, "box_00/card_0002")


def test_changed_contents_of_unread_cards_are_no_matter(base: Path) -> None:
    run = RunDir(base / "run")
    run.receipt(2).unlink()
    (card(base, 9) / "05.png").write_bytes(box_png(4711))
    assert again(base).shards_worked == 1


def test_other_files_are_no_change(base: Path) -> None:
    (card(base, 2) / "Thumbs.db").write_bytes(b"x")
    assert again(base).shards_worked == 0


def test_other_model_says_old_and_new_digest(base: Path) -> None:
    old = json.loads((base / "model" / "model.json").read_text())["sha256"]
    make_model(base / "model", b"other weights")
    new = json.loads((base / "model" / "model.json").read_text())["sha256"]
    expect_change(base, f"model_sha256 was {old!r}, is {new!r}")


def test_other_settings_say_old_and_new_value(base: Path) -> None:
    expect_change(base, "shard_size was 4, is 5", shard_size=5)
    expect_change(base, "limit was None, is 3", limit=3)


def test_neutral_settings_may_change(base: Path) -> None:
    assert again(base, workers=1, device="cpu", shard_timeout=5.0).exit_code == ExitCode.DONE


def test_damaged_model_stops_before_anything(base: Path) -> None:
    (base / "model" / "weights.bin").write_bytes(b"swapped")
    with pytest.raises(ModelError, match="digest"):
        again(base)
    assert len(load_run(RunDir(base / "run")).sessions) == 1


def test_damaged_plan_or_record_is_reported(base: Path) -> None:
    run = RunDir(base / "run")
    plan = run.plan.read_bytes()
    run.plan.write_bytes(plan[:-1] + b"x")
    with pytest.raises(DiskError, match=r"plan\.parquet is damaged"):
        again(base)
    run.plan.write_bytes(plan)
    run.run_json.unlink()
    with pytest.raises(DiskError, match=r"run\.json is missing"):
        again(base)


def test_foreign_directory_is_refused(base: Path) -> None:
    (base / "photos").mkdir()
    (base / "photos" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"holiday\.jpg"):
        again(base, output=base / "photos")
    assert os.listdir(base / "photos") == ["holiday.jpg"]


def test_archive_without_cards(base: Path) -> None:
    (base / "bare" / "empty").mkdir(parents=True)
    with pytest.raises(ArchiveError, match="holds no card"):
        again(base, archive=base / "bare", output=base / "bare run")
    make_card(base / "bare" / "card", 1)
    assert again(base, archive=base / "bare", output=base / "bare run").tally.cards == 1


def test_limit_reads_the_first_cards(base: Path) -> None:
    outcome = again(base, output=base / "limited", limit=6)
    assert outcome.tally.cards == 6
    assert outcome.record.walk["cards"] == 6
    first = readings_bytes(base / "limited")["part-00000.parquet"]
    assert len(first) > 0
    again(base, output=base / "limited", limit=6)


def test_left_overs_are_swept(base: Path) -> None:
    stale = base / "run" / "readings" / ".part-00001.parquet.tmp"
    stale.write_bytes(b"x")
    again(base)
    assert not stale.exists()


def test_unreadable_folder_makes_exit_three(base: Path) -> None:
    (base / "archive/box_00/card_0004").chmod(0)
    for _ in range(2):
        with like_any_user():
            outcome = again(base, output=base / "partial")
        assert outcome.exit_code == ExitCode.FINISHED_WITH_FAILURES
        assert outcome.unreadable_folders == 1
        assert outcome.tally.cards == CARDS - 1


def test_folder_that_cannot_be_listed_any_more_is_named(base: Path) -> None:
    (base / "archive/box_00/card_0004").chmod(0)
    with like_any_user():
        expect_change(
            base,
            "1 card removed",
            "1 folders cannot be listed (box_00/card_0004: Permission denied)",
        )


def test_model_swapped_while_it_is_loaded(base: Path) -> None:
    def open_and_swap(card: ModelCard, device: str) -> FakeClassifier:
        card.weights.write_bytes(b"swapped")
        return open_fake(card, device)

    with pytest.raises(ModelError, match="swapped"):
        run_job(make_config(base, output=base / "other"), fake_tools(open_classifier=open_and_swap))
    assert readings_bytes(base / "other") == {}
