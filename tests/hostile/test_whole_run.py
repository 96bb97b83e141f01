"""One run over an archive with a card of every hostile kind, through the command line."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crash_tools import environment
from hostile.cards import BOX, HostileArchive, build_archive
from hostile.formats import encoded
from hostile_privilege import become_any_user
from tiny_model import drawn_box
from vin_batch.export.readings_csv import restore
from vin_batch.records import BoxIssue, Status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
VIN = "XTA210990K1491754"
OWN = ("card_id", "run_id")
"""What tells two readings of the same card in two archives apart."""


def vin_batch(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "vin_batch", *map(os.fspath, map(str, arguments))],
        env=environment(),
        capture_output=True,
        check=False,
        preexec_fn=become_any_user,
    )


def readings(run: Path) -> dict[str, dict[str, object]]:
    table = pq.read_table(run / "readings")
    rows = table.to_pylist()
    assert len({row["card_id"] for row in rows}) == len(rows)
    return {row["card_id"]: row for row in rows}


@dataclass(frozen=True)
class Night:
    """What was there, and what came of it."""

    archive: HostileArchive
    run: Path
    rows: dict[str, dict[str, object]]
    undisturbed: dict[str, object]
    words: str

    def reading(self, card_id: str) -> dict[str, object]:
        return {name: cell for name, cell in self.rows[card_id].items() if name not in OWN}


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Night]:
    base = tmp_path_factory.mktemp("hostile")
    crops = [drawn_box(character, seed=3) for character in VIN]
    boxes = [encoded(".png", crop) for crop in crops]
    alone = base / "alone" / "card"
    alone.mkdir(parents=True)
    for number, data in enumerate(boxes, start=1):
        (alone / f"{number:02d}.png").write_bytes(data)
    root = base / os.fsdecode(b"arch\xffve")
    archive = build_archive(root, base / "store", boxes, crops[BOX - 1])
    options = ("--model", tiny_model, "--device", "cpu", "--workers", 2, "--shard-size", 100)
    done = vin_batch("run", alone.parent, "-o", base / "undisturbed", *options)
    assert done.returncode == 0, done.stderr
    done = vin_batch("run", root, "-o", base / "run", *options)
    assert done.returncode == 3, done.stderr
    (undisturbed,) = readings(base / "undisturbed").values()
    yield Night(
        archive=archive,
        run=base / "run",
        rows=readings(base / "run"),
        undisturbed={name: cell for name, cell in undisturbed.items() if name not in OWN},
        words=done.stderr.decode("utf-8", "surrogateescape"),
    )
    (root / "forbidden").chmod(0o755)


def test_every_card_has_one_row_and_nothing_else_has(night: Night) -> None:
    assert night.rows.keys() == night.archive.cards.keys()


def test_healthy_neighbours_read_as_if_they_were_alone(night: Night) -> None:
    alike = sum(a == b for a, b in zip(str(night.undisturbed["raw_vin"]), VIN, strict=True))
    assert alike > 10, "a small model, but it reads"
    for card_id in night.archive.healthy:
        assert night.reading(card_id) == night.undisturbed, card_id


def test_every_hostile_box_has_its_issue_and_the_others_are_read(night: Night) -> None:
    alone = night.undisturbed["chars"]
    assert isinstance(alone, list)
    for card_id, expected in night.archive.cards.items():
        chars = night.rows[card_id]["chars"]
        assert isinstance(chars, list)
        lost = range(BOX - 1, BOX - 1 + expected.lost)
        for place, char in enumerate(chars):
            if place in lost:
                assert char["issue"] == expected.issue.code, (card_id, place + 1)
                assert (char["char"], char["prob"]) == ("?", 0.0)
            elif place != BOX - 1:
                assert char == alone[place], (card_id, place + 1)
            else:
                assert char["issue"] is None, card_id
                assert char["prob"] > 0, card_id


def test_every_card_has_the_status_that_it_deserves(night: Night) -> None:
    for card_id, expected in night.archive.cards.items():
        row = night.rows[card_id]
        if expected.lost == 0:
            continue
        if expected.lost == 1:
            assert row["status"] in {Status.REVIEW, Status.UNREADABLE}, card_id
            assert row["reasons"]
        else:
            failed = expected.issue.is_file_failure
            assert row["status"] == (Status.FAILED if failed else Status.UNREADABLE), card_id
            assert row["vin"] is None
    extra = night.rows["crowd"]
    assert "extra_boxes" in str(extra["reasons"])
    assert extra["raw_vin"] == night.undisturbed["raw_vin"]


def test_what_was_passed_by_is_counted(night: Night) -> None:
    walk = json.loads((night.run / "run.json").read_bytes())["walk"]
    assert walk["unreadable_folders"] == night.archive.unreadable_folders
    assert walk["unreadable_examples"] == ["forbidden: Permission denied"]
    assert walk["links_skipped"] == night.archive.links
    assert "1 folders could not be listed" in night.words


def test_the_csv_gives_every_id_back_and_runs_nothing(night: Night) -> None:
    with (night.run / "readings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert {restore(row["card_id"]) for row in rows} == night.archive.cards.keys()
    assert len(rows) == len(night.archive.cards)
    for row in rows:
        for cell in row.values():
            assert not cell.strip().startswith(tuple("=+-@＝＋－＠")), cell
            assert not cell.startswith(("\t", "\r", "\n"))


def test_names_neither_forge_lines_nor_drive_the_terminal(night: Night) -> None:
    assert "\x1b" not in night.words
    assert not any(line.startswith(("=", "break", "return")) for line in night.words.splitlines())
    page = (night.run / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert "\u202e" not in page


def test_other_commands_take_such_a_run(night: Night) -> None:
    assert vin_batch("verify", night.run).returncode == 3
    status = vin_batch("status", night.run)
    assert status.returncode == 0, status.stderr
    exported = vin_batch("export", night.run, "--to", "csv", "-o", night.run.parent / "x.csv")
    assert exported.returncode == 0, exported.stderr
    assert (night.run.parent / "x.csv").read_bytes() == (night.run / "readings.csv").read_bytes()


def test_the_same_command_has_nothing_left_to_do(night: Night, tiny_model: Path) -> None:
    before = {path.name: path.read_bytes() for path in (night.run / "readings").iterdir()}
    again = vin_batch(
        "run", night.archive.root, "-o", night.run, "--model", tiny_model, "--device", "cpu",
        "--workers", 2, "--shard-size", 100,
    )  # fmt: skip
    assert again.returncode == 3, again.stderr
    assert {path.name: path.read_bytes() for path in (night.run / "readings").iterdir()} == before
    assert BoxIssue.NOT_READ.code not in again.stderr.decode("utf-8", "replace")
