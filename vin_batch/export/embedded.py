"""Loads a run into one file of DuckDB or SQLite, by the same rules as PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vin_batch.corrections import layer
from vin_batch.corrections.records import Correction
from vin_batch.errors import DiskError, UsageError
from vin_batch.export.embedded_engines import Engine, open_engine, temporary_tables
from vin_batch.export.load import (
    Loading,
    LoadOptions,
    LoadOutcome,
    Loads,
    ShardRows,
    corrections_table,
    load_values,
    loads_of,
    run_values,
    shard_rows,
)
from vin_batch.export.merge import (
    CORRECTION_COLUMNS,
    INCOMING,
    LOAD_COLUMNS,
    MERGE,
    PLACED,
    RUN_COLUMNS,
)
from vin_batch.export.shards import FinishedRun, open_finished

SCHEMA_VERSION: Final = 1
_RUN: Final = f"""
INSERT INTO runs ({", ".join(RUN_COLUMNS)}) VALUES ({", ".join("?" * len(RUN_COLUMNS))})
ON CONFLICT DO NOTHING
"""
_CORRECTIONS: Final = f"""
INSERT INTO corrections ({", ".join(CORRECTION_COLUMNS)})
SELECT {", ".join(CORRECTION_COLUMNS)} FROM incoming_corrections WHERE true
ON CONFLICT DO NOTHING
"""
_OLDER: Final = "SELECT readings_sha256, read_at <= ? FROM loads WHERE run_id = ? AND shard = ?"
_FORGET: Final = "DELETE FROM loads WHERE run_id = ? AND shard = ?"
_LEDGER: Final = (
    f"INSERT INTO loads ({', '.join(LOAD_COLUMNS)}) VALUES ({', '.join('?' * len(LOAD_COLUMNS))})"
)


def export_embedded(
    run_dir: Path, engine: str, file: Path, options: LoadOptions | None = None
) -> LoadOutcome:
    """Load a run and the corrections beside it; the file is made where there is none.

    Args:
        run_dir: The run directory.
        engine: ``duckdb`` or ``sqlite``.
        file: The database.
        options: How; attempts do not matter here.

    Returns:
        What changed.

    Raises:
        UsageError: There is no run, it is unfinished, the engine is not installed, or the
            file holds something else.
        DiskError: The readings are damaged, or the file cannot be written.
        LockedError: Another process has the file open for writing.
    """
    options = options or LoadOptions()
    finished = open_finished(run_dir, partial=options.partial)
    corrections = layer.load((run_dir, *options.corrections))
    database = open_engine(engine, file)
    try:
        _make_tables(database, file)
        database.script(temporary_tables())
        database.change(_RUN, run_values(finished))
        added = _add_corrections(database, corrections)
        return _load_shards(database, finished, added, options)
    finally:
        database.close()


def loads_of_file(engine: str, file: Path) -> Loads:
    """What the ledger of a file says; nothing where there is no file.

    Raises:
        UsageError: The engine is not installed, or the file holds something else.
        DiskError: The file cannot be read.
        LockedError: Another process has the file open for writing.
    """
    if not file.exists():
        return {}
    database = open_engine(engine, file)
    try:
        _make_tables(database, file)
        return loads_of(database.fetch("SELECT run_id, shard, readings_sha256 FROM loads"))
    finally:
        database.close()


def _make_tables(database: Engine, file: Path) -> None:
    names = {name for (name,) in database.fetch(database.list_tables)}
    if not names:
        version = f"INSERT INTO schema_version VALUES ({SCHEMA_VERSION});"
        database.script(f"{database.definitions()}{version}")
        return
    if "schema_version" not in names:
        raise UsageError(f"{file} holds other tables", "Give the name of a new file.")
    versions = database.fetch("SELECT version FROM schema_version")
    if versions != [(SCHEMA_VERSION,)]:
        raise UsageError(
            f"{file} was made by another version of vin_batch", "Load into a new file."
        )


def _add_corrections(database: Engine, corrections: Sequence[Correction]) -> int:
    if not corrections:
        return 0
    with database.transaction():
        database.fill("incoming_corrections", corrections_table(corrections))
        return database.change(_CORRECTIONS)


def _load_shards(
    database: Engine, finished: FinishedRun, added: int, options: LoadOptions
) -> LoadOutcome:
    known = database.fetch(
        "SELECT shard, readings_sha256 FROM loads WHERE run_id = ?", [finished.record.run_id]
    )
    loading = Loading(finished, dict(known), options.progress)
    for receipt in loading.missing:
        loaded = _load_shard(database, shard_rows(finished, receipt))
        loading.note(receipt, loaded=bool(loaded), stale=loaded is None)
    return loading.outcome(added)


def _load_shard(database: Engine, rows: ShardRows) -> bool | None:
    """Load one shard; False where it is in already, None where a later reading of it is."""
    key = (rows.receipt.run_id, rows.receipt.shard)
    with database.transaction():
        for digest, is_older in database.fetch(_OLDER, [rows.read_at, *key]):
            if digest == rows.receipt.readings_sha256:
                return False
            if not is_older:
                return None
        database.change(_FORGET, key)
        database.change(_LEDGER, load_values(rows))
        database.fill(INCOMING, rows.table)
        counts = {statement: database.change(statement) for statement in MERGE}
        merged = sum(counts[statement] for statement in PLACED)
        if merged != rows.receipt.cards:
            raise DiskError(
                f"shard {rows.receipt.shard}: {merged} of {rows.receipt.cards} cards were merged; "
                "rolled back",
                "This is a defect; please report it.",
            )
    return True
