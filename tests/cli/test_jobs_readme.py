"""Every command of jobs/README.md, run from top to bottom on a fresh database."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash_tools import environment
from loader_runs import mixed, run_of
from postgres_server import PROGRAMS, WHEEL, Server, shared_server

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "jobs" / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    ((?:vin-batch|mkdir|createdb|psql|python) [^\n]+)", TEXT, re.MULTILINE)
SECRET = "a new password"
ROLES = ("owner", "vin_batch_loader", "vin_batch_reviewer", "vin_batch_reader")
PREAMBLE = """
set -euo pipefail
vin-batch() { python -m vin_batch "$@"; }
"""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on which the names of the document are free."""
    running = shared_server()
    if running.port is None:
        pytest.skip("needs a server of our own, on which roles and databases may be made")
    with running.connect() as connection:
        connection.execute(f"CREATE ROLE owner LOGIN CREATEDB CREATEROLE PASSWORD '{SECRET}'")
    try:
        yield running
    finally:
        with running.connect() as connection:
            for name in ("register", "scratch"):
                connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
            for role in reversed(ROLES):
                connection.execute(f"DROP ROLE IF EXISTS {role}".encode())


def here(command: str, base: Path, port: int) -> str:
    """The command for this machine: no TLS, another place, nobody at the keyboard."""
    changes = {
        "/srv/cards": str(base),
        "db.example": f"127.0.0.1:{port}",
        "?sslmode=verify-full": "",
        "--cards 200000 --rounds 5": "--cards 1500",
        r"\password vin_batch_loader": f"ALTER ROLE vin_batch_loader PASSWORD $${SECRET}$$",
        "queue.csv": str(base / "queue.csv"),
    }
    for old, new in changes.items():
        command = command.replace(old, new)
    return command


def fill_in(queue: Path) -> None:
    """What a person does to the queue."""
    with queue.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0] |= {"vin": "XTA210130D0000002", "reviewer": "me", "time": "2026-01-02T10:00"}
    with queue.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def run(command: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", PREAMBLE + command], cwd=ROOT, env=environment(**variables),
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_a_new_administrator_gets_through_the_whole_document(
    tmp_path: Path, server: Server
) -> None:
    assert server.port is not None
    run_of(tmp_path / "runs" / "2026-11", [mixed("1987/box_012", 8)])
    passfile = tmp_path / ".pgpass"
    passfile.write_text(f"*:*:*:owner:{SECRET}\n*:*:*:vin_batch_loader:{SECRET}\n")
    passfile.chmod(0o600)
    wheel = importlib.util.find_spec(WHEEL)
    assert wheel is not None
    assert wheel.origin is not None
    programs = Path(wheel.origin).parent / PROGRAMS / "bin"
    path = os.pathsep.join((str(Path(sys.executable).parent), str(programs), os.environ["PATH"]))
    variables = {
        "PATH": path, "PGPASSFILE": str(passfile), "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port), "HOME": str(tmp_path),
    }  # fmt: skip
    for command in COMMANDS:
        done = run(here(command, tmp_path, server.port), variables)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert SECRET not in done.stdout + done.stderr
        if "export-queue" in command:
            fill_in(tmp_path / "queue.csv")
    loaded = run(
        "psql -At -U vin_batch_loader -d register -c 'SELECT count(*) FROM vin_batch.readings'",
        variables,
    )
    assert loaded.stdout.strip() == "8", loaded.stderr
    assert len(COMMANDS) > 12
