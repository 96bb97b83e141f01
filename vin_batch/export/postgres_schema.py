"""Makes and migrates the tables in PostgreSQL with the numbered SQL files of this package."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from psycopg import sql

from vin_batch.errors import UsageError
from vin_batch.export.postgres_connection import Cursor, Destination, Session, execute

LOCK_CLASS: Final = 0x76696E62
"""First half of our advisory locks ("vinb"), so that they meet no one else's."""
_FILE: Final = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")
_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL DEFAULT session_user
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file.

    Attributes:
        version: Its number.
        name: The rest of its name.
        text: Its statements.
    """

    version: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Digest of the statements, 64 hex digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations of this version, in order."""
    folder = files("vin_batch.export").joinpath("sql")
    found = []
    for entry in folder.iterdir():
        match = _FILE.fullmatch(entry.name)
        if match:
            text = entry.read_text(encoding="utf-8")
            found.append(Migration(int(match[1]), match[2], text))
    return sorted(found, key=lambda migration: migration.version)


def init(destination: Destination, session: Session | None = None) -> list[Migration]:
    """Make the tables, or bring older ones up to date; all or nothing.

    Args:
        destination: Where; the user must be allowed to make the schema, or own it.
        session: A session to use.

    Returns:
        What was applied, empty where all was up to date.

    Raises:
        UsageError: The tables were made by a newer version, or by a changed file.
        DatabaseError: The server refused.
    """
    session = session or Session(destination)
    try:
        return session.transaction(lambda cursor: _migrate(cursor, destination.schema))
    finally:
        session.close()


def _migrate(cursor: Cursor, schema: str) -> list[Migration]:
    execute(cursor, "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", LOCK_CLASS, schema)
    execute(cursor, "SELECT 1 FROM pg_namespace WHERE nspname = %s", schema)
    if cursor.fetchone() is None:
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    execute(cursor, _LEDGER)
    applied = _applied(cursor)
    known = migrations()
    _refuse_strange(applied, known, schema)
    pending = [migration for migration in known if migration.version not in applied]
    for migration in pending:
        execute(cursor, migration.text)
        execute(
            cursor, "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
            migration.version, migration.name, migration.sha256,
        )  # fmt: skip
    return pending


def check(cursor: Cursor, schema: str) -> None:
    """Refuse tables that this version cannot load into.

    Raises:
        UsageError: They are missing, older, newer or changed.
    """
    execute(cursor, "SELECT to_regclass('schema_migrations') IS NOT NULL")
    row: Any = cursor.fetchone()
    advice = "Run `vin-batch export --init` with the same --to as the owner of the tables."
    if not row[0]:
        raise UsageError(f"the schema {schema} has no tables of vin_batch", advice)
    applied = _applied(cursor)
    known = migrations()
    _refuse_strange(applied, known, schema)
    if len(applied) < len(known):
        raise UsageError(f"the tables in the schema {schema} are of an older version", advice)


def _applied(cursor: Cursor) -> dict[int, str]:
    execute(cursor, "SELECT version, sha256 FROM schema_migrations")
    return dict(cursor.fetchall())


def _refuse_strange(applied: dict[int, str], known: list[Migration], schema: str) -> None:
    digests = {migration.version: migration.sha256 for migration in known}
    newer = sorted(set(applied) - set(digests))
    if newer:
        raise UsageError(
            f"the schema {schema} has migration {newer[-1]}, which this version does not know",
            "Install the newer version of vin_batch that made it.",
        )
    changed = [version for version, digest in applied.items() if digests[version] != digest]
    if changed:
        raise UsageError(
            f"migration {min(changed)} of the schema {schema} is not the one of this version",
            "Use the version of vin_batch that made it, or make a new schema.",
        )
