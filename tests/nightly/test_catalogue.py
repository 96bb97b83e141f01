"""The catalogue is what the runs say: the same when it is kept, lost, or made again."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_fakes import box_png, make_archive, make_card
from night_fakes import catalogue_rows, current_rows, night, nights_of, what_is_read
from vin_batch.batch.lock import hold
from vin_batch.nightly import fold
from vin_batch.nightly.catalogue import CatalogueRow, open_catalogue, table_to_rows
from vin_batch.nightly.current import write_current
from vin_batch.nightly.keeping import bring_up_to_date
from vin_batch.nightly.retention import current_runs
from vin_batch.nightly.selection import Fate

STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "change", "rename", "remove", "break"]), st.integers(0, 5)),
    max_size=3,
)


def nobody() -> None:
    """Nobody asks to stop."""


def apply(archive: Path, steps: list[tuple[str, int]], seed: int) -> None:
    """Change an archive: what a step cannot change stays as it is."""
    for step, number in steps:
        folder = archive / f"box_{number % 2}" / f"card_{number}"
        if step == "add" and not folder.exists():
            make_card(folder, seed + number, boxes=range(1, 4))
        elif folder.exists() and step == "change":
            (folder / "02.png").write_bytes(box_png(seed * 1000 + number))
        elif folder.exists() and step == "rename":
            (folder / "03.png").rename(folder / "03.jpg") if (folder / "03.png").exists() else None
        elif folder.exists() and step == "remove":
            shutil.rmtree(folder)
        elif folder.exists() and step == "break":
            (folder / "01.png").write_bytes(b"")


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=3), st.booleans())
def test_made_again_is_the_same_after_any_nights(
    nights: list[list[tuple[str, int]]], in_groups: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        base = Path(folder)
        make_card(base / "archive" / "always", 1, boxes=range(1, 4))
        for number, steps in enumerate(nights):
            apply(base / "archive", steps, number)
            night(base, run="shard_size = 2")
        kept = catalogue_rows(base)
        current = current_rows(base)
        if in_groups:
            patch.setattr(fold, "RUNS_AT_ONCE", 1)
        patch.setattr(fold, "ROWS", 2)
        rebuilt = bring_up_to_date(nights_of(base), nobody, force=True)
        assert rebuilt.rebuilt
        patch.undo()
        assert list(map(what_is_read, catalogue_rows(base))) == list(map(_unmissed, kept))
        write_current(nights_of(base), rebuilt.catalogue, [nights_of(base).current("csv")], nobody)
        assert current_rows(base) == current
        every = {str(p.parent.relative_to(base / "archive")) for p in base.glob("archive/**/*.*")}
        assert every <= {row.card_id for row in kept}


def _unmissed(row: CatalogueRow) -> CatalogueRow:
    return what_is_read(replace(row, missing_since=None))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    make_archive(tmp_path / "archive", 5)
    night(tmp_path)
    make_card(tmp_path / "archive" / "new", 77)
    night(tmp_path)
    return tmp_path


@pytest.mark.parametrize("damage", ["lost", "torn", "flipped", "foreign", "stale"])
def test_a_wrong_catalogue_costs_nothing(base: Path, damage: str) -> None:
    path = nights_of(base).catalogue
    kept, current = catalogue_rows(base), current_rows(base)
    data = path.read_bytes()
    if damage == "lost":
        path.unlink()
    elif damage == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        ids = pq.ParquetFile(path).metadata.row_group(0).column(0)
        place = ids.dictionary_page_offset + ids.total_compressed_size - 2
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    elif damage == "foreign":
        pq.write_table(pq.read_table(nights_of(base).run("000001").plan), path)
    else:
        nights_of(base).run("000002").receipt(0).unlink()
    summary = night(base)
    assert sum(summary.read.values()) == 0
    assert (summary.rebuilt != "") == (damage != "stale")
    assert list(map(what_is_read, catalogue_rows(base))) == list(map(what_is_read, kept))
    assert current_rows(base) == current


def test_a_run_that_is_gone_is_read_again(base: Path) -> None:
    shutil.rmtree(nights_of(base).run("000001").root)
    summary = night(base)
    assert "run 000001 is gone" in summary.rebuilt
    assert summary.read[Fate.NEW] == 5
    assert len(current_rows(base)) == 6


def test_a_retried_run_is_noticed(base: Path) -> None:
    """`vin-batch retry` on a run of an earlier night gives it other readings."""
    make_card(base / "archive" / "torn", 78)
    (base / "archive" / "torn" / "01.png").write_bytes(b"")
    night(base)
    run = nights_of(base).run("000003")
    assert current_rows(base)["torn"]["status"] == "failed"
    (base / "archive" / "torn" / "01.png").write_bytes(box_png(4))
    run.receipt(0).unlink()
    summary = night(base)
    assert summary.read[Fate.CHANGED] == 0
    assert current_rows(base)["torn"]["status"] == "review"


def test_readers_of_the_catalogue_see_where_readings_lie(base: Path) -> None:
    catalogue = open_catalogue(nights_of(base).catalogue)
    assert current_runs(catalogue) == {"000001", "000002"}
    rows = [row for table in catalogue.tables() for row in table_to_rows(table)]
    assert [row.card_id for row in rows][-1] == "new"
    assert all(row.stamps and row.contents and len(row.stamps) == 8 for row in rows)
    with hold(nights_of(base).lock):
        again = bring_up_to_date(nights_of(base), nobody)
    assert (again.rebuilt, again.folded) == ("", ())


def test_receipts_of_earlier_versions_have_no_stamps(base: Path) -> None:
    """Such cards are compared by their bytes once, and then by their times."""
    receipt = nights_of(base).run("000001").receipt(0)
    document = json.loads(receipt.read_text())
    del document["stamp_digests"], document["seal"]
    receipt.write_text(json.dumps(document))
    nights_of(base).catalogue.unlink()
    first = night(base)
    assert first.findings is not None
    assert (sum(first.read.values()), first.findings.touched) == (0, 4)
    second = night(base)
    assert second.findings is not None
    assert second.findings.touched == 0
