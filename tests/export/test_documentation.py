"""What jobs/README.md says about columns and queries is so."""

from __future__ import annotations

import re
import shlex
import sqlite3
from pathlib import Path

import duckdb
import psycopg
import pytest

from finished_run import VIN
from loader_runs import AMERICAN, correct, correction, mixed, run_of
from vin_batch.cli import build_parser
from vin_batch.export.contract import COLUMNS, markdown_table
from vin_batch.export.embedded import export_embedded
from vin_batch.export.postgres import export_postgres
from vin_batch.export.postgres_connection import Destination

TEXT = (Path(__file__).parents[2] / "jobs" / "README.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^    (vin-batch [^\n#]+)", TEXT, re.MULTILINE)


def test_the_table_of_columns_is_the_contract() -> None:
    assert markdown_table() in TEXT
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command: str) -> None:
    build_parser().parse_args(shlex.split(command)[1:])


def test_the_queries_work_everywhere_and_agree(tmp_path: Path, register: Destination) -> None:
    run = run_of(tmp_path / "run", [mixed("1987/box_012", 9)])
    correct(run.root, correction("1987/box_012/card_0000", AMERICAN))
    correct(run.root, correction("1987/box_012/card_0001", VIN, source_sha256="b" * 64))
    export_postgres(run.root, register)
    answers = []
    with psycopg.connect(register.dsn) as server:
        server.execute(f"SET search_path = {register.schema}".encode())
        answers.append([sorted(server.execute(query.encode()), key=repr) for query in QUERIES])
    for engine in ("duckdb", "sqlite"):
        export_embedded(run.root, engine, tmp_path / engine)
    with duckdb.connect(str(tmp_path / "duckdb")) as database:
        answers.append([sorted(database.execute(q).fetchall(), key=repr) for q in QUERIES])
    with sqlite3.connect(tmp_path / "sqlite") as connection:
        plain = [
            q.replace("IS DISTINCT FROM", "IS NOT") if sqlite3.sqlite_version_info < (3, 39) else q
            for q in QUERIES
        ]
        answers.append([sorted(connection.execute(q), key=repr) for q in plain])
    assert len(QUERIES) >= 6
    assert answers[0] == answers[1] == answers[2]
    assert all(rows for query, rows in zip(QUERIES, answers[0], strict=True) if "345" not in query)
