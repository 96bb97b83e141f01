"""The second look inside a job, with stand-ins for both readers."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

import second_fakes
from batch_fakes import (
    fake_tools,
    make_archive,
    make_card,
    make_config,
    make_model,
    prepare,
    readings_bytes,
)
from second_fakes import add_second_reader, load_fake
from vin_batch.batch.frames import read_frame
from vin_batch.batch.job import JobOutcome, run_job
from vin_batch.batch.receipts import Receipt, iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.second_look import LookTask, look_again
from vin_batch.cli import main
from vin_batch.errors import ChangedUnderRunError, ExitCode

CARDS = 10


@pytest.fixture
def base(tmp_path: Path) -> Path:
    make_archive(tmp_path / "archive", CARDS)
    add_second_reader(make_model(tmp_path / "model"))
    return tmp_path


def work(base: Path, **flags: object) -> JobOutcome:
    flags = {"second_reader": "review", **flags}
    return run_job(make_config(base, **flags), fake_tools(load_second_reader=load_fake))


def receipts(base: Path, run: str = "run") -> list[Receipt]:
    return list(iter_receipts(RunDir(base / run)))


def test_doubted_cards_are_looked_at_again(base: Path) -> None:
    work(base, output=base / "off", second_reader="off")
    work(base)
    before, after = read_frame(base / "off"), read_frame(base / "run")
    assert all("second_reader" in reasons for reasons in after["reasons"])
    assert not any("second_reader" in reasons for reasons in before["reasons"])
    assert list(before["card_id"]) == list(after["card_id"])
    assert (before["raw_vin"] != after["raw_vin"]).any(), "the second reader changed nothing"


def test_receipts_say_who_read(base: Path) -> None:
    work(base)
    found = receipts(base)
    assert [receipt.cards for receipt in found] == [4, 4, 2]
    for receipt in found:
        first, second = receipt.readers
        assert (first.name, first.cards, first.boxes) == ("fake", receipt.cards, 17 * receipt.cards)
        assert (second.name, second.engine) == ("fake recogniser", "fake 1.0")
        assert (second.cards, second.boxes) == (receipt.cards, 17 * receipt.cards)
        assert second.seconds > 0
        assert receipt.timings["second_look"] >= second.seconds - 1e-3
        assert receipt.reasons["second_reader"] == receipt.cards
    work(base, output=base / "off", second_reader="off")
    assert [len(receipt.readers) for receipt in receipts(base, "off")] == [1, 1, 1]


def test_readings_are_the_same_whatever_the_workers_and_interruptions(base: Path) -> None:
    work(base)
    work(base, output=base / "one", workers=1)
    assert readings_bytes(base / "one") == readings_bytes(base / "run")
    (base / "one" / "receipts" / "part-00001.json").unlink()
    (base / "one" / "readings" / "part-00001.parquet").write_bytes(b"torn")
    assert work(base, output=base / "one", workers=3).shards_worked == 1
    assert readings_bytes(base / "one") == readings_bytes(base / "run")


def test_a_worker_that_dies_while_it_looks_costs_time_only(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(base)
    monkeypatch.setenv(second_fakes.DEADLY, str(base / "died"))
    outcome = work(base, output=base / "again")
    assert (base / "died").exists()
    assert outcome.exit_code == ExitCode.DONE
    assert sum(receipt.strikes for receipt in receipts(base, "again")) >= 1
    assert readings_bytes(base / "again") == readings_bytes(base / "run")


def test_only_boxes_that_gave_evidence_are_looked_at(base: Path) -> None:
    make_card(base / "archive" / "short", 77, boxes=range(1, 16))
    shutil.rmtree(base / "archive" / "box_00")
    shutil.rmtree(base / "archive" / "box_01")
    work(base)
    (receipt,) = receipts(base)
    assert receipt.readers[1].boxes == 15
    chars = read_frame(base / "run")["chars"][0]
    assert [char["issue"] for char in chars[15:]] == ["missing", "missing"]


def test_cards_without_any_box_are_left_alone(base: Path) -> None:
    torn = base / "archive" / "torn"
    torn.mkdir()
    for box in range(1, 18):
        (torn / f"{box:02d}.png").write_bytes(b"torn")
    work(base, second_reader="all")
    assert sum(receipt.readers[-1].cards for receipt in receipts(base)) == CARDS
    last = read_frame(base / "run").iloc[-1]
    assert (last["card_id"], last["status"]) == ("torn", "failed")
    assert "second_reader" not in list(last["reasons"])


def test_card_that_changed_between_the_looks_keeps_its_first_reading(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The preprocessing changes one file of the archive after it has been read."""
    work(base, output=base / "off", second_reader="off")
    victims = sorted((base / "archive" / "box_01").iterdir())[:2]
    (base / "first.path").write_text(str(victims[0]))
    with caplog.at_level(logging.WARNING):
        run_job(
            make_config(base, second_reader="review", workers=1, shard_size=CARDS),
            fake_tools(load_second_reader=load_fake, prepare=Meddler(victims)),
        )
    before, after = read_frame(base / "off"), read_frame(base / "run")
    assert [list(r).count("second_reader") for r in after["reasons"]] == [1] * 5 + [0, 0] + [1] * 3
    for row in (5, 6):
        assert before["raw_vin"][row] == after["raw_vin"][row]
    (receipt,) = receipts(base)
    assert len(receipt.errors) == 2
    assert "changed before the second reader saw it" in caplog.text


class Meddler:
    """Spoils cards when the last box of the archive is prepared: all have been read once."""

    def __init__(self, victims: list[Path]) -> None:
        self.victims = victims
        self.calls = 0

    def __call__(self, data: bytes) -> object:
        self.calls += 1
        if self.calls == 17 * CARDS:
            shutil.rmtree(self.victims[0])
            (self.victims[1] / "03.png").write_bytes(b"swapped")
        return prepare(data)


def test_second_reader_is_part_of_what_a_run_began_with(base: Path) -> None:
    work(base, limit=4)
    for flags in ({"second_reader": "off"}, {"second_reader": "all"}):
        with pytest.raises(ChangedUnderRunError, match="second_reader"):
            work(base, limit=4, **flags)
    path = base / "model" / "second_reader.json"
    path.write_text(path.read_text().replace("0.99", "0.98"))
    with pytest.raises(ChangedUnderRunError, match="parameters_sha256"):
        work(base, limit=4)


def test_run_without_parameters_stops_before_anything_is_written(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / "model" / "second_reader.json").unlink()
    arguments = ["run", str(base / "archive"), "-o", str(base / "run")]
    code = main([*arguments, "--model", str(base / "model"), "--second-reader", "review"])
    assert code == ExitCode.MODEL
    assert "train-second-reader" in capsys.readouterr().err
    assert not (base / "run" / "run.json").exists()


def test_look_needs_no_more_than_its_task(base: Path) -> None:
    """A task for no card at all is answered."""
    import numpy as np

    from vin_batch.archive import open_archive

    nothing = np.zeros((0, 17), bool)
    task = LookTask(
        root=open_archive(base / "archive"), shard=0, cards=(), boxes=nothing,
        contents=np.zeros((0, 8), np.uint8), weights=base / "w", weights_sha256="",
        open_recogniser=second_fakes.open_fake,
    )  # fmt: skip
    assert look_again(task).seen.shape == (0, 17)
