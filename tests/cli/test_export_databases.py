"""Databases through the command line, as an administrator would use them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from crash_tools import environment, wait_until
from finished_run import reading
from loader_runs import awkward, mixed, run_of
from postgres_server import Server, new_schema, shared_server

SECRET = "gr8-secret"


@pytest.fixture
def server() -> Server:
    running = shared_server()
    if running.port is None:
        pytest.skip("needs a server of our own, which asks for passwords")
    return running


@pytest.fixture
def schema(server: Server) -> Iterator[str]:
    with new_schema(server) as name:
        yield name


def vin_batch(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vin_batch", *map(str, arguments)],
        env=environment(**variables), capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


def start(run: Path, url: str, schema: str, **variables: str) -> subprocess.Popen[bytes]:
    command = ["export", str(run), "--to", url, "--schema", schema]
    return subprocess.Popen(
        [sys.executable, "-m", "vin_batch", *command], env=environment(**variables)
    )


def waiting(server: Server, role: str) -> bool:
    """Whether a backend of a role waits for a lock."""
    query = "SELECT 1 FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'"
    with server.connect() as other:
        return other.execute(query.encode(), [role]).fetchone() is not None


def test_a_new_administrator_gets_there(tmp_path: Path, server: Server, schema: str) -> None:
    """Tables, a load, the same load again; the password is only in ~/.pgpass."""
    role = f"owner_{schema}"
    with server.connect() as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'".encode())
        connection.execute(f"GRANT CREATE, TEMPORARY ON DATABASE postgres TO {role}".encode())
    try:
        url = f"postgresql://{role}@127.0.0.1:{server.port}/postgres"
        home = tmp_path / "home"
        home.mkdir()
        (home / ".pgpass").write_text(f"*:*:*:{role}:{SECRET}\n")
        (home / ".pgpass").chmod(0o600)
        run = run_of(tmp_path / "run", [mixed("a", 6), [reading("b")]])
        load = ("export", run.root, "--to", url, "--schema", schema)
        early = vin_batch(*load, HOME=str(home))
        assert early.returncode == 2
        assert "--init" in early.stderr
        made = vin_batch("export", "--init", "--to", url, "--schema", schema, HOME=str(home))
        assert made.returncode == 0, made.stderr
        assert "0001 tables, 0002 views" in made.stderr
        loaded = vin_batch(*load, HOME=str(home))
        assert loaded.returncode == 0, loaded.stderr
        assert "loaded 7 cards in 2 shards; 0 new corrections" in loaded.stderr
        again = vin_batch(*load, HOME=str(home))
        assert "loaded 0 cards in 0 shards, 2 were in before" in again.stderr
        wrong = vin_batch(*load, PGPASSWORD="wr0ng", HOME=str(tmp_path))
        assert wrong.returncode == 7
        assert "authentication failed" in wrong.stderr
        for done in (early, made, loaded, again, wrong):
            assert "Traceback" not in done.stderr
            assert SECRET not in done.stderr + done.stdout
            assert "wr0ng" not in done.stderr
    finally:
        with server.connect() as connection:
            connection.execute(f"DROP OWNED BY {role} CASCADE".encode())
            connection.execute(f"DROP ROLE {role}".encode())


def test_no_password_is_in_the_process_list_while_a_load_works(
    tmp_path: Path, server: Server, schema: str
) -> None:
    """The loader waits for our lock; meanwhile we look at it as any user could."""
    role = f"clerk_{schema}"
    with server.connect() as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{SECRET}'".encode())
    url = f"postgresql://{role}@127.0.0.1:{server.port}/postgres"
    run = run_of(tmp_path / "run", [[awkward("a")]])
    try:
        made = vin_batch("export", "--init", "--to", url, "--schema", schema, PGPASSWORD=SECRET)
        assert made.returncode == 0, made.stderr
        with server.connect() as connection:
            with connection.transaction():
                connection.execute(f"LOCK TABLE {schema}.loads".encode())
                loader = start(run.root, url, schema, PGPASSWORD=SECRET)
                wait_until(lambda: waiting(server, role))
                shown = " ".join(psutil.Process(loader.pid).cmdline())
            assert loader.wait(60) == 0
        assert schema in shown
        assert SECRET not in shown
    finally:
        with server.connect() as connection:
            connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
            connection.execute(f"DROP ROLE {role}".encode())


def test_a_killed_loader_leaves_the_register_whole(
    tmp_path: Path, server: Server, schema: str
) -> None:
    run = run_of(tmp_path / "run", [mixed("a", 5), mixed("b", 5)])
    socket = server.dsn.partition("host=")[2].partition(" ")[0]
    url = f"postgresql://postgres@/postgres?host={socket}&port={server.port}"
    target = ("--to", url, "--schema", schema)
    assert vin_batch("export", "--init", *target).returncode == 0
    with server.connect() as connection:
        with connection.transaction():
            connection.execute(f"LOCK TABLE {schema}.machine_readings".encode())
            loader = start(run.root, url, schema)
            wait_until(lambda: waiting(server, "postgres"))
            loader.kill()
            assert loader.wait(60) == -9
        query = f"SELECT count(*) FROM {schema}.machine_readings"
        wait_until(lambda: not waiting(server, "postgres"))
        done = vin_batch("export", run.root, *target)
        assert "loaded 10 cards" in done.stderr or "loaded 5 cards" in done.stderr
        assert connection.execute(query.encode()).fetchone() == (10,)
