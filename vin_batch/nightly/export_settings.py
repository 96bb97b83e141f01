"""The tables [[export]] of a nightly configuration: where the results go."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vin_batch.errors import UsageError
from vin_batch.export.csv_dialect import CsvDialect

POSTGRES: Final = ("postgresql:", "postgres:")
FILES: Final = ("duckdb", "sqlite")
PACKAGE: Final = "package"
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_KEYS: Final[Mapping[str, Mapping[str, type]]] = {
    PACKAGE: {"directory": str, "delimiter": str, "encoding": str},
    "postgresql": {"schema": str, "retries": int},
    **{kind: {} for kind in FILES},
}
"""Settings by kind, besides ``to`` and ``name``."""


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """One of them.

    Attributes:
        name: What people and metrics call it.
        kind: ``package``, ``postgresql``, ``duckdb`` or ``sqlite``.
        address: Of PostgreSQL, without a password.
        path: Folder of packages, or the database file; absolute.
        schema: Of PostgreSQL.
        retries: Attempts after a lost connection.
        dialect: Of the CSV files of packages.
    """

    name: str
    kind: str
    address: str = ""
    path: Path = Path()
    schema: str = "vin_batch"
    retries: int = 6
    dialect: CsvDialect = field(default_factory=CsvDialect)


def load_targets(file: Path) -> tuple[ExportTarget, ...]:
    """Read all tables [[export]] of a file that was found to be TOML.

    Raises:
        UsageError: One makes no sense, or holds a password.
    """
    tables = tomllib.loads(file.read_text(encoding="utf-8")).get("export", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(
            f"{file}: export is written as a single table", "Write [[export]] above each target."
        )
    targets = tuple(_target(file, table) for table in tables)
    names = [target.name for target in targets]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"{file}: two exports are called {name!r}", 'Give each a `name = "..."` of its own.'
            )
    return targets


def _target(file: Path, table: Mapping[str, Any]) -> ExportTarget:
    kind, rest = _kind(file, table.get("to"))
    allowed = {"to": str, "name": str, **_KEYS[kind]}
    for key, value in table.items():
        if key not in allowed:
            raise UsageError(
                f"{file}: unknown setting {key} in an [[export]] to {kind}",
                f"Settings are: {', '.join(allowed)}.",
            )
        if not isinstance(value, allowed[key]) or isinstance(value, bool):
            raise UsageError(f"{file}: {key} of [[export]] must be of type {allowed[key].__name__}")
    name = table.get("name", kind)
    if not _NAME.fullmatch(name):
        raise UsageError(f"{file}: {name!r} is no name of an export", "Use letters and digits.")
    if kind == PACKAGE and not table.get("directory"):
        raise UsageError(f"{file}: directory is not given", "Where shall packages lie?")
    dialect = CsvDialect(table.get("delimiter", ","), table.get("encoding", "utf-8"))
    dialect.check()
    target = ExportTarget(
        name=name,
        kind=kind,
        address=table["to"] if kind == "postgresql" else "",
        path=(file.parent / (table["directory"] if kind == PACKAGE else rest)).absolute(),
        schema=table.get("schema", "vin_batch"),
        retries=max(1, table.get("retries", 6)),
        dialect=dialect,
    )
    _refuse_secrets(file, target)
    return target


def _kind(file: Path, to: object) -> tuple[str, str]:
    """Kind of a target, and what follows it in the address."""
    if isinstance(to, str):
        head, _, rest = to.partition(":")
        if to == PACKAGE or to.startswith(POSTGRES):
            return (PACKAGE if to == PACKAGE else "postgresql"), ""
        if head in FILES and rest:
            return head, rest
    # It is not repeated: it may hold a password.
    raise UsageError(
        f"{file}: `to` of an [[export]] is no target",
        "Targets are: package, postgresql://..., duckdb:FILE, sqlite:FILE.",
    )


def _refuse_secrets(file: Path, target: ExportTarget) -> None:
    if target.kind != "postgresql":
        return
    from vin_batch.export.postgres_connection import Destination  # noqa: PLC0415 - an extra

    if Destination(target.address, target.schema).has_secret:
        raise UsageError(
            f"{file}: the address of export {target.name} holds a password",
            "Leave it out; put it into ~/.pgpass (mode 0600) of the user that runs the job.",
        )
