"""DuckDB and SQLite hold what PostgreSQL would, by the same rules."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from crash_tools import environment
from finished_run import VIN, reading, unreadable
from loader_runs import AMERICAN, HOSTILE, awkward, correct, correction, mixed, run_of
from register_rows import exact, expected, night, overlapping
from vin_batch.errors import DiskError, LockedError, UsageError
from vin_batch.export.contract import CONTRACT, NAMES
from vin_batch.export.embedded import export_embedded
from vin_batch.export.load import LoadOptions, LoadOutcome
from vin_batch.records import Status

ENGINES = ("duckdb", "sqlite")


def rows(engine: str, file: Path, view: str = "readings") -> list[dict[str, Any]]:
    query = f"SELECT * FROM {view} ORDER BY card_id"
    if engine == "duckdb":
        with duckdb.connect(str(file), read_only=True) as database:
            found = database.execute(query)
            names = [column[0] for column in found.description or ()]
            plain = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        return [{n: _zoned(value) for n, value in row.items()} for row in plain]
    with sqlite3.connect(file) as connection:
        connection.row_factory = sqlite3.Row
        plain = [dict(row) for row in connection.execute(query)]
    return [{n: _parsed(n, value) for n, value in row.items()} for row in plain]


def _zoned(value: object) -> object:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _parsed(name: str, value: object) -> object:
    if name not in NAMES or value is None:
        return value
    kind = CONTRACT.field(name).type
    if pa.types.is_list(kind):
        return json.loads(str(value))
    return datetime.fromisoformat(str(value)) if pa.types.is_timestamp(kind) else value


@pytest.mark.parametrize("engine", ENGINES)
def test_every_value_of_every_column_arrives_exactly(tmp_path: Path, engine: str) -> None:
    names = [awkward(name, 1 / (3 + n)) for n, name in enumerate((*HOSTILE, "é" * 2000))]
    run = run_of(tmp_path / "run", [mixed("1987", 28), names])
    file = tmp_path / "register.db"
    outcome = export_embedded(run.root, engine, file)
    found = rows(engine, file)
    assert list(found[0]) == list(NAMES)
    assert exact(found).equals(exact(expected([run])))
    assert outcome.cards == len(found) == 28 + len(HOSTILE) + 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_second_load_changes_nothing(tmp_path: Path, engine: str) -> None:
    run = run_of(tmp_path / "run", [mixed("a", 8), mixed("b", 3)])
    correct(run.root, correction("a/card_0001", AMERICAN))
    file = tmp_path / "register.db"
    first = export_embedded(run.root, engine, file)
    assert (first.shards, first.cards, first.corrections) == (2, 11, 1)
    before = [rows(engine, file), *_tables(engine, file)]
    assert export_embedded(run.root, engine, file) == LoadOutcome(first.run_id, 0, 0, 2, (), 0)
    assert [rows(engine, file), *_tables(engine, file)] == before


def _tables(engine: str, file: Path) -> list[int]:
    names = ("machine_readings", "machine_readings_history", "corrections", "runs", "loads")
    query = "SELECT " + ", ".join(f"(SELECT count(*) FROM {name})" for name in names)
    if engine == "duckdb":
        with duckdb.connect(str(file), read_only=True) as database:
            return list(database.execute(query).fetchall()[0])
    with sqlite3.connect(file) as connection:
        return list(connection.execute(query).fetchone())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_the_newest_reading_counts_and_people_before_it(
    tmp_path: Path, engine: str, order: tuple[int, ...]
) -> None:
    runs = overlapping(tmp_path)
    correct(runs[0].root, correction("a", AMERICAN, note="seen"), correction("c", None))
    late = {"reviewer": "boris", "signed_at": datetime(2026, 5, 1, tzinfo=UTC)}
    correct(runs[1].root, correction("c", VIN, **late))
    file = tmp_path / "register.db"
    for number in (*order, *order):
        export_embedded(runs[number].root, engine, file)
    assert exact(rows(engine, file)).equals(exact(expected(runs, [run.root for run in runs])))
    assert _tables(engine, file) == [7, 5, 3, 3, 3]
    assert {row["card_id"] for row in rows(engine, file, "review_queue")} == {"b", "d", "f"}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_retried_shard_is_loaded_again_and_an_old_copy_is_not(
    tmp_path: Path, engine: str
) -> None:
    broken = [unreadable("a", Status.FAILED), reading("b")]
    old = run_of(tmp_path / "old", [broken], read_at=night(1))
    new = run_of(tmp_path / "new", [[reading("a"), reading("b")]], read_at=night(2))
    file = tmp_path / "register.db"
    export_embedded(old.root, engine, file)
    assert export_embedded(new.root, engine, file).shards == 1
    again = export_embedded(old.root, engine, file)
    assert (again.shards, again.stale) == (0, (0,))
    assert exact(rows(engine, file)).equals(exact(expected([new])))
    assert _tables(engine, file) == [2, 1, 0, 1, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_other_files_are_not_touched(tmp_path: Path, engine: str) -> None:
    run = run_of(tmp_path / "run", [[reading("a")]])
    text = tmp_path / "letter.txt"
    text.write_text("Dear colleague, " * 1000)
    with pytest.raises(DiskError, match=r"letter\.txt|refused"):
        export_embedded(run.root, engine, text)
    assert text.read_text() == "Dear colleague, " * 1000
    file = tmp_path / "other.db"
    if engine == "duckdb":
        duckdb.connect(str(file)).execute("CREATE TABLE t (i INT)").close()
    else:
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE t (i INT)")
    with pytest.raises(UsageError, match="other tables"):
        export_embedded(run.root, engine, file)
    with pytest.raises(UsageError, match="no directory"):
        export_embedded(run.root, engine, tmp_path / "nowhere" / "x.db")


KILLED = """
import os, sys
from pathlib import Path
from vin_batch.export import embedded, merge

real = embedded._load_shard
def dies(database, rows):
    if rows.receipt.shard == 1:
        count = database.change
        def change(statement, values=()):
            changed = count(statement, values)
            if statement is merge.ADD_NEW:
                os._exit(137)
            return changed
        database.change = change
    return real(database, rows)
embedded._load_shard = dies
embedded.export_embedded(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_kill_leaves_whole_shards(tmp_path: Path, engine: str) -> None:
    run = run_of(tmp_path / "run", [mixed("a", 10), mixed("b", 10), mixed("c", 1)])
    file = tmp_path / "register.db"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(run.root), engine, str(file)],
        env=environment(), check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 137
    outcome = export_embedded(run.root, engine, file)
    assert (outcome.shards, outcome.shards_before, outcome.cards) == (2, 1, 11)
    assert exact(rows(engine, file)).equals(exact(expected([run])))


HOLDING = """
import sys, duckdb
database = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_a_duckdb_that_is_open_elsewhere_is_waited_for_by_a_person(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [[reading("a")]])
    file = tmp_path / "register.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(file)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(),
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(LockedError, match="another process"):
            export_embedded(run.root, "duckdb", file)
        other.communicate(b"")
    assert export_embedded(run.root, "duckdb", file).cards == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_an_unfinished_run_is_refused_unless_told(tmp_path: Path, engine: str) -> None:
    run = run_of(tmp_path / "run", [[reading("a")], [reading("b")]])
    run.receipt(1).unlink()
    file = tmp_path / "register.db"
    with pytest.raises(UsageError, match="1 of 2 shards"):
        export_embedded(run.root, engine, file)
    assert not file.exists()
    assert export_embedded(run.root, engine, file, LoadOptions(partial=True)).cards == 1
