"""Loads a run into PostgreSQL: every shard exactly once, all of it or nothing of it.

In one transaction for a few neighbouring shards, and one loader at a time, their lines enter
the ledger ``loads`` and their rows the tables: by COPY straight into ``machine_readings``
where no known card lies among theirs, else by COPY into a temporary table and the rules of
``merge``. A shard whose line is there is not loaded again, so a repeated load changes nothing
and a load that was interrupted anywhere goes on. While the server works on a transaction, the
next one is made ready; memory holds two or three.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from vin_batch.batch.receipts import Receipt
from vin_batch.corrections import layer
from vin_batch.corrections.records import Correction
from vin_batch.errors import UsageError
from vin_batch.export import postgres_schema
from vin_batch.export.copy_binary import copy_binary
from vin_batch.export.load import (
    Loading,
    LoadOptions,
    LoadOutcome,
    Loads,
    ShardRows,
    ahead,
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

GROUP_CARDS: Final = 8000
"""Cards of a transaction, unless one shard has more: 7 MB on the way. A server far away, or a
busy one, costs a pause per statement, and so not per shard."""
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
INSERT INTO loads ({", ".join(LOAD_COLUMNS)})
SELECT * FROM unnest(%s::text[], %s::int[], %s::text[], %s::int[], %s::timestamptz[])
ON CONFLICT (run_id, shard) DO UPDATE SET
    readings_sha256 = excluded.readings_sha256, cards = excluded.cards,
    read_at = excluded.read_at, loaded_at = now(), loaded_by = session_user
WHERE loads.readings_sha256 <> excluded.readings_sha256 AND loads.read_at <= excluded.read_at
RETURNING shard
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


@dataclass(frozen=True, slots=True)
class Batch:
    """Shards that are loaded together.

    Attributes:
        receipts: Their receipts.
        ledger: Their lines, as ``LOAD_COLUMNS``.
        data: Their rows, as ``copy_binary``.
        ends: First and last of their cards by bytes.
    """

    receipts: tuple[Receipt, ...]
    ledger: tuple[tuple[object, ...], ...]
    data: bytes
    ends: tuple[str, str]

    @property
    def cards(self) -> int:
        """Number of cards."""
        return sum(receipt.cards for receipt in self.receipts)


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


def loads(destination: Destination, attempts: int = 6) -> Loads:
    """What the ledger says.

    Raises:
        UsageError: The tables are missing or of another version.
        DatabaseError: The server refused or stayed away.
    """

    def fetch(cursor: Cursor) -> Loads:
        return loads_of(
            execute(cursor, "SELECT run_id, shard, readings_sha256 FROM loads").fetchall()
        )

    session = Session(destination, attempts, prepare=partial(_prepare, schema=destination.schema))
    try:
        return session.transaction(fetch)
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
    loading = Loading(finished, before, options.progress)
    jobs = [partial(_prepared, finished, group) for group in _groups(loading.missing)]
    for batch in ahead(jobs):
        entered = session.transaction(partial(_load, batch=batch, finished=finished))
        stale: set[int] = set()
        if len(entered) < len(batch.receipts):
            stale = session.transaction(partial(_stale, batch=batch)) - entered
        for receipt in batch.receipts:
            shard = receipt.shard
            loading.note(receipt, loaded=shard in entered, stale=shard in stale)
    return loading.outcome(added)


def _groups(receipts: Sequence[Receipt]) -> Iterator[tuple[Receipt, ...]]:
    """Neighbouring shards that are loaded together."""
    group: list[Receipt] = []
    for receipt in receipts:
        if group and sum(r.cards for r in group) + receipt.cards > GROUP_CARDS:
            yield tuple(group)
            group = []
        group.append(receipt)
    if group:
        yield tuple(group)


def _prepared(finished: FinishedRun, receipts: tuple[Receipt, ...]) -> Batch:
    shards = [shard_rows(finished, receipt) for receipt in receipts]
    for rows in shards:
        _refuse_long_names(rows)
    table = pa.concat_tables([rows.table for rows in shards])
    # Arrow and the collation "C" of the column both compare bytes.
    ends = pc.min_max(table.column("card_id"))
    ledger = tuple(load_values(rows) for rows in shards)
    return Batch(receipts, ledger, copy_binary(table), (ends["min"].as_py(), ends["max"].as_py()))


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


def _load(cursor: Cursor, batch: Batch, finished: FinishedRun) -> set[int]:
    """Load some shards; those that nobody had loaded before."""
    execute(cursor, _LOCK, postgres_schema.LOCK_CLASS)
    execute(cursor, _LEDGER, *map(list, zip(*batch.ledger, strict=True)))
    entered = {shard for (shard,) in cursor.fetchall()}
    if not entered:
        return entered
    if len(entered) < len(batch.receipts):
        batch = _prepared(finished, tuple(r for r in batch.receipts if r.shard in entered))
    execute(cursor, _NEIGHBOURS, *batch.ends)
    if cursor.fetchone() is None:
        _copy(cursor, "machine_readings", READING_COLUMNS, batch.data, batch.cards)
        return entered
    _copy(cursor, INCOMING, READING_COLUMNS, batch.data, batch.cards)
    counts = {statement: execute(cursor, statement).rowcount for statement in MERGE}
    merged = sum(counts[statement] for statement in PLACED)
    if merged != batch.cards:
        raise DatabaseError(
            f"shards {sorted(entered)}: {merged} of {batch.cards} cards were merged; rolled back",
            "Check triggers and rules on machine_readings.",
        )
    return entered


def _stale(cursor: Cursor, batch: Batch) -> set[int]:
    """Shards of which the ledger has other readings."""
    execute(
        cursor, "SELECT shard, readings_sha256 FROM loads WHERE run_id = %s AND shard = ANY(%s)",
        batch.receipts[0].run_id, [receipt.shard for receipt in batch.receipts],
    )  # fmt: skip
    there = dict(cursor.fetchall())
    return {r.shard for r in batch.receipts if there[r.shard] != r.readings_sha256}


def _copy(cursor: Cursor, table: str, columns: Sequence[str], data: bytes, rows: int) -> None:
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    with cursor.copy(statement.encode()) as copy:
        copy.write(data)
    if cursor.rowcount != rows:
        raise DatabaseError(
            f"{cursor.rowcount} of {rows} rows arrived in {table}; rolled back",
            "This is a defect; please report it.",
        )
