"""Connections to PostgreSQL that survive interruptions and keep their password to themselves.

libpq does the work: URLs and key-value strings, services, ``~/.pgpass``, ``PGPASSWORD``,
``sslmode``, ``sslrootcert`` and the rest mean what its documentation says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from vin_batch.errors import DiskError, UsageError

try:
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as error:
    raise UsageError(
        f"psycopg is not usable here: {error}", "pip install 'vin_batch[postgres]'"
    ) from error

T = TypeVar("T")
Cursor = psycopg.Cursor[Any]

SECRETS: Final = ("password", "sslpassword", "oauth_client_secret", "scram_client_key")
DEFAULTS: Final = {
    "application_name": "vin_batch",
    "connect_timeout": "15",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
"""Connection settings that are ours unless the operator gives others; seconds."""
SESSION: Final = (
    "SET TimeZone = 'UTC'",
    # A loader that froze must not keep the others waiting for ever.
    "SET lock_timeout = '10min'",
    "SET idle_in_transaction_session_timeout = '10min'",
    # The planner knows nothing of a fresh temporary table and must not read the whole register
    # for a thousand cards.
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
)
OLDEST_SERVER: Final = 140000
ENCODING: Final = "UTF8"
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds; every further pause is twice as long, up to this."""
_TRANSIENT: Final = ("08", "40", "53", "57P", "55P03", "25P03")
"""Beginnings of SQLSTATEs after which the same transaction may succeed: connection lost,
rolled back for others' sake, out of resources, shut down or restarting, lock timeout."""
_ACCESS: Final = ("28", "3D000", "42501")
_REFUSALS: Final = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "is not permitted",
    "permission denied",
    "SSL",
    "certificate",
)
"""Parts of messages about a connection that will not be made however often it is tried.
libpq gives no SQLSTATE for them; in another language they are tried again, to no harm."""
_CLIENT_REASON: Final = "the server cannot be reached"


class DatabaseError(DiskError):
    """A database refused, or cannot be reached."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to load.

    Attributes:
        dsn: URL or key-value string of libpq.
        schema: Schema of the tables.
    """

    dsn: str
    schema: str = "vin_batch"

    def settings(self) -> dict[str, Any]:
        """The parts of the DSN.

        Raises:
            UsageError: It is malformed; the message does not repeat it.
        """
        try:
            return conninfo_to_dict(self.dsn)
        except psycopg.ProgrammingError:
            raise UsageError(
                "the PostgreSQL address is malformed",
                "Write postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full.",
            ) from None

    @property
    def has_secret(self) -> bool:
        """Whether the DSN itself holds a password."""
        return any(self.settings().get(name) for name in SECRETS)

    def __str__(self) -> str:
        """The address without secrets."""
        shown = {k: v for k, v in self.settings().items() if k not in SECRETS}
        return make_conninfo("", **shown) or "the default PostgreSQL server"

    def __repr__(self) -> str:
        """As ``str``: a record in a log must not give the password away."""
        return f"Destination({self})"

    def scrub(self, text: str) -> str:
        """Take the secrets of the DSN out of a message."""
        for name in SECRETS:
            secret = self.settings().get(name)
            if secret:
                text = text.replace(str(secret), "***")
        return text


@dataclass(slots=True)
class Session:
    """One connection, opened when it is needed and again when it is lost.

    Attributes:
        destination: Where to.
        attempts: How often a transaction is tried before the error counts.
        sleep: Waits some seconds.
        prepare: Called on every new connection, in a transaction of its own.
        tell: Called with a line for people when something is tried again.
    """

    destination: Destination
    attempts: int = 6
    sleep: Callable[[float], None] = time.sleep
    prepare: Callable[[Cursor], None] | None = None
    tell: Callable[[str], None] | None = None
    _connection: psycopg.Connection[Any] | None = None

    def transaction(self, work: Callable[[Cursor], T]) -> T:
        """Do some work in one transaction, again after a lost connection.

        Args:
            work: Must do the same when it is called again, and nothing if an earlier call
                was committed after all.

        Returns:
            What it returns.

        Raises:
            DatabaseError: The server refused, or was not to be reached ``attempts`` times.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                connection = self._open()
                with connection.transaction(), connection.cursor() as cursor:
                    return work(cursor)
            except psycopg.Error as error:
                self.close()
                if attempt == self.attempts or not _is_transient(error):
                    raise self._final(error, attempt) from None
                pause = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
                if self.tell:
                    self.tell(f"{self._reason(error)}; trying again in {pause:.0f} s")
                self.sleep(pause)
            except BaseException:
                # Half-done work is rolled back by the server when the connection goes.
                self.close()
                raise
        raise AssertionError("unreachable: attempts is at least 1")

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            settings = {**DEFAULTS, **self.destination.settings(), "client_encoding": "UTF8"}
            connection = psycopg.connect(**settings, autocommit=True, prepare_threshold=None)
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _set_up(self, connection: psycopg.Connection[Any]) -> None:
        if connection.info.server_version < OLDEST_SERVER:
            raise DatabaseError(
                f"{self.destination}: PostgreSQL {connection.info.server_version // 10000} is too "
                "old", "PostgreSQL 14 or newer is needed.",
            )  # fmt: skip
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != ENCODING:
            raise DatabaseError(
                f"{self.destination}: the database has the encoding {encoding}",
                "Make one with ENCODING 'UTF8': names of cards may hold any character.",
            )
        for statement in SESSION:
            connection.execute(statement)
        path = sql.SQL("SET search_path = {}").format(sql.Identifier(self.destination.schema))
        connection.execute(path)
        if self.prepare is not None:
            with connection.transaction(), connection.cursor() as cursor:
                self.prepare(cursor)

    def _reason(self, error: psycopg.Error) -> str:
        # Details and contexts quote rows, and rows are personal data.
        primary = error.diag.message_primary or (str(error).strip() or _CLIENT_REASON)
        return self.destination.scrub(primary)

    def _final(self, error: psycopg.Error, attempts: int) -> DatabaseError:
        state = error.sqlstate or ""
        tried = f" ({attempts} attempts)" if attempts > 1 else ""
        advice = "Once the cause is repaired, the same command loads what is missing."
        if state.startswith(_ACCESS) or _is_refusal(error):
            advice = (
                "Check user, password and rights; the password belongs into ~/.pgpass or "
                "PGPASSWORD, the rights are in sql/roles.example.sql."
            )
        return DatabaseError(f"{self.destination}: {self._reason(error)}{tried}", advice)


def execute(cursor: Cursor, statement: str, *values: object) -> Cursor:
    """Run one of the package's own statements; values never become part of the text."""
    return cursor.execute(statement.encode(), values or None)


def _is_transient(error: psycopg.Error) -> bool:
    if error.sqlstate:
        return error.sqlstate.startswith(_TRANSIENT)
    lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return lost and not _is_refusal(error)


def _is_refusal(error: psycopg.Error) -> bool:
    return not error.sqlstate and any(part in str(error) for part in _REFUSALS)
