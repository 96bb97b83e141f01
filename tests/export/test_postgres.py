"""Readings enter a real PostgreSQL exactly once, whatever happens on the way."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from finished_run import VIN, reading, unreadable
from loader_runs import (
    AMERICAN,
    HOSTILE,
    awkward,
    correct,
    correction,
    mixed,
    run_of,
    set_read_at,
)
from postgres_server import Server
from register_rows import exact, expected, night, overlapping
from vin_batch.batch.ledger import load_run
from vin_batch.batch.receipts import Receipt
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import UsageError
from vin_batch.export import postgres, postgres_schema
from vin_batch.export.contract import NAMES
from vin_batch.export.load import LoadOptions, LoadOutcome
from vin_batch.export.package import export_package
from vin_batch.export.postgres import export_postgres
from vin_batch.export.postgres_connection import Cursor, DatabaseError, Destination, Session
from vin_batch.export.shards import FinishedRun
from vin_batch.records import Reading, Status


def rows(register: Destination, view: str = "readings") -> list[dict[str, Any]]:
    with psycopg.connect(register.dsn, row_factory=dict_row) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(
            f'SELECT * FROM {register.schema}.{view} ORDER BY card_id COLLATE "C"'.encode()
        )
        return list(found)


def value(register: Destination, query: str) -> Any:  # noqa: ANN401 - one value of any type
    with psycopg.connect(register.dsn) as connection:
        connection.execute(f"SET search_path = {register.schema}".encode())
        row = connection.execute(query.encode()).fetchone()
        return None if row is None else row[0]


def test_every_value_of_every_column_arrives_exactly(tmp_path: Path, register: Destination) -> None:
    names = [awkward(name, 1 / (3 + n)) for n, name in enumerate(HOSTILE)]
    run = run_of(tmp_path / "run", [mixed("1987", 26), names])
    outcome = export_postgres(run.root, register)
    found = rows(register)
    assert list(found[0]) == list(NAMES)
    assert exact(found).equals(exact(expected([run])))
    manifest = export_package(run.root, tmp_path / "package").manifest
    assert outcome.cards == len(found) == manifest.cards == load_run(run).cards
    for status, count in manifest.statuses.items():
        assert sum(row["status"] == status for row in found) == count
    accepted = rows(register, "accepted_readings")
    assert {row["status"] for row in accepted} == {"accepted"}
    assert len(rows(register, "review_queue")) == len(found) - len(accepted)


def test_a_second_load_changes_nothing(tmp_path: Path, register: Destination) -> None:
    run = run_of(tmp_path / "run", [mixed("a", 8), mixed("b", 3)])
    correct(run.root, correction("a/card_0001", AMERICAN))
    first = export_postgres(run.root, register)
    assert (first.shards, first.cards, first.shards_before, first.corrections) == (2, 11, 0, 1)
    tables = ("machine_readings", "loads", "runs", "corrections")
    before = [value(register, f"SELECT array_agg(xmin || ':' || ctid) FROM {t}") for t in tables]
    second = export_postgres(run.root, register)
    assert second == LoadOutcome(first.run_id, 0, 0, 2, (), 0)
    after = [value(register, f"SELECT array_agg(xmin || ':' || ctid) FROM {t}") for t in tables]
    assert after == before
    assert value(register, "SELECT count(*) FROM machine_readings_history") == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_newer_reading_supersedes_in_any_order_of_loads(
    tmp_path: Path, register: Destination, order: tuple[int, ...]
) -> None:
    runs = overlapping(tmp_path)
    for number in order:
        export_postgres(runs[number].root, register)
    assert exact(rows(register)).equals(exact(expected(runs)))
    history = rows(register, "machine_readings_history")
    assert [(row["card_id"], row["run_id"][0]) for row in sorted(
        history, key=lambda row: (row["card_id"], row["run_id"])
    )] == [("a", "1"), ("b", "1"), ("b", "2"), ("c", "1"), ("f", "2")]  # fmt: skip
    for number in order:
        export_postgres(runs[number].root, register)
    assert rows(register, "machine_readings_history") == history


def test_a_person_is_never_overruled(tmp_path: Path, register: Destination) -> None:
    runs = overlapping(tmp_path)
    correct(runs[0].root, correction("a", AMERICAN, note="seen"), correction("c", None))
    late = {"reviewer": "boris", "signed_at": datetime(2026, 5, 1, tzinfo=UTC)}
    correct(runs[1].root, correction("c", VIN, **late), correction("nowhere", VIN))
    for run in (*runs, *reversed(runs)):
        export_postgres(run.root, register)
    layers = [run.root for run in runs]
    assert exact(rows(register)).equals(exact(expected(runs, layers)))
    found = {row["card_id"]: row for row in rows(register)}
    assert (found["a"]["vin"], found["a"]["status"]) == (AMERICAN, "confirmed")
    assert (found["c"]["vin"], found["c"]["reviewer"]) == (VIN, "boris")
    assert value(register, "SELECT count(*) FROM corrections") == 4
    assert {row["card_id"] for row in rows(register, "review_queue")} == {"b", "d", "f"}


def test_corrections_made_in_the_database_count_too(tmp_path: Path, register: Destination) -> None:
    run = run_of(tmp_path / "run", [[awkward("a")]])
    export_postgres(run.root, register)
    with psycopg.connect(register.dsn) as connection:
        table = f"{register.schema}.corrections"
        insert = f"INSERT INTO {table} (card_id, vin, reviewer) VALUES ('a', %s, 'desk')"
        connection.execute(insert.encode(), [AMERICAN])
    (row,) = rows(register)
    assert (row["vin"], row["wmi"], row["source"]) == (AMERICAN, "1G4", "person")
    for change in ("UPDATE", "DELETE FROM", "TRUNCATE"):
        rest = "SET reviewer = 'x'" if change == "UPDATE" else ""
        with (
            psycopg.connect(register.dsn) as connection,
            pytest.raises(psycopg.errors.RaiseException, match="append-only"),
        ):
            connection.execute(f"{change} {table} {rest}".encode())


def test_a_retried_shard_is_loaded_again_and_an_old_copy_is_not(
    tmp_path: Path, register: Destination
) -> None:
    old = run_of(
        tmp_path / "old", [[unreadable("a", Status.FAILED), reading("b")]], read_at=night(1)
    )
    new = run_of(tmp_path / "new", [[reading("a"), reading("b")]], read_at=night(2))
    export_postgres(old.root, register)
    outcome = export_postgres(new.root, register)
    assert (outcome.shards, outcome.stale) == (1, ())
    again = export_postgres(old.root, register)
    assert (again.shards, again.stale) == (0, (0,))
    assert exact(rows(register)).equals(exact(expected([new])))
    history = rows(register, "machine_readings_history")
    assert [(row["card_id"], row["status"]) for row in history] == [("a", "failed")]
    assert value(register, "SELECT count(*) FROM loads") == 1


def test_an_unfinished_run_is_refused_unless_told(tmp_path: Path, register: Destination) -> None:
    run = run_of(tmp_path / "run", [[reading("a")], [reading("b")]])
    receipt = run.receipt(1).read_bytes()
    run.receipt(1).unlink()
    with pytest.raises(UsageError, match="1 of 2 shards"):
        export_postgres(run.root, register)
    assert export_postgres(run.root, register, LoadOptions(partial=True)).cards == 1
    run.receipt(1).write_bytes(receipt)
    assert export_postgres(run.root, register).cards == 1
    assert len(rows(register)) == 2


def kill_when_copied(
    monkeypatch: pytest.MonkeyPatch, server: Server, times: int, share: float
) -> list[int]:
    """Let the server end our backend in the middle of a COPY, the first few times."""
    killed: list[int] = []
    real = psycopg.Copy.write

    def write(self: psycopg.Copy, buffer: bytes) -> None:
        if len(killed) >= times:
            real(self, buffer)
            return
        cut = int(len(buffer) * share)
        real(self, buffer[:cut])
        pid = self.connection.info.backend_pid
        killed.append(pid)
        with server.connect() as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        real(self, buffer[cut:])

    monkeypatch.setattr(psycopg.Copy, "write", write)
    return killed


@pytest.mark.parametrize("group", [1, 80, 1000])
def test_a_backend_killed_in_the_middle_of_a_copy_costs_nothing(
    tmp_path: Path,
    server: Server,
    register: Destination,
    monkeypatch: pytest.MonkeyPatch,
    group: int,
) -> None:
    run = run_of(tmp_path / "run", [mixed("a", 40), mixed("b", 40), mixed("c", 5)])
    monkeypatch.setattr("vin_batch.export.postgres_connection.FIRST_PAUSE", 0.0)
    monkeypatch.setattr(postgres, "GROUP_CARDS", group)
    killed = kill_when_copied(monkeypatch, server, times=3, share=0.6)
    told: list[str] = []
    outcome = export_postgres(run.root, register, LoadOptions(tell=told.append))
    assert len(killed) == 3
    assert len(told) == 3
    assert (outcome.shards, outcome.cards) == (3, 85)
    assert exact(rows(register)).equals(exact(expected([run])))


def test_a_server_that_stays_away_leaves_whole_shards(
    tmp_path: Path, server: Server, register: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path / "run", [mixed("a", 10), mixed("b", 10)])
    monkeypatch.setattr("vin_batch.export.postgres_connection.FIRST_PAUSE", 0.0)
    monkeypatch.setattr(postgres, "GROUP_CARDS", 10)
    with monkeypatch.context() as patch:
        real = postgres._load

        def dies(cursor: Cursor, batch: postgres.Batch, finished: FinishedRun) -> set[int]:
            entered = real(cursor, batch, finished)
            if 1 in entered:
                with server.connect() as other:
                    pid = cursor.connection.info.backend_pid
                    other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
            return entered

        patch.setattr(postgres, "_load", dies)
        with pytest.raises(DatabaseError, match="3 attempts"):
            export_postgres(run.root, register, LoadOptions(attempts=3))
    assert {row["shard"] for row in rows(register)} == {0}
    assert value(register, "SELECT count(*) FROM loads") == 1
    outcome = export_postgres(run.root, register)
    assert (outcome.shards, outcome.shards_before) == (1, 1)
    assert exact(rows(register)).equals(exact(expected([run])))


def test_a_commit_whose_answer_was_lost_is_not_done_twice(
    tmp_path: Path, server: Server, register: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path / "run", [mixed("a", 6)])
    monkeypatch.setattr("vin_batch.export.postgres_connection.FIRST_PAUSE", 0.0)
    real = Session.transaction
    lost: list[object] = []

    def transaction(self: Session, work: Callable[[Cursor], object]) -> object:
        result = real(self, work)
        if getattr(work, "func", None) is postgres._load and not lost:
            lost.append(result)
            self.close()
            result = real(self, work)
        return result

    monkeypatch.setattr(Session, "transaction", transaction)
    outcome = export_postgres(run.root, register)
    assert (lost, outcome.shards, outcome.stale) == ([{0}], 0, ())
    assert exact(rows(register)).equals(exact(expected([run])))
    assert value(register, "SELECT count(*) FROM machine_readings_history") == 0


def test_concurrent_loaders_of_overlapping_runs_do_not_disturb_each_other(
    tmp_path: Path, register: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shards(seed: int) -> list[list[Reading]]:
        def one(number: int) -> Reading:
            made = awkward(f"card_{number:03d}", confidence=(seed + number) / 1000)
            return made if (seed + number) % 3 else reading(f"card_{number:03d}")

        numbers = sorted({(seed * 37 + n * (seed + 1)) % 160 for n in range(120)})
        cards = [one(n) for n in numbers]
        size = 15
        return [cards[i : i + size] for i in range(0, len(cards), size)]

    runs = [run_of(tmp_path / f"n{n}", shards(n), f"{n}" * 32, night(n)) for n in range(1, 5)]
    errors: list[BaseException] = []
    monkeypatch.setattr(postgres, "GROUP_CARDS", 40)

    def work(run: RunDir) -> None:
        try:
            export_postgres(run.root, register)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(run,)) for run in (*runs, *runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert exact(rows(register)).equals(exact(expected(runs)))
    total = sum(load_run(run).cards for run in runs)
    current = value(register, "SELECT count(*) FROM machine_readings")
    assert current + value(register, "SELECT count(*) FROM machine_readings_history") == total
    assert value(register, "SELECT count(*) FROM loads") == sum(load_run(r).shards for r in runs)


def test_tables_are_made_once_and_checked(server: Server, schema: str) -> None:
    destination = Destination(server.dsn, schema)
    applied = postgres_schema.init(destination)
    assert [m.version for m in applied] == list(range(1, len(applied) + 1))
    assert postgres_schema.init(destination) == []


def test_concurrent_inits_do_not_disturb_each_other(server: Server, schema: str) -> None:
    destination = Destination(server.dsn, schema)
    results: list[int] = []
    work = lambda: results.append(len(postgres_schema.init(destination)))  # noqa: E731
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 0, 0, len(postgres_schema.migrations())]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DROP TABLE schema_migrations", "no tables"),
        ("DELETE FROM schema_migrations WHERE version = 2", "older version"),
        ("INSERT INTO schema_migrations VALUES (9999, 'x', 'y')", "9999"),
        ("UPDATE schema_migrations SET sha256 = 'x' WHERE version = 1", "not the one"),
    ],
)
def test_tables_of_another_version_are_refused(
    tmp_path: Path, server: Server, register: Destination, change: str, message: str
) -> None:
    run = run_of(tmp_path / "run", [[reading("a")]])
    with server.connect() as connection:
        connection.execute(f"SET search_path = {register.schema}".encode())
        connection.execute(change.encode())
    with pytest.raises(UsageError, match=message):
        export_postgres(run.root, register)


def test_a_name_too_long_for_an_index_is_refused_by_name(
    tmp_path: Path, register: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "GROUP_CARDS", 1)
    run = run_of(tmp_path / "run", [[reading("a")], [reading("é" * 1301)]])
    with pytest.raises(UsageError, match="has 2602 bytes"):
        export_postgres(run.root, register)
    assert [row["card_id"] for row in rows(register)] == ["a"]


def test_constraints_keep_nonsense_out(register: Destination) -> None:
    columns = "card_id, status, vin, raw_vin, confidence, check_digit, model_years, changed, "
    columns += "reasons, char_probs, second_chars, second_probs, issues, alternative_vins, "
    columns += "alternative_probs, read_at, model_id, run_id, shard"
    good = {
        "card_id": "'a'", "status": "'accepted'", "vin": f"'{VIN}'", "raw_vin": f"'{VIN}'",
        "confidence": "1", "check_digit": "'valid'", "second_chars": f"'{VIN}'",
        "char_probs": "array_fill(1::real, '{17}')", "second_probs": "array_fill(0::real, '{17}')",
        "read_at": "now()", "model_id": "'m'",
        "run_id": "'r'", "shard": "0",
    }  # fmt: skip
    wrong = {
        "status": "'sure'", "vin": "'XTA21013OD0000002'", "raw_vin": "'X'", "confidence": "1.5",
        "check_digit": "'ok'", "char_probs": "'{1}'", "card_id": "''",
        "alternative_vins": "'{x}'", "shard": "-1",
    }  # fmt: skip
    for name, bad in [("", ""), *wrong.items()]:
        values = {**good, **({name: bad} if name else {})}
        row = ", ".join(values.get(column, "'{}'") for column in columns.split(", "))
        insert = f"INSERT INTO {register.schema}.machine_readings ({columns}) VALUES ({row})"
        with psycopg.connect(register.dsn) as connection:
            if not name:
                connection.execute(insert.encode())
                connection.rollback()
                continue
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute(insert.encode())


def test_memory_holds_few_shards_however_many_there_are(
    tmp_path: Path, register: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path / "run", [[reading(f"{s}/{n}") for n in range(20)] for s in range(12)])
    alive: weakref.WeakSet[object] = weakref.WeakSet()
    most: list[int] = []
    real = postgres._prepared

    class Counted(postgres.Batch):
        __hash__ = object.__hash__

    def prepared(finished: FinishedRun, receipts: tuple[Receipt, ...]) -> postgres.Batch:
        made = real(finished, receipts)
        counted = Counted(made.receipts, made.ledger, made.data, made.ends)
        alive.add(counted)
        most.append(len(alive))
        return counted

    monkeypatch.setattr(postgres, "GROUP_CARDS", 20)
    monkeypatch.setattr(postgres, "_prepared", prepared)
    assert export_postgres(run.root, register).cards == 240
    assert len(most) == 12
    assert max(most) <= 3


def test_of_shards_loaded_together_those_that_others_loaded_stay(
    tmp_path: Path, register: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = [mixed(name, 6) for name in "abcd"]
    run = run_of(tmp_path / "run", shards, read_at=night(1))
    rival = run_of(tmp_path / "rival", shards, read_at=night(1))
    for shard in (0, 3):
        rival.receipt(shard).unlink()
    real = postgres._load_shards

    def late(*arguments: Any) -> LoadOutcome:  # noqa: ANN401 - passed on
        monkeypatch.setattr(postgres, "_load_shards", real)
        export_postgres(rival.root, register, LoadOptions(partial=True))
        return real(*arguments)

    monkeypatch.setattr(postgres, "_load_shards", late)
    outcome = export_postgres(run.root, register)
    assert (outcome.shards, outcome.cards, outcome.shards_before) == (2, 12, 2)
    assert exact(rows(register)).equals(exact(expected([run])))
    assert value(register, "SELECT count(*) FROM machine_readings_history") == 0
    assert value(register, "SELECT sum(cards) FROM loads") == 24


def test_times_of_other_zones_are_the_same_instant(tmp_path: Path, register: Destination) -> None:
    run = run_of(tmp_path / "run", [[reading("a")]], read_at="2026-01-01T02:00:00+03:00")
    export_postgres(run.root, register)
    set_read_at(run, {0: "2025-12-31T23:00:00+00:00"})
    assert exact(rows(register)).equals(exact(expected([run])))
