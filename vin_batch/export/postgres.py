"""Loads a run into PostgreSQL: every shard exactly once, all of it or nothing of it.

In one transaction per shard, and one loader at a time, a line enters the ledger ``loads`` and
the rows enter the tables: by COPY straight into ``machine_readings`` where all their cards are
new, else by COPY into a temporary table and the rules of ``merge``. A shard whose line is
there is not loaded again, so a repeated load changes nothing and a load that was interrupted
anywhere goes on. Memory holds two shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow.compute as pc

from vin_batch.corrections import layer
from vin_batch.corrections.records import Correction
from vin_batch.errors import UsageError
from vin_batch.export import postgres_schema
from vin_batch.export.copy_binary import copy_binary
from vin_batch.export.load import (
    LoadOptions,
    LoadOutcome,
    ShardRows,
    corrections_table,
    load_values,
    run_values,
    shard_rows,
)
from vin_batch.export.load import ahead as prepared_ahead
from vin_batch.export.merge import (
    CORRECTION_COLUMNS,
    INCOMING,
    LOAD_COLUMNS,
    MERGE,
    PLACED,
    READING_COLUMNS,
    RUN_COLUMNS,
)
from vin_batch.export.postgres_connection import (
    Cursor,
    DatabaseError,
    Destination,
    Session,
    execute,
)
from vin_batch.export.shards import FinishedRun, open_finished

LONGEST_CARD_ID: Final = 2600
"""Bytes of UTF-8; PostgreSQL indexes no longer text (a third of a page of 8 kB)."""
_TEMPORARY: Final = (
    f"CREATE TEMPORARY TABLE {INCOMING} (LIKE machine_readings) ON COMMIT DELETE ROWS",
    "CREATE TEMPORARY TABLE incoming_corrections (LIKE corrections) ON COMMIT DELETE ROWS",
)
_LOCK: Final = """
SELECT pg_advisory_xact_lock(%s, oid::int4) FROM pg_namespace WHERE nspname = current_schema()
"""
_LEDGER: Final = f"""
INSERT INTO loads ({", ".join(LOAD_COLUMNS)}) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (run_id, shard) DO UPDATE SET
    readings_sha256 = excluded.readings_sha256, cards = excluded.cards,
    read_at = excluded.read_at, loaded_at = now(), loaded_by = session_user
WHERE loads.readings_sha256 <> excluded.readings_sha256 AND loads.read_at <= excluded.read_at
RETURNING run_id
"""
_NEIGHBOURS: Final = "SELECT 1 FROM machine_readings WHERE card_id BETWEEN %s AND %s LIMIT 1"
_RUN: Final = f"""
INSERT INTO runs ({", ".join(RUN_COLUMNS)}) VALUES ({", ".join(["%s"] * len(RUN_COLUMNS))})
ON CONFLICT DO NOTHING
"""
_CORRECTIONS: Final = f"""
INSERT INTO corrections ({", ".join(CORRECTION_COLUMNS)})
SELECT {", ".join(CORRECTION_COLUMNS)} FROM incoming_corrections ORDER BY correction_id
ON CONFLICT DO NOTHING
"""


def export_postgres(
    run_dir: Path, destination: Destination, options: LoadOptions | None = None
) -> LoadOutcome:
    """Load a run and the corrections beside it.

    Args:
        run_dir: The run directory.
        destination: The database; ``postgres_schema.init`` made its tables.
        options: How.

    Returns:
        What changed.

    Raises:
        UsageError: There is no run, it is unfinished, or the tables are missing or of
            another version.
        DiskError: The readings are damaged.
        DatabaseError: The server refused or stayed away. What was loaded stays loaded; the
            same call loads the rest.
    """
    options = options or LoadOptions()
    finished = open_finished(run_dir, partial=options.partial)
    corrections = layer.load((run_dir, *options.corrections))
    session = Session(
        destination,
        attempts=max(1, options.attempts),
        prepare=partial(_prepare, schema=destination.schema),
        tell=options.tell,
    )
    try:
        before = session.transaction(partial(_begin, values=run_values(finished)))
        added = session.transaction(partial(_add_corrections, corrections=corrections))
        return _load_shards(session, finished, before, added, options)
    finally:
        session.close()


def _prepare(cursor: Cursor, schema: str) -> None:
    postgres_schema.check(cursor, schema)
    for statement in _TEMPORARY:
        execute(cursor, statement)


def _begin(cursor: Cursor, values: tuple[object, ...]) -> dict[int, str]:
    """Enter the run; digests of those of its shards that are in."""
    execute(cursor, _RUN, *values)
    execute(cursor, "SELECT shard, readings_sha256 FROM loads WHERE run_id = %s", values[0])
    return dict(cursor.fetchall())


def _add_corrections(cursor: Cursor, corrections: Sequence[Correction]) -> int:
    if not corrections:
        return 0
    table = corrections_table(corrections)
    _copy(cursor, "incoming_corrections", CORRECTION_COLUMNS, copy_binary(table), table.num_rows)
    return execute(cursor, _CORRECTIONS).rowcount


def _load_shards(
    session: Session,
    finished: FinishedRun,
    before: dict[int, str],
    added: int,
    options: LoadOptions,
) -> LoadOutcome:
    done = shards = cards = 0
    receipts = list(finished.receipts())
    total = sum(receipt.cards for receipt in receipts)
    missing = [r for r in receipts if before.get(r.shard) != r.readings_sha256]
    done = total - sum(receipt.cards for receipt in missing)
    stale = []
    for rows, text in prepared_ahead([partial(_prepared, finished, r) for r in missing]):
        if session.transaction(partial(_load_shard, rows=rows, text=text)):
            shards += 1
            cards += rows.receipt.cards
        elif session.transaction(partial(_is_stale, rows=rows)):
            stale.append(rows.receipt.shard)
        done += rows.receipt.cards
        if options.progress:
            options.progress(done, total)
    return LoadOutcome(
        run_id=finished.record.run_id,
        shards=shards,
        cards=cards,
        shards_before=len(receipts) - shards - len(stale),
        stale=tuple(stale),
        corrections=added,
    )


def _prepared(finished: FinishedRun, receipt: object) -> tuple[ShardRows, bytes]:
    rows = shard_rows(finished, receipt)  # type: ignore[arg-type]
    _refuse_long_names(rows)
    return rows, copy_binary(rows.table)


def _refuse_long_names(rows: ShardRows) -> None:
    names = rows.table.column("card_id")
    lengths = pc.binary_length(names)
    longest = pc.max(lengths).as_py() or 0
    if longest > LONGEST_CARD_ID:
        card = names[pc.index(lengths, longest).as_py()].as_py()
        raise UsageError(
            f"the name of card {card[:60]!r}... has {longest} bytes, and PostgreSQL indexes at "
            f"most {LONGEST_CARD_ID}; nothing of shard {rows.receipt.shard} was loaded",
            "Give its folders shorter names, or use --to package, duckdb:FILE or sqlite:FILE.",
        )


def _load_shard(cursor: Cursor, rows: ShardRows, text: bytes) -> bool:
    """Load one shard; False where somebody loaded it before."""
    cards = rows.receipt.cards
    execute(cursor, _LOCK, postgres_schema.LOCK_CLASS)
    execute(cursor, _LEDGER, *load_values(rows))
    if cursor.fetchone() is None:
        return False
    # Arrow and the collation "C" of the column both compare bytes.
    ends = pc.min_max(rows.table.column("card_id"))
    execute(cursor, _NEIGHBOURS, ends["min"].as_py(), ends["max"].as_py())
    if cursor.fetchone() is None:
        _copy(cursor, "machine_readings", READING_COLUMNS, text, cards)
        return True
    _copy(cursor, INCOMING, READING_COLUMNS, text, cards)
    counts = {statement: execute(cursor, statement).rowcount for statement in MERGE}
    merged = sum(counts[statement] for statement in PLACED)
    if merged != cards:
        raise DatabaseError(
            f"shard {rows.receipt.shard}: {merged} of {cards} cards were merged; rolled back",
            "Check triggers and rules on machine_readings.",
        )
    return True


def _is_stale(cursor: Cursor, rows: ShardRows) -> bool:
    execute(
        cursor, "SELECT readings_sha256 FROM loads WHERE run_id = %s AND shard = %s",
        rows.receipt.run_id, rows.receipt.shard,
    )  # fmt: skip
    found = cursor.fetchone()
    return found is not None and found[0] != rows.receipt.readings_sha256


def _copy(cursor: Cursor, table: str, columns: Sequence[str], data: bytes, rows: int) -> None:
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    with cursor.copy(statement.encode()) as copy:
        copy.write(data)
    if cursor.rowcount != rows:
        raise DatabaseError(
            f"{cursor.rowcount} of {rows} rows arrived in {table}; rolled back",
            "This is a defect; please report it.",
        )
