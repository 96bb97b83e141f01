"""``vin-batch export``: hand the readings of a run to another system."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vin_batch.errors import ChangedUnderRunError, DiskError, ExitCode, UsageError
from vin_batch.report.logs import say

if TYPE_CHECKING:
    from vin_batch.export.load import LoadOptions, LoadOutcome
    from vin_batch.export.postgres_connection import Destination

FILE_TARGETS: Final = ("csv", "package")
POSTGRES: Final = ("postgresql:", "postgres:")
URL_TARGETS: Final = (*POSTGRES, "duckdb:", "sqlite:")
LINE_SECONDS: Final = 10.0
"""Least time between two lines about a load where there is no bar."""
_EPILOG: Final = """\
targets:
  csv                  one flat file, -o FILE (default: RUN_DIR/readings.csv)
  package DIR          accepted and review files as CSV and Parquet, with a manifest
  postgresql://...     tables and views of a PostgreSQL database; passwords come from
                       ~/.pgpass, PGPASSWORD or PGPASSFILE, never from the command line
  duckdb:FILE          the same in one file of DuckDB
  sqlite:FILE          the same in one file of SQLite

Only a complete run is exported unless --partial is given. Corrections that were imported
into RUN_DIR are applied; --corrections names further folders that hold some.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its flags."""
    parser = subparsers.add_parser(
        "export",
        help="write the readings of a run for another system",
        description="Writes the readings of a finished run for another system.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", nargs="?")
    parser.add_argument("--to", nargs="+", action=_Target, metavar="TARGET", help="see below")
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="file or directory")
    parser.add_argument(
        "--partial", action="store_true", help="export what an unfinished run has so far"
    )
    parser.add_argument(
        "--corrections", type=Path, action="append", default=[], metavar="DIR",
        help="folder that holds a corrections/ layer; may be repeated",
    )  # fmt: skip
    package = parser.add_argument_group("package")
    package.add_argument("--check", type=Path, metavar="DIR", help="verify a package and stop")
    package.add_argument("--replace", action="store_true", help="replace an older package")
    package.add_argument("--delimiter", default=",", help="of the CSV files, e.g. ';'")
    package.add_argument("--encoding", default="utf-8", help="of the CSV files, e.g. cp1251")
    database = parser.add_argument_group("databases")
    database.add_argument(
        "--init", action="store_true", help="make or migrate the tables and stop, without RUN_DIR"
    )
    database.add_argument("--schema", default="vin_batch", help="PostgreSQL schema")
    database.add_argument(
        "--retries", type=int, default=6, metavar="N", help="attempts after a lost connection"
    )


class _Target(argparse.Action):
    """Takes ``--to package DIR`` as well as ``--to URL``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        first, *rest = list(values or ())
        if first not in FILE_TARGETS and not first.startswith(URL_TARGETS):
            parser.error(
                f"argument --to: {_kind(first)!r} is no target; choose from "
                f"{', '.join(FILE_TARGETS)}, postgresql://..., duckdb:FILE, sqlite:FILE"
            )
        namespace.to = first
        if first == "package" and rest:
            namespace.output = Path(rest.pop(0))
        if len(rest) > 1 or (rest and namespace.run_dir is not None):
            parser.error(f"argument --to: unexpected {rest[-1]!r}")
        # Argparse would overwrite run_dir here; ``execute`` puts it there.
        namespace.after_target = Path(rest[0]) if rest else None


def _kind(target: str) -> str:
    """What may be repeated of a target in a message: it may hold a password."""
    return target.partition(":")[0]


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command.

    Raises:
        UsageError: The run is not complete, or the flags do not fit together.
        DiskError: The package is damaged, or a target cannot be written.
    """
    from vin_batch.batch.atomic import closed_umask, file_mode  # noqa: PLC0415
    from vin_batch.batch.ledger import mode_of  # noqa: PLC0415
    from vin_batch.batch.rundir import RunDir  # noqa: PLC0415

    run_dir = args.run_dir or getattr(args, "after_target", None)
    mode = mode_of(None if run_dir is None else RunDir(run_dir))
    with file_mode(mode), closed_umask():
        return _export(args)


def _export(args: argparse.Namespace) -> ExitCode:
    if args.check is not None:
        return _check(args.check)
    if args.to is None:
        raise UsageError("export needs --to TARGET", "`vin-batch export --help` lists them.")
    if args.init:
        return _init(args)
    args.run_dir = args.run_dir or args.after_target
    if args.run_dir is None:
        raise UsageError("export needs RUN_DIR", "Give the directory that `vin-batch run` wrote.")
    if args.to == "csv":
        return _csv(args)
    if args.to == "package":
        return _package(args)
    return _load(args)


def _check(folder: Path) -> ExitCode:
    from vin_batch.export.package_check import check_package  # noqa: PLC0415

    findings = check_package(folder)
    if findings:
        raise DiskError(
            f"the package {folder} is damaged:\n  " + "\n  ".join(findings),
            "Do not load it; export the run again.",
        )
    say(f"the package {folder} is whole")
    return ExitCode.DONE


def _csv(args: argparse.Namespace) -> ExitCode:
    from vin_batch.export.readings_csv import write_readings_csv  # noqa: PLC0415

    if args.partial and args.output is None:
        raise UsageError(
            "--partial needs -o FILE",
            "readings.csv in the run directory stands for a complete run; name another file.",
        )
    if args.corrections:
        raise UsageError(
            "csv is what the machine read and takes no corrections", "Export --to package DIR."
        )
    path = write_readings_csv(args.run_dir, args.output, partial=args.partial)
    say(f"wrote {path}")
    return ExitCode.DONE


def _package(args: argparse.Namespace) -> ExitCode:
    from vin_batch.export.csv_dialect import CsvDialect  # noqa: PLC0415
    from vin_batch.export.package import PackageOptions, export_package  # noqa: PLC0415

    if args.output is None:
        raise UsageError("a package needs a directory", "Write `--to package DIR`.")
    options = PackageOptions(
        dialect=CsvDialect(args.delimiter, args.encoding),
        partial=args.partial,
        replace=args.replace,
        corrections=tuple(args.corrections),
    )
    outcome = export_package(args.run_dir, args.output, options)
    manifest = outcome.manifest
    counts = ", ".join(f"{count} {name}" for name, count in manifest.statuses.items())
    what = "wrote" if outcome.written else "nothing to do: this very package is there:"
    say(f"{what} {args.output}: {manifest.cards} cards: {counts}")
    return ExitCode.DONE


def _init(args: argparse.Namespace) -> ExitCode:
    if not args.to.startswith(POSTGRES):
        raise UsageError(
            f"--init does not go with --to {_kind(args.to)}",
            "A file of DuckDB or SQLite is made when it is loaded.",
        )
    from vin_batch.export.postgres_connection import Session  # noqa: PLC0415
    from vin_batch.export.postgres_schema import init  # noqa: PLC0415

    destination = _destination(args)
    applied = init(destination, Session(destination, max(1, args.retries), tell=say))
    names = ", ".join(f"{migration.version:04d} {migration.name}" for migration in applied)
    say(f"{destination}: schema {args.schema}: {names or 'nothing to do: up to date'}")
    return ExitCode.DONE


def _load(args: argparse.Namespace) -> ExitCode:
    from vin_batch.export.load import LoadOptions  # noqa: PLC0415

    with _progress() as progress:
        options = LoadOptions(
            partial=args.partial,
            corrections=tuple(args.corrections),
            attempts=args.retries,
            progress=progress,
            tell=say,
        )
        outcome = _load_into(args, options)
    before = f", {outcome.shards_before} were in before" if outcome.shards_before else ""
    say(
        f"loaded {outcome.cards} cards in {outcome.shards} shards{before}; "
        f"{outcome.corrections} new corrections"
    )
    if outcome.stale:
        raise ChangedUnderRunError(
            f"{len(outcome.stale)} shards were not loaded, the first is {outcome.stale[0]}: the "
            "database has a later reading of them by the same run",
            f"{args.run_dir} is an older copy; export the one that was retried last.",
        )
    return ExitCode.DONE


def _load_into(args: argparse.Namespace, options: LoadOptions) -> LoadOutcome:
    if args.to.startswith(POSTGRES):
        from vin_batch.export.postgres import export_postgres  # noqa: PLC0415

        return export_postgres(args.run_dir, _destination(args), options)
    from vin_batch.export.embedded import export_embedded  # noqa: PLC0415

    engine, _, file = args.to.partition(":")
    if not file:
        raise UsageError(f"--to {engine}: needs a file", f"Write --to {engine}:FILE.")
    return export_embedded(args.run_dir, engine, Path(file), options)


def _destination(args: argparse.Namespace) -> Destination:
    from vin_batch.export.postgres_connection import Destination  # noqa: PLC0415

    destination = Destination(args.to, args.schema)
    if destination.has_secret:
        raise UsageError(
            "a password on the command line can be read by every user of this machine",
            "Leave it out of the address; put it into ~/.pgpass (mode 0600) or PGPASSWORD.",
        )
    return destination


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, a line now and then elsewhere."""
    from tqdm import tqdm  # noqa: PLC0415

    with tqdm(
        desc="loading", unit=" cards", file=sys.stderr, dynamic_ncols=True,
        disable=not sys.stderr.isatty(),
    ) as bar:  # fmt: skip
        last = time.monotonic()

        def show(done: int, total: int) -> None:
            nonlocal last
            bar.total = total
            bar.update(done - bar.n)
            if bar.disable and time.monotonic() - last >= LINE_SECONDS:
                last = time.monotonic()
                say(f"{done} of {total} cards are in")

        yield show
