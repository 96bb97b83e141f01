"""DuckDB and SQLite, as much of them as a load needs.

Both keep the tables and views of ``sql/`` under the same names. DuckDB has lists; SQLite holds
them as JSON. Times are UTC: DuckDB's are without a zone, SQLite's are text of fixed length
that ends in ``+00:00``, so that they sort.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from vin_batch.batch.atomic import current_mode
from vin_batch.errors import DiskError, LockedError, UsageError
from vin_batch.export.arrow_arrays import list_like
from vin_batch.export.contract import MACHINE, TIMESTAMP
from vin_batch.export.load import CORRECTIONS

INCOMING_TABLES: Final = {"incoming": "machine_readings", "incoming_corrections": "corrections"}
WAIT_SECONDS: Final = 60.0
"""How long a load waits for another one on the same SQLite file."""
_DUCKDB: Final = {
    pa.string(): "VARCHAR", pa.float64(): "DOUBLE", pa.float32(): "FLOAT", pa.int8(): "SMALLINT",
    pa.int16(): "SMALLINT", pa.int32(): "INTEGER", TIMESTAMP: "TIMESTAMP",
}  # fmt: skip
_SQLITE: Final = {
    pa.string(): "TEXT", pa.float64(): "REAL", pa.int32(): "INTEGER", TIMESTAMP: "TEXT",
}  # fmt: skip


class Engine(Protocol):
    """What a load does with a database in a file."""

    list_tables: str
    """Query for the names of all tables."""

    def close(self) -> None:
        """Close the file."""

    def transaction(self) -> Any:  # noqa: ANN401 - a context manager
        """All or nothing of what happens in the block."""

    def fetch(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""

    def change(self, statement: str, values: Sequence[object] = ()) -> int:
        """Run a statement; how many rows it changed."""

    def fill(self, table: str, rows: pa.Table) -> None:
        """Replace the rows of one of ``INCOMING_TABLES``."""

    def script(self, statements: str) -> None:
        """Run several statements in a transaction."""

    def definitions(self) -> str:
        """Statements that make tables and views."""


def open_engine(name: str, file: Path) -> Engine:
    """Open a file, or make it.

    Raises:
        UsageError: The engine is not installed, or the file is something else.
        DiskError: The file cannot be opened.
        LockedError: Another process has it open for writing.
    """
    if not file.absolute().parent.is_dir():
        raise UsageError(f"{file.parent} is no directory", "Make it first.")
    is_new = not file.exists()
    engine: Engine = DuckDb(file) if name == "duckdb" else Sqlite(file)
    if is_new:
        # Nothing personal is in it yet.
        file.chmod(file.stat().st_mode & current_mode())
    return engine


class DuckDb:
    """A file of DuckDB."""

    list_tables = "SELECT table_name FROM information_schema.tables"

    def __init__(self, file: Path) -> None:
        try:
            import duckdb  # noqa: PLC0415
        except ImportError as error:
            raise UsageError(
                f"DuckDB is not usable here: {error}", "pip install 'vin_batch[duckdb]'"
            ) from error
        self._errors = duckdb.Error
        try:
            # A thousand rows at a time are no work for several threads.
            self._connection = duckdb.connect(str(file), config={"threads": 1})
        except duckdb.Error as error:
            # Which of the two it is, only the words say.
            if "lock" in str(error):
                raise LockedError(
                    f"another process has {file} open", "Wait for it, or close it."
                ) from error
            raise DiskError(f"cannot open {file}: {_first_line(error)}", _NOT_OURS) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what happens in the block."""
        self._connection.begin()
        try:
            yield
            self._connection.commit()
        except BaseException:
            with suppress(self._errors):
                self._connection.rollback()
            raise

    def fetch(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        with _database_errors(self._errors):
            return list(self._connection.execute(statement, list(map(_naive, values))).fetchall())

    def change(self, statement: str, values: Sequence[object] = ()) -> int:
        """Run a statement; how many rows it changed."""
        found = self.fetch(statement, values)
        return int(found[0][0]) if found else 0

    def fill(self, table: str, rows: pa.Table) -> None:
        """Replace the rows of one of ``INCOMING_TABLES``."""
        plain = rows.cast(pa.schema([_without_zone(field) for field in rows.schema]))
        self._connection.register("arrow_rows", plain)
        names = ", ".join(rows.column_names)
        with _database_errors(self._errors):
            self._connection.execute(f"DELETE FROM {table}")
            self._connection.execute(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM arrow_rows"
            )
        self._connection.unregister("arrow_rows")

    def script(self, statements: str) -> None:
        """Run several statements in a transaction."""
        with self.transaction(), _database_errors(self._errors):
            self._connection.execute(statements)

    def definitions(self) -> str:
        """Statements that make tables and views."""

        def kind(field: pa.Field) -> str:
            if pa.types.is_list(field.type):
                return f"{_DUCKDB[field.type.value_type]}[]"
            return _DUCKDB[field.type]

        return _tables(kind, "current_timestamp::TIMESTAMP") + _views("CAST([] AS SMALLINT[])")


class Sqlite:
    """A file of SQLite."""

    list_tables = "SELECT name FROM sqlite_master WHERE type = 'table'"

    def __init__(self, file: Path) -> None:
        try:
            self._connection = sqlite3.connect(file, timeout=WAIT_SECONDS, isolation_level=None)
            self._connection.execute("PRAGMA schema_version")
        except sqlite3.Error as error:
            raise DiskError(f"cannot open {file}: {error}", _NOT_OURS) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what happens in the block; others wait for the file."""
        with _database_errors(sqlite3.Error):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def fetch(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        with _database_errors(sqlite3.Error):
            return self._execute(statement, values).fetchall()

    def change(self, statement: str, values: Sequence[object] = ()) -> int:
        """Run a statement; how many rows it changed."""
        with _database_errors(sqlite3.Error):
            return self._execute(statement, values).rowcount

    def _execute(self, statement: str, values: Sequence[object]) -> sqlite3.Cursor:
        # Before 3.39 SQLite knew only the shorter way to say it.
        plain = statement.replace(" IS NOT DISTINCT FROM ", " IS ")
        return self._connection.execute(plain, list(map(_text_of_time, values)))

    def fill(self, table: str, rows: pa.Table) -> None:
        """Replace the rows of one of ``INCOMING_TABLES``."""
        columns = [_plain_values(column) for column in rows.columns]
        marks = ", ".join("?" * len(columns))
        names = ", ".join(rows.column_names)
        with _database_errors(sqlite3.Error):
            self._connection.execute(f"DELETE FROM {table}")
            self._connection.executemany(
                f"INSERT INTO {table} ({names}) VALUES ({marks})", zip(*columns, strict=True)
            )

    def script(self, statements: str) -> None:
        """Run several statements in a transaction."""
        with _database_errors(sqlite3.Error):
            self._connection.executescript(f"BEGIN IMMEDIATE;\n{statements}\nCOMMIT;")

    def definitions(self) -> str:
        """Statements that make tables and views."""

        def kind(field: pa.Field) -> str:
            return _SQLITE.get(field.type, "TEXT")

        return _tables(kind, "(strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now'))") + _views("'[]'")


_NOT_OURS: Final = "Give the file of an earlier load, or the name of a new one."


def temporary_tables() -> str:
    """Statements that make the tables through which rows come in."""
    return "".join(
        f"CREATE TEMPORARY TABLE {name} AS SELECT * FROM {like} LIMIT 0;\n"
        for name, like in INCOMING_TABLES.items()
    )


def _tables(kind: Any, now: str) -> str:  # noqa: ANN401 - from a field to the name of a type
    """The tables of ``sql/0001_tables.sql`` in another dialect."""

    def columns(schema: pa.Schema) -> str:
        return ", ".join(
            f"{field.name} {kind(field)}{'' if field.nullable else ' NOT NULL'}" for field in schema
        )

    time = kind(MACHINE.field("read_at"))
    machine, said = columns(MACHINE), columns(CORRECTIONS)
    text = kind(MACHINE.field("card_id"))
    return f"""
CREATE TABLE machine_readings ({machine}, PRIMARY KEY (card_id));
CREATE TABLE machine_readings_history ({machine}, superseded_by {text} NOT NULL,
    superseded_at {time} NOT NULL DEFAULT {now}, PRIMARY KEY (card_id, run_id, read_at));
CREATE TABLE corrections ({said}, PRIMARY KEY (correction_id));
CREATE INDEX corrections_by_card ON corrections (card_id);
CREATE TABLE runs (run_id {text} PRIMARY KEY, model_id {text} NOT NULL,
    model_sha256 {text} NOT NULL, cards BIGINT NOT NULL, shards INTEGER NOT NULL,
    created_at {time} NOT NULL, package_version {text} NOT NULL, archive {text} NOT NULL,
    first_loaded_at {time} NOT NULL DEFAULT {now});
CREATE TABLE loads (run_id {text} NOT NULL, shard INTEGER NOT NULL,
    readings_sha256 {text} NOT NULL, cards INTEGER NOT NULL, read_at {time} NOT NULL,
    loaded_at {time} NOT NULL DEFAULT {now}, PRIMARY KEY (run_id, shard));
CREATE TABLE schema_version (version INTEGER NOT NULL);
"""


def _views(no_years: str) -> str:
    """The very views of PostgreSQL; both engines compare text by its bytes anyway."""
    text = files("vin_batch.export").joinpath("sql/0002_views.sql").read_text(encoding="utf-8")
    return text.replace(' COLLATE "C"', "").replace("'{}'", no_years)


def _without_zone(field: pa.Field) -> pa.Field:
    return field.with_type(pa.timestamp("us")) if field.type == TIMESTAMP else field


def _plain_values(column: pa.ChunkedArray) -> list[object]:
    array = column.combine_chunks()
    if pa.types.is_list(array.type):
        if array.type.value_type == pa.float32():
            # The shortest text of each single is exact; that of its double is three times as
            # long.
            texts = pc.cast(array.flatten(), pa.string())
            return [f"[{','.join(row)}]" for row in list_like(array, texts).to_pylist()]
        return [json.dumps(row, ensure_ascii=False) for row in array.to_pylist()]
    return list(map(_text_of_time, array.to_pylist()))


def _text_of_time(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value


def _naive(value: object) -> object:
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


@contextmanager
def _database_errors(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as error:
        raise DiskError(
            f"the database refused: {_first_line(error)}",
            "Check the file and the disk; the same command then loads what is missing.",
        ) from error
