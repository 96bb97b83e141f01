"""Night after night with stand-ins: what is read, what waits, what is remembered."""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from batch_fakes import box_png, fake_tools, make_archive, make_card, make_model
from night_fakes import (
    age,
    catalogue_rows,
    current_rows,
    inline_run,
    night,
    night_config,
    nights_of,
)
from vin_batch.archive import FolderRoot, folders, listing, reader
from vin_batch.batch.ledger import load_run, save_run
from vin_batch.batch.lock import hold
from vin_batch.batch.verify import verify_run
from vin_batch.errors import ArchiveError, DiskError, ExitCode, LockedError, ModelError, UsageError
from vin_batch.nightly.night import NightTools, run_night
from vin_batch.nightly.summary import NightSummary

CARDS = 6


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("nights")
    make_archive(base / "archive", CARDS)
    night(base)
    return base


@pytest.fixture
def base(first: Path, tmp_path: Path) -> Path:
    """A directory after its first night, to be changed."""
    shutil.copytree(first, tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2)
    return tmp_path


def card(base: Path, number: int) -> Path:
    return base / "archive" / f"box_{number // 5:02d}" / f"card_{number:04d}"


def row(base: Path, number: int) -> dict[str, str]:
    return current_rows(base)[f"box_{number // 5:02d}/card_{number:04d}"]


def fates(summary: NightSummary) -> dict[str, int]:
    assert summary.findings is not None
    return {fate.value: n for fate, n in summary.findings.fates.items() if n}


def read(summary: NightSummary) -> dict[str, int]:
    return {fate.value: n for fate, n in summary.read.items() if n}


def test_first_night_reads_all_and_the_next_nothing(base: Path) -> None:
    assert len(catalogue_rows(base)) == len(current_rows(base)) == CARDS
    second = night(base)
    assert (fates(second), read(second), second.outcome) == ({"known": CARDS}, {}, ExitCode.DONE)
    assert nights_of(base).run_names() == ["000001"]
    assert nights_of(base).night_names() == ["000001", "000002"]


def test_only_new_cards_are_read(base: Path) -> None:
    make_card(base / "archive" / "box_00" / "card_0002b", 77)
    make_card(base / "archive" / "aaa", 78)
    before = nights_of(base).run("000001").readings(0).read_bytes()
    assert read(night(base)) == {"new": 2}
    assert len(current_rows(base)) == CARDS + 2
    assert next(iter(current_rows(base))) == "aaa", "in the order of the walk"
    assert nights_of(base).run("000001").readings(0).read_bytes() == before
    assert [list(verify_run(nights_of(base).run(name))) for name in ("000001", "000002")] == [
        []
    ] * 2


def test_changed_files_are_read_again(base: Path) -> None:
    old = row(base, 2)
    (card(base, 2) / "05.png").write_bytes(box_png(4711))
    (card(base, 4) / "18.png").write_bytes(box_png(4712))
    second = night(base)
    assert (fates(second), read(second)) == ({"known": CARDS - 2, "changed": 2}, {"changed": 2})
    assert row(base, 2)["raw_vin"] != old["raw_vin"]
    assert row(base, 2)["run_id"] != old["run_id"] == row(base, 3)["run_id"]
    assert read(night(base)) == {}


def test_the_same_bytes_under_new_times_are_remembered(base: Path) -> None:
    for path in card(base, 2).iterdir():
        os.utime(path, (1, 1))
    second = night(base)
    assert second.findings is not None
    assert (read(second), second.findings.touched) == ({}, 1)
    third = night(base)
    assert third.findings is not None
    assert third.findings.touched == 0


def test_names_alone_may_decide(base: Path) -> None:
    (card(base, 2) / "05.png").write_bytes(box_png(4711))
    (card(base, 3) / "05.png").rename(card(base, 3) / "05.jpg")
    assert read(night(base, detect="names")) == {"changed": 1}
    assert read(night(base)) == {"changed": 1}, "the other one is found by its times"


def test_cards_being_written_wait(base: Path) -> None:
    age(base / "archive")
    make_card(base / "archive" / "new", 77)
    (card(base, 2) / "05.png").write_bytes(box_png(4711))
    waited = night(base, settle_seconds=600)
    assert fates(waited) == {"known": CARDS - 1, "waiting": 2}
    assert waited.findings is not None
    assert waited.findings.waiting_examples == ["box_00/card_0002", "new"]
    age(base / "archive" / "new")
    age(card(base, 2), 5000)
    assert read(night(base, settle_seconds=600)) == {"new": 1, "changed": 1}


def test_times_in_the_future_do_not_wait_for_ever(base: Path) -> None:
    age(make_card(base / "archive" / "new", 77), -3600.0)
    age(make_card(base / "archive" / "newer", 78), -60.0)
    summary = night(base, settle_seconds=600)
    assert (read(summary), fates(summary)["waiting"]) == ({"new": 1}, 1)
    age(base / "archive" / "newer", 600.0)
    assert read(night(base, settle_seconds=600)) == {"new": 1}


def test_clock_that_runs_backwards(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_card(base / "archive" / "new", 77)
    earlier = time.time_ns() - 10**9 * 86_400 * 400
    monkeypatch.setattr(time, "time_ns", lambda: earlier)
    assert read(night(base, settle_seconds=600)) == {"new": 1}
    assert nights_of(base).run_names() == ["000001", "000002"]


@pytest.mark.parametrize("marker", ["complete_marker", "busy_marker"])
def test_markers(base: Path, marker: str) -> None:
    make_card(base / "archive" / "new", 77)
    mark = base / "archive" / "new" / ".mark"
    if marker == "busy_marker":
        mark.touch()
    settings: dict[str, Any] = {marker: ".mark"}
    assert fates(night(base, **settings)) == {"known": CARDS, "waiting": 1}
    mark.touch() if marker == "complete_marker" else mark.unlink()
    assert read(night(base, **settings)) == {"new": 1}


def test_a_card_that_disappeared_is_reported_and_kept(base: Path) -> None:
    old = row(base, 3)
    shutil.move(card(base, 3), base / "away")
    second = night(base)
    assert second.findings is not None
    assert (second.findings.newly_missing, second.missing) == (1, 1)
    assert second.findings.missing_examples == ["box_00/card_0003"]
    assert second.outcome == ExitCode.DONE
    assert row(base, 3) == old
    with nights_of(base).missing.open(newline="") as file:
        (gone,) = csv.DictReader(file)
    assert (gone["card_id"], gone["missing_since"]) == ("box_00/card_0003", second.started_at)
    third = night(base)
    assert third.findings is not None
    assert (third.findings.newly_missing, third.missing) == (0, 1)
    shutil.move(base / "away", card(base, 3))
    back = night(base)
    assert back.findings is not None
    assert (back.findings.returned, back.missing, read(back)) == (1, 0, {})


def test_an_empty_archive_is_not_believed(base: Path) -> None:
    shutil.rmtree(base / "archive")
    (base / "archive").mkdir()
    before = nights_of(base).catalogue.read_bytes()
    for allow in (False, True):
        with pytest.raises(ArchiveError, match="holds no card, and 6 cards"):
            night(base, allow_missing=allow)
    assert nights_of(base).catalogue.read_bytes() == before
    summary = json.loads(nights_of(base).summary("000003").read_text())
    assert (summary["outcome"], summary["exit_code"]) == ("archive", 8)
    shutil.rmtree(base / "archive")
    with pytest.raises(ArchiveError, match="does not exist"):
        night(base)


def test_too_many_missing_cards_are_not_believed(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vin_batch.nightly.choosing.FEW_CARDS", 1)
    shutil.rmtree(base / "archive" / "box_00")
    make_card(base / "archive" / "new", 77)
    before = nights_of(base).catalogue.read_bytes()
    with pytest.raises(ArchiveError, match="5 of 6 known cards disappeared") as caught:
        night(base)
    assert "--allow-missing" in caught.value.advice
    assert nights_of(base).catalogue.read_bytes() == before
    assert nights_of(base).run_names() == ["000001"]
    allowed = night(base, allow_missing=True)
    assert (allowed.missing, read(allowed)) == (5, {"new": 1})
    assert len(current_rows(base)) == CARDS + 1
    assert night(base).missing == 5, "they are known to be missing now"


def test_folders_that_cannot_be_listed_are_not_missing(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_opened = listing.list_opened

    def refuse(folder: int, root: FolderRoot, relative: bytes) -> object:
        if relative == b"box_00":
            raise PermissionError(13, "Permission denied")
        return list_opened(folder, root, relative)

    monkeypatch.setattr(folders, "list_opened", refuse)
    summary = night(base)
    assert fates(summary) == {"unlisted": 5, "known": 1}
    assert (summary.missing, summary.outcome) == (0, ExitCode.FINISHED_WITH_FAILURES)


def test_older_models_are_read_again_if_so_wished(base: Path) -> None:
    make_model(base / "model", b"better weights")
    assert read(night(base)) == {}
    make_card(base / "archive" / "new", 77)
    capped = night(base, reread_older_models=True, max_cards=4)
    assert (read(capped), capped.deferred) == ({"new": 1, "older_model": 3}, 3)
    assert read(night(base, reread_older_models=True, max_cards=4)) == {"older_model": 3}
    assert read(night(base, reread_older_models=True)) == {}
    models = {row["model_id"] for row in current_rows(base).values()}
    assert len(models) == 1, "every current reading is of the new model"


def test_another_calibration_is_another_reader(base: Path) -> None:
    make_model(base / "model", temperature=2.0)
    assert read(night(base, reread_older_models=True)) == {"older_model": CARDS}


def test_cards_that_change_under_the_run_get_a_row(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One vanishes and one gets another file between plan and reading."""
    make_card(base / "archive" / "new", 77)
    old = row(base, 2)
    (card(base, 2) / "18.png").write_bytes(box_png(1))

    def meddle(*arguments: object) -> object:
        shutil.rmtree(base / "archive" / "new")
        (card(base, 2) / "19.png").write_bytes(box_png(2))
        return inline_run(*arguments)  # type: ignore[arg-type]

    tools = NightTools(fake_tools(), run=meddle)  # type: ignore[arg-type]
    summary = run_night(night_config(base), tools)
    assert summary.outcome == ExitCode.FINISHED_WITH_FAILURES
    assert summary.statuses == {"failed": 2}
    assert row(base, 2) == old, "nothing was learned, the earlier reading stays"
    fresh = current_rows(base)["new"]
    assert (fresh["status"], fresh["issues"].split(";")[0]) == ("failed", "1:changed_while_reading")
    after = night(base)
    assert (read(after), after.missing) == ({"changed": 1}, 1)
    assert row(base, 2)["status"] == "review"
    assert read(night(base)) == {}


def test_failures_that_may_pass_are_tried_again_a_few_nights(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_card(base / "archive" / "new", 77)
    read_all = reader._read_all
    broken = True

    def refuse(descriptor: int, size: int) -> bytes:
        if broken and b"/new/" in bytes(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(5, "Input/output error")
        return read_all(descriptor, size)

    monkeypatch.setattr(reader, "_read_all", refuse)
    assert night(base).outcome == ExitCode.FINISHED_WITH_FAILURES
    assert [read(night(base, retry_nights=2)) for _ in range(3)] == [{"retry": 1}, {"retry": 1}, {}]
    broken = False
    assert read(night(base, retry_nights=5)) == {"retry": 1}
    assert current_rows(base)["new"]["status"] == "review"
    assert read(night(base, retry_nights=5)) == {}


def test_an_unfinished_run_is_finished_first(base: Path) -> None:
    make_archive(base / "archive" / "more", 9)
    undisturbed = base / "undisturbed"
    shutil.copytree(base, undisturbed, copy_function=shutil.copy2)
    night(undisturbed)
    night(base)
    run = nights_of(base).run("000002")
    run.receipt(1).unlink()
    save_run(run, load_run(run))
    make_card(base / "archive" / "late", 88)
    make_card(undisturbed / "archive" / "late", 88)
    resumed = night(base)
    assert list(resumed.jobs) == ["000002", "000003"]
    assert read(resumed) == {"new": 1}
    night(undisturbed)
    assert current_rows(base) == current_rows(undisturbed)


def test_an_unfinished_run_of_another_model_is_closed(base: Path) -> None:
    make_archive(base / "archive" / "more", 9)
    night(base)
    nights_of(base).run("000002").receipt(1).unlink()
    make_model(base / "model", b"better weights")
    summary = night(base)
    assert (summary.closed, list(summary.jobs)) == ("000002", ["000003"])
    assert read(summary) == {"new": 4}
    assert len(current_rows(base)) == CARDS + 9
    assert read(night(base)) == {}


@pytest.mark.parametrize("damage", ["receipt", "readings", "no readings"])
def test_damaged_readings_of_an_old_night_are_read_again(base: Path, damage: str) -> None:
    make_card(base / "archive" / "new", 77)
    night(base)
    before = current_rows(base)
    run = nights_of(base).run("000001")
    if damage == "receipt":
        run.receipt(1).write_bytes(run.receipt(1).read_bytes()[:99])
    elif damage == "readings":
        os.truncate(run.readings(1), 500)
    else:
        run.readings(1).unlink()
    summary = night(base)
    assert read(summary) == {"new": 2}
    assert "run 000001" in summary.rebuilt
    without = [{**r, "run_id": ""} for r in current_rows(base).values()]
    assert without == [{**r, "run_id": ""} for r in before.values()]


def test_a_run_without_its_record_is_not_passed_over(base: Path) -> None:
    nights_of(base).run("000001").run_json.unlink()
    with pytest.raises(DiskError, match=r"run\.json is missing"):
        night(base)


def test_two_nights_at_once(base: Path) -> None:
    with hold(nights_of(base).lock), pytest.raises(LockedError):
        night(base)


def test_a_directory_of_something_else_is_refused(base: Path) -> None:
    (base / "photos").mkdir()
    (base / "photos" / "holiday.jpg").touch()
    with pytest.raises(UsageError, match=r"holiday\.jpg"):
        night(base, output="photos")


def test_no_model_no_night(base: Path) -> None:
    shutil.rmtree(base / "model")
    (base / "model").mkdir()
    with pytest.raises(ModelError):
        night(base)
