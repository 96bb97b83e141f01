"""Who may do what in a real PostgreSQL, and where passwords go: nowhere."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.rows import dict_row

from finished_run import VIN, reading
from loader_runs import (
    AMERICAN,
    correct,
    correction,
    run_of,
)
from postgres_server import Server
from register_rows import exact, expected, overlapping
from vin_batch.errors import UsageError
from vin_batch.export.load import LoadOptions
from vin_batch.export.postgres import export_postgres
from vin_batch.export.postgres_connection import DatabaseError, Destination, Session


def rows(register: Destination, view: str = "readings") -> list[dict[str, Any]]:
    with psycopg.connect(register.dsn, row_factory=dict_row) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(
            f'SELECT * FROM {register.schema}.{view} ORDER BY card_id COLLATE "C"'.encode()
        )
        return list(found)


def roles(server: Server, schema: str) -> tuple[str, str]:
    """The example of roles, with names of this test."""
    text = files("vin_batch.export").joinpath("sql/roles.example.sql")
    prefix = schema.replace("test", "role")
    statements = text.read_text(encoding="utf-8").replace("vin_batch_", f"{prefix}_")
    with server.connect() as connection:
        connection.execute(statements.replace("vin_batch.", f"{schema}.")
                           .replace("SCHEMA vin_batch", f"SCHEMA {schema}").encode())  # fmt: skip
    return prefix, f"{prefix}_loader"


def drop_roles(server: Server, prefix: str) -> None:
    with server.connect() as connection:
        for name in ("loader", "reviewer", "reader"):
            connection.execute(f"DROP OWNED BY {prefix}_{name}".encode())
            connection.execute(f"DROP ROLE {prefix}_{name}".encode())


def test_the_example_of_roles_is_enough_to_load_and_no_more(
    tmp_path: Path, server: Server, register: Destination
) -> None:
    prefix, loader = roles(server, register.schema)
    try:
        runs = overlapping(tmp_path)
        correct(runs[0].root, correction("a", VIN))
        as_loader = Destination(f"{server.dsn} options='-c role={loader}'", register.schema)
        for run in reversed(runs):
            export_postgres(run.root, as_loader)
        assert exact(rows(register)).equals(exact(expected(runs, [runs[0].root])))
        for forbidden in (
            "DELETE FROM machine_readings", "TRUNCATE corrections", "DROP TABLE loads",
            "UPDATE corrections SET vin = NULL", "CREATE TABLE x (i int)",
        ):  # fmt: skip
            with psycopg.connect(as_loader.dsn) as connection:
                connection.execute(f"SET search_path = {register.schema}".encode())
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(forbidden.encode())
        with psycopg.connect(f"{server.dsn} options='-c role={prefix}_reviewer'") as connection:
            table = f"{register.schema}.corrections"
            insert = f"INSERT INTO {table} (card_id, vin, reviewer) VALUES ('b', %s, 'me')"
            connection.execute(insert.encode(), [AMERICAN])
        with (
            psycopg.connect(f"{server.dsn} options='-c role={prefix}_reader'") as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(insert.encode(), [AMERICAN])
        assert {r["card_id"]: r["vin"] for r in rows(register)}["b"] == AMERICAN
    finally:
        drop_roles(server, prefix)


@pytest.fixture
def clerk(server: Server) -> Iterable[tuple[str, str]]:
    """A role that needs a password over TCP."""
    if server.port is None:
        pytest.skip("needs a server of our own, which asks for passwords")
    name, secret = f"clerk_{server.port}", "s3cr3t-&p@ss"
    with server.connect() as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{secret}'".encode())
    yield name, secret
    with server.connect() as connection:
        connection.execute(f"DROP ROLE {name}".encode())


def test_passwords_come_from_pgpass_and_go_nowhere(
    tmp_path: Path,
    server: Server,
    register: Destination,
    clerk: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    run = run_of(tmp_path / "run", [[reading("a")]])
    name, secret = clerk
    url = f"postgresql://{name}@127.0.0.1:{server.port}/postgres"
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"127.0.0.1:{server.port}:postgres:{name}:{secret}\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    assert export_postgres(run.root, Destination(url, register.schema)).cards == 1
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    with pytest.raises(DatabaseError, match="no password supplied") as missing:
        export_postgres(run.root, Destination(url, register.schema))
    assert "pgpass" in missing.value.advice
    wrong = Destination(f"{url}?password=wr0ng-{quote(secret)}&keepalives=1", register.schema)
    with pytest.raises(DatabaseError, match="authentication failed") as refused:
        export_postgres(run.root, wrong)
    for text in (str(missing.value), str(refused.value), str(wrong), repr(wrong), caplog.text):
        assert secret not in text
    assert refused.value.__cause__ is None
    assert wrong.has_secret
    assert wrong.scrub(f"x wr0ng-{secret} y") == "x *** y"


def test_a_malformed_address_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        Destination("postgresql://clerk:s3cret@[host/db").settings()
    assert "s3cret" not in caught.value.message + caught.value.advice
    assert caught.value.__suppress_context__


def test_a_server_that_does_not_listen_is_tried_a_bounded_number_of_times(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [[reading("a")]])
    pauses: list[float] = []
    session = Session(Destination("host=127.0.0.1 port=1"), attempts=8, sleep=pauses.append)
    with pytest.raises(DatabaseError, match="8 attempts"):
        session.transaction(lambda cursor: None)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    with pytest.raises(DatabaseError):
        export_postgres(run.root, Destination("host=127.0.0.1 port=1"), LoadOptions(attempts=1))


def test_tls_is_demanded_when_told(tmp_path: Path, server: Server, schema: str) -> None:
    if server.port is None:
        pytest.skip("needs a server that is known to have no TLS")
    destination = Destination(
        f"host=127.0.0.1 port={server.port} user=postgres sslmode=require", schema
    )
    with pytest.raises(DatabaseError, match="SSL"):
        Session(destination).transaction(lambda cursor: None)
