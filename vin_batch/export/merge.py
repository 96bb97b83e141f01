"""The rules by which readings come together in a database, as SQL for all of them.

``incoming`` holds the rows of one shard. A reading is newer than another of the same card
when its ``read_at`` is later; at the same instant the larger ``run_id`` counts as newer, so
the result never depends on the order in which runs are loaded:

- ``machine_readings`` has one row per card, the newest;
- ``machine_readings_history`` has every other reading that was ever loaded, except one whose
  run read the card again (``retry``) with the same result;
- people's corrections are in a table of their own that no load of readings touches.

Statements are written for PostgreSQL, SQLite and DuckDB alike and run in this order in one
transaction, which also holds the row of the ledger ``loads``.
"""

from __future__ import annotations

from typing import Final

from vin_batch.export.contract import MACHINE

INCOMING: Final = "incoming"
READING_COLUMNS: Final = tuple(MACHINE.names)
CORRECTION_COLUMNS: Final = (
    "correction_id", "card_id", "vin", "check_digit", "wmi", "maker", "country", "model_years",
    "reviewer", "signed_at", "note", "imported_at", "source_name", "source_sha256",
)  # fmt: skip
RUN_COLUMNS: Final = (
    "run_id", "model_id", "model_sha256", "cards", "shards", "created_at", "package_version",
    "archive",
)  # fmt: skip
LOAD_COLUMNS: Final = ("run_id", "shard", "readings_sha256", "cards", "read_at")
_IDENTITY: Final = ("card_id", "read_at", "run_id", "shard")
"""Columns that say where a reading is from, not what it says."""

_ALL: Final = ", ".join(READING_COLUMNS)
_SAME_ORIGIN: Final = "i.run_id = m.run_id"
_SAME_WORDS: Final = " AND ".join(
    f"i.{name} IS NOT DISTINCT FROM m.{name}" for name in READING_COLUMNS if name not in _IDENTITY
)
_NEWER: Final = "(i.read_at > m.read_at OR (i.read_at = m.read_at AND i.run_id >= m.run_id))"


def _columns(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in READING_COLUMNS)


KEEP_SUPERSEDED: Final = f"""
INSERT INTO machine_readings_history ({_ALL}, superseded_by)
SELECT {_columns("m")}, i.run_id
FROM {INCOMING} i JOIN machine_readings m ON m.card_id = i.card_id
WHERE {_NEWER} AND NOT ({_SAME_ORIGIN} AND {_SAME_WORDS})
ON CONFLICT DO NOTHING
"""
"""Current readings that give way go to the history."""

KEEP_LATE: Final = f"""
INSERT INTO machine_readings_history ({_ALL}, superseded_by)
SELECT {_columns("i")}, m.run_id
FROM {INCOMING} i JOIN machine_readings m ON m.card_id = i.card_id
WHERE NOT {_NEWER} AND NOT ({_SAME_ORIGIN} AND {_SAME_WORDS})
ON CONFLICT DO NOTHING
"""
"""Readings that come too late, being older, go to the history at once."""

DROP_LATE: Final = f"""
DELETE FROM {INCOMING} WHERE card_id IN (
    SELECT i.card_id FROM {INCOMING} i JOIN machine_readings m ON m.card_id = i.card_id
    WHERE NOT {_NEWER}
)
"""

TAKE_PLACE: Final = f"""
UPDATE machine_readings AS m SET {", ".join(f"{n} = i.{n}" for n in READING_COLUMNS[1:])}
FROM {INCOMING} i WHERE i.card_id = m.card_id
"""
"""Newer readings take the place of the current ones."""

DROP_KNOWN: Final = f"""
DELETE FROM {INCOMING} WHERE card_id IN (
    SELECT i.card_id FROM {INCOMING} i JOIN machine_readings m ON m.card_id = i.card_id
)
"""

ADD_NEW: Final = f"""
INSERT INTO machine_readings ({_ALL}) SELECT {_ALL} FROM {INCOMING} ORDER BY card_id
"""
"""Cards without a reading get one, sorted, so that two writers never wait for each other."""

MERGE: Final = (KEEP_SUPERSEDED, KEEP_LATE, DROP_LATE, TAKE_PLACE, DROP_KNOWN, ADD_NEW)
"""All of it, in order."""
PLACED: Final = (DROP_LATE, TAKE_PLACE, ADD_NEW)
"""The statements whose counts of rows add up to the cards of the shard."""
