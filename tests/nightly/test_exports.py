"""What a night hands on arrives, whole and once, whatever failed the night before."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg.rows import dict_row

from batch_fakes import box_png, make_archive, make_card
from loader_runs import AMERICAN, correct, correction, set_read_at
from night_fakes import catalogue_rows, current_rows, night, night_by, night_toml, nights_of
from postgres_server import new_schema, shared_server
from vin_batch.archive import ArchiveRoot, WalkTotals
from vin_batch.batch.ledger import load_run
from vin_batch.errors import ArchiveError, ExitCode, UsageError
from vin_batch.export.package_check import check_package
from vin_batch.export.postgres_connection import Destination
from vin_batch.export.postgres_schema import init
from vin_batch.nightly import looking
from vin_batch.nightly.catalogue import open_catalogue
from vin_batch.nightly.metrics import night_metrics
from vin_batch.nightly.overview import describe, totals
from vin_batch.nightly.settings import load_night_config
from vin_batch.nightly.summary import NightSummary, last_words
from vin_batch.report.textfile import render

CARDS = 6
NO_SERVER = {"to": "postgresql://nobody@127.0.0.1:1/none", "retries": 1, "name": "register"}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("exports")
    make_archive(base / "archive", CARDS)
    night(base)
    return base


@pytest.fixture
def base(first: Path, tmp_path: Path) -> Path:
    """A directory after its first night."""
    shutil.copytree(first, tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2)
    return tmp_path


@pytest.fixture
def schema() -> Iterator[str]:
    with new_schema(shared_server()) as name:
        init(Destination(shared_server().dsn, name))
        yield name


def card(base: Path, number: int) -> Path:
    return base / "archive" / f"box_{number // 5:02d}" / f"card_{number:04d}"


def night_to(
    base: Path, *exports: Mapping[str, object], night: Mapping[str, object] | None = None
) -> NightSummary:
    return night_by(load_night_config(night_toml(base, night, "", exports), {}))


def postgres(schema: str) -> dict[str, object]:
    # A key-value string is no URL; libpq takes the same settings as a query.
    parts = dict(word.split("=", 1) for word in shared_server().dsn.split())
    query = "&".join(f"{name}={value}" for name, value in parts.items())
    return {"to": f"postgresql://?{query}", "schema": schema, "name": "register", "retries": 2}


def registered(schema: str) -> dict[str, dict[str, Any]]:
    with psycopg.connect(shared_server().dsn, row_factory=dict_row) as connection:
        found = connection.execute(f"SELECT * FROM {schema}.readings".encode()).fetchall()
    return {row["card_id"]: row for row in found}


def same_as_current(base: Path, found: dict[str, dict[str, Any]]) -> None:
    """The register holds what the current readings say, cell by cell."""
    current = current_rows(base)
    assert set(found) == set(current)
    for name, row in current.items():
        for column in ("status", "vin", "raw_vin", "run_id", "machine_status", "source"):
            assert (found[name][column] or "") == row[column], (name, column)
        assert found[name]["confidence"] == float(row["confidence"])


def test_a_database_that_was_away_gets_everything_the_next_night(base: Path, schema: str) -> None:
    (card(base, 2) / "05.png").write_bytes(box_png(4711))
    make_card(base / "archive" / "box_09" / "new", 99)
    away = night_to(base, NO_SERVER, night={"keep_nights": 1})
    assert (away.outcome, sum(away.read.values())) == (ExitCode.DISK, 2)
    (delivery,) = away.exports.made
    assert "register FAILED" in str(delivery)
    assert "register FAILED" in last_words(nights_of(base), away)
    assert len(current_rows(base)) == CARDS + 1, "the readings are safe"
    assert away.pruned.outputs == [], "nothing goes that was not handed on"
    metrics = render(night_metrics(nights_of(base), away)).decode()
    assert 'export="register"} 0' in metrics
    catalogue = open_catalogue(nights_of(base).catalogue)
    assert "disk; not handed on: register" in describe(totals(nights_of(base), catalogue))
    make_card(base / "archive" / "box_09" / "newer", 100)
    there = night_to(base, postgres(schema))
    assert there.outcome is ExitCode.DONE
    (delivery,) = there.exports.made
    assert (delivery.runs, delivery.cards) == (("000001", "000002", "000003"), CARDS + 3)
    same_as_current(base, registered(schema))
    again = night_to(base, postgres(schema))
    assert (again.exports.made[0].runs, again.exports.made[0].cards) == ((), 0)
    summary = json.loads(nights_of(base).summary(away.night).read_text())
    assert summary["exports"][0]["exit_code"] == summary["exit_code"] == 7


def test_corrections_reach_all_targets_and_the_current_readings(base: Path, schema: str) -> None:
    targets = (
        postgres(schema), {"to": "sqlite:register.sqlite"}, {"to": "duckdb:register.duckdb"},
    )  # fmt: skip
    assert night_to(base, *targets).outcome is ExitCode.DONE
    names = list(current_rows(base))
    machine = current_rows(base)[names[0]]
    correct(nights_of(base).root, correction(names[0], AMERICAN, note="=seen"))
    correct(nights_of(base).run("000001").root, correction(names[1], None))
    summary = night_to(base, *targets, night={"current": ["csv", "parquet"]})
    assert [(d.cards, d.corrections, d.error) for d in summary.exports.made] == [(0, 2, "")] * 3
    row = current_rows(base)[names[0]]
    assert (row["vin"], row["status"], row["source"]) == (AMERICAN, "confirmed", "person")
    assert (row["machine_vin"], row["machine_status"]) == (machine["vin"], machine["status"])
    assert (row["wmi"], row["reviewer"], row["note"]) == ("1G4", "i.petrova", "'=seen")
    assert row["raw_vin"] == machine["raw_vin"]
    assert current_rows(base)[names[1]]["status"] == "unreadable"
    same_as_current(base, registered(schema))
    with sqlite3.connect(base / "register.sqlite") as connection:
        said = connection.execute("SELECT count(*) FROM readings WHERE source = 'person'")
        assert said.fetchone() == (2,)
    table = pq.read_table(nights_of(base).current("parquet"))
    assert table.column("vin")[0].as_py() == AMERICAN
    assert night_to(base, *targets, night={"current": ["csv", "parquet"]}).current is False


def test_one_export_that_fails_costs_the_others_nothing(base: Path) -> None:
    summary = night_to(base, NO_SERVER, {"to": "sqlite:register.sqlite"})
    assert summary.outcome is ExitCode.DISK
    failed, done = summary.exports.made
    assert (failed.exit_code, done.cards) == (ExitCode.DISK, CARDS)
    assert "1" not in failed.error.partition("127.0.0.1")[0]


def test_tables_that_are_missing_are_told_with_their_own_exit_code(base: Path) -> None:
    with new_schema(shared_server()) as schema:
        summary = night_to(base, postgres(schema))
    assert summary.outcome is ExitCode.USAGE
    assert "has no tables" in summary.exports.made[0].error


def packages(base: Path) -> list[str]:
    return sorted(path.name for path in (base / "out").iterdir())


def test_every_run_becomes_one_package_even_if_it_is_taken_away(base: Path) -> None:
    target = {"to": "package", "directory": "out", "encoding": "cp1251", "delimiter": ";"}
    assert night_to(base, target).exports.made[0].cards == CARDS
    (name,) = packages(base)
    day = load_run(nights_of(base).run("000001")).created_at[:10]
    assert name == f"{day}-000001"
    assert check_package(base / "out" / name) == []
    shutil.rmtree(base / "out" / name)
    make_card(base / "archive" / "box_09" / "new", 99)
    summary = night_to(base, target)
    assert summary.exports.made[0].runs == (summary.night,)
    assert packages(base) == [f"{day}-{summary.night}"]
    with (base / "out" / packages(base)[0] / "review.csv").open(encoding="cp1251", newline="") as f:
        assert [row["card_id"] for row in csv.DictReader(f, delimiter=";")] == ["box_09/new"]
    nights_of(base).exports.write_text("{")
    assert night_to(base, target).exports.made[0].runs == ("000001", summary.night)


def test_nights_that_read_the_same_cards_again_are_one_run_to_the_register(
    base: Path, schema: str
) -> None:
    (card(base, 2) / "05.png").write_bytes(box_png(1))
    night_to(base, postgres(schema))
    (card(base, 2) / "05.png").write_bytes(box_png(2))
    night_to(base, postgres(schema))
    ids = [load_run(nights_of(base).run(name)).run_id for name in ("000002", "000003")]
    assert ids[0] == ids[1]
    for _ in range(2):
        summary = night_to(base, postgres(schema))
        assert (summary.outcome, summary.exports.made[0].runs) == (ExitCode.DONE, ())
    same_as_current(base, registered(schema))


@pytest.mark.parametrize("days", [-400, 0])
def test_the_later_night_counts_whatever_the_clock_says(
    base: Path, schema: str, days: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The first night's clock was wrong, or both nights lie in one second."""
    then = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
    run = nights_of(base).run("000001")
    shards = load_run(run).shards
    set_read_at(run, dict.fromkeys(range(shards), then))
    (card(base, 2) / "05.png").write_bytes(box_png(4711))
    night_to(base, postgres(schema))
    (row,) = [row for row in catalogue_rows(base) if row.run == "000002"]
    assert row.last_read > then
    assert ("behind the latest reading" in caplog.text) == (days < 0)
    same_as_current(base, registered(schema))
    third = {**postgres(schema), "name": "again"}
    night_to(base, third)
    same_as_current(base, registered(schema))
    with psycopg.connect(shared_server().dsn) as connection:
        query = f"SELECT superseded_by FROM {schema}.machine_readings_history"
        assert connection.execute(query.encode()).fetchall() == [(load_run(
            nights_of(base).run("000002")).run_id,)]  # fmt: skip


def test_cards_that_a_failing_disk_hides_are_not_lost_cards(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(root: ArchiveRoot, totals: WalkTotals, *rest: Any) -> Iterator[Any]:  # noqa: ANN401
        yield from looking.find(root, totals, *rest)
        totals.note_unreadable(b"box_77", OSError(errno.EIO, "Input/output error"))

    monkeypatch.setattr("vin_batch.nightly.choosing.find", failing)
    config = load_night_config(night_toml(base), {})
    summary = night_by(config)
    assert summary.outcome is ExitCode.FINISHED_WITH_FAILURES
    assert "because the disk or the network failed" in last_words(nights_of(base), summary)
    shutil.rmtree(card(base, 0))
    before = nights_of(base).catalogue.read_bytes()
    with pytest.raises(ArchiveError, match="1 known cards were not found"):
        night_by(config)
    assert nights_of(base).catalogue.read_bytes() == before
    monkeypatch.undo()
    assert night_by(config).missing == 1


@pytest.mark.parametrize(
    ("export", "words"),
    [
        ({"to": "oracle:x"}, "no target"),
        ({}, "no target"),
        ({"to": "sqlite:"}, "no target"),
        ({"to": "package"}, "directory is not given"),
        ({"to": "sqlite:x", "schema": "s"}, "unknown setting schema"),
        ({"to": "postgresql://x/y", "retries": "3"}, "retries of .* must be of type int"),
        ({"to": "sqlite:x", "name": "a b"}, "no name"),
        ({"to": "package", "directory": "x", "encoding": "utf-16"}, "no encoding"),
        ({"to": "postgresql://u:s3cret@h/d"}, "holds a password"),
        ({"to": "postgresql://u@[h/d?password=s3cret"}, "malformed"),
    ],
)
def test_settings_of_exports_are_checked(
    tmp_path: Path, export: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        load_night_config(night_toml(tmp_path, exports=[export]), {})
    assert "s3cret" not in caught.value.message + caught.value.advice


def test_names_of_exports_are_their_own(tmp_path: Path) -> None:
    twice = [{"to": "sqlite:a"}, {"to": "sqlite:b"}]
    with pytest.raises(UsageError, match="two exports are called 'sqlite'"):
        load_night_config(night_toml(tmp_path, exports=twice), {})
    named = [{"to": "sqlite:a"}, {"to": "sqlite:b", "name": "b"}]
    targets = load_night_config(night_toml(tmp_path, exports=named), {}).exports
    assert [(t.name, t.path) for t in targets] == [
        ("sqlite", tmp_path / "a"),
        ("b", tmp_path / "b"),
    ]
    assert replace(targets[0], name="b").kind == "sqlite"
