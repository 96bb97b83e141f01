"""Runs over folders, packs and both: the same cards, the same run, the same bytes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch_fakes import box_png, fake_tools, make_archive, make_card, make_config, readings_bytes
from night_fakes import night, nights_of
from vin_batch.archive import open_folders
from vin_batch.batch.job import run_job
from vin_batch.batch.ledger import load_run
from vin_batch.batch.packing import index_path, pack_archive
from vin_batch.batch.plan import FIRST_PLAN_SCHEMA, Plan
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import ChangedUnderRunError
from vin_batch.nightly.catalogue import open_catalogue

CARDS = 11


def pack(archive: Path, out: Path, cards: int = 1000) -> Path:
    pack_archive(open_folders(archive), out, cards, lambda cards: None)
    return out


def run(base: Path, archive: Path, name: str, **flags: object) -> tuple[str, dict[str, bytes]]:
    run_job(make_config(base, archive=archive, output=base / name, **flags), fake_tools())
    record = load_run(RunDir(base / name))
    return record.run_id, readings_bytes(base / name)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("packed")
    archive = make_archive(base / "archive", CARDS)
    (archive / "box_00/card_0001/03.png").write_bytes(b"")
    (archive / "box_00/card_0002/18.png").write_bytes(b"x")
    (archive / "box_00/card_0003/03.png").unlink()
    (archive / "box_00/card_0004/3.jpg").write_bytes(b"x")
    make_card(archive / "box_00" / os.fsdecode(b"\xe9"), 70)
    run(base, archive, "run")
    return base


@pytest.mark.parametrize("size", [2, 1000])
def test_packed_the_run_is_the_same(base: Path, tmp_path: Path, size: int) -> None:
    expected = load_run(RunDir(base / "run")).run_id, readings_bytes(base / "run")
    shutil.copytree(base / "model", tmp_path / "model")
    assert run(tmp_path, pack(base / "archive", tmp_path / "packs", size), "run") == expected
    plan = pq.read_table(tmp_path / "run" / "plan.parquet")
    assert plan.column("pack").null_count == 0
    assert run(tmp_path, tmp_path / "packs", "run") == expected, "nothing to do"


def test_half_packed_the_run_is_the_same(base: Path, tmp_path: Path) -> None:
    expected = load_run(RunDir(base / "run")).run_id, readings_bytes(base / "run")
    shutil.copytree(base / "model", tmp_path / "model")
    shutil.copytree(base / "archive" / "box_01", tmp_path / "mixed" / "box_01")
    shutil.copytree(base / "archive" / "box_00", tmp_path / "half" / "box_00")
    shutil.copytree(base / "archive" / "box_02", tmp_path / "half" / "box_02")
    pack(tmp_path / "half", tmp_path / "mixed" / "packs", 3)
    assert run(tmp_path, tmp_path / "mixed", "run", workers=1) == expected


def test_a_pack_replaced_under_a_run_is_noticed(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base / "model", tmp_path / "model")
    archive = tmp_path / "archive"
    shutil.copytree(base / "archive", archive)
    packs = pack(archive, tmp_path / "packs")
    first = run(tmp_path, packs, "run")
    again = pack(archive, tmp_path / "again")
    shutil.rmtree(packs)
    shutil.copytree(again, packs)
    assert run(tmp_path, packs, "run") == first, "the same bytes under new times are no change"
    (archive / "box_01/card_0005/09.png").write_bytes(box_png(9999))
    shutil.rmtree(packs)
    pack(archive, packs)
    with pytest.raises(ChangedUnderRunError, match="box_01/card_0005"):
        run(tmp_path, packs, "run")
    shutil.rmtree(packs)
    pack(archive, packs, 4)
    with pytest.raises(ChangedUnderRunError, match="8 cards in another place"):
        run(tmp_path, packs, "run")
    shutil.rmtree(archive / "box_02")
    shutil.rmtree(packs)
    pack(archive, packs)
    with pytest.raises(ChangedUnderRunError, match=r"1 card removed \(box_02/card_0010\)"):
        run(tmp_path, packs, "run")


def test_plans_from_before_packs_open(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    old = RunDir(tmp_path / "run")
    cards = list(Plan(old))
    table = pq.read_table(old.plan).select(FIRST_PLAN_SCHEMA.names)
    with pq.ParquetWriter(old.plan, FIRST_PLAN_SCHEMA) as writer:
        for shard in range(Plan(RunDir(base / "run")).shards):
            rows = table.filter(pa.compute.equal(table["shard"], shard))
            writer.write_table(rows.replace_schema_metadata(FIRST_PLAN_SCHEMA.metadata))
    assert list(Plan(old)) == cards
    assert pq.read_schema(old.plan).equals(FIRST_PLAN_SCHEMA)


def test_nights_go_on_when_an_archive_is_packed(tmp_path: Path) -> None:
    """The same bytes in packs are the cards that were read; what is new in packs is read."""
    make_archive(tmp_path / "folders", 6)
    shutil.copytree(tmp_path / "folders", tmp_path / "archive")
    night(tmp_path)
    assert open_catalogue(nights_of(tmp_path).catalogue).cards == 6
    shutil.rmtree(tmp_path / "archive")
    pack(tmp_path / "folders", tmp_path / "archive")
    summary = night(tmp_path, detect="stat")
    assert sum(summary.read.values()) == 0
    assert summary.findings is not None
    assert summary.findings.touched == 6
    assert night(tmp_path, detect="stat").findings.touched == 0  # type: ignore[union-attr]
    make_card(tmp_path / "new/box_09/card_9999", 99)
    (tmp_path / "folders/box_00/card_0001/05.png").write_bytes(box_png(4242))
    shutil.rmtree(tmp_path / "archive")
    pack(tmp_path / "folders", tmp_path / "archive")
    pack(tmp_path / "new", tmp_path / "archive" / "packs")
    summary = night(tmp_path, detect="stat")
    assert {fate.value: n for fate, n in summary.read.items() if n} == {"new": 1, "changed": 1}
    assert summary.outcome == 0
    run_dir = nights_of(tmp_path).run(nights_of(tmp_path).run_names()[-1])
    assert [card.place is None for card in Plan(run_dir)] == [False, False]


def test_the_index_is_readable_by_people(tmp_path: Path) -> None:
    packs = pack(make_archive(tmp_path / "archive", 2), tmp_path / "packs")
    head, *rows = index_path(packs / "cards-00000.tar").read_text().splitlines()
    facts = json.loads(head)
    assert facts["cards"] == len(rows) == 2
    card = dict(zip(facts["columns"], json.loads(rows[1]), strict=True))
    assert (card["card"], card["images"]) == ("box_00/card_0001", 17)
    with (packs / "cards-00000.tar").open("rb") as tar:
        tar.seek(card["offset"])
        assert tar.read(26) == b"box_00/card_0001/01.png\0\0\0"
