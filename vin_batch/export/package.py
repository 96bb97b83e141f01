"""The package for a loader: one directory with everything and the proof of it.

``accepted.csv`` and ``accepted.parquet`` hold the cards whose VIN belongs in a register,
``review.csv`` and ``review.parquet`` all others; every card of the run is in exactly one of
the two. ``manifest.json`` is written last and the directory gets its name after that.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vin_batch.batch.atomic import current_mode
from vin_batch.batch.ledger import readings_digest
from vin_batch.corrections import layer
from vin_batch.corrections.records import Correction, deciding
from vin_batch.errors import UsageError
from vin_batch.export.contract import CONTRACT, LOADABLE
from vin_batch.export.csv_dialect import CsvDialect, encode_rows, header
from vin_batch.export.directory import new_directory, publish
from vin_batch.export.manifest import MANIFEST, Manifest, PackedFile, from_json, to_json
from vin_batch.export.readings_csv import GUARD
from vin_batch.export.rows import contract_rows, machine_rows
from vin_batch.export.shards import FinishedRun, open_finished, read_time

PARTS: Final = ("accepted", "review")


@dataclass(frozen=True, slots=True)
class PackageOptions:
    """How a package is made.

    Attributes:
        dialect: Of the CSV files.
        partial: Take what an unfinished run has so far.
        replace: Replace an older package of that name.
        corrections: Folders that hold corrections besides the run directory itself.
    """

    dialect: CsvDialect = field(default_factory=CsvDialect)
    partial: bool = False
    replace: bool = False
    corrections: Sequence[Path] = ()


@dataclass(frozen=True, slots=True)
class PackageOutcome:
    """What came of an export.

    Attributes:
        manifest: What the package holds.
        written: False where exactly this package was there already.
    """

    manifest: Manifest
    written: bool


def export_package(
    run_dir: Path, target: Path, options: PackageOptions | None = None
) -> PackageOutcome:
    """Write a run as a package, holding one shard in memory.

    Args:
        run_dir: The run directory.
        target: The directory to make; its parent must exist.
        options: How.

    Returns:
        The manifest, and whether anything was written: the same run, corrections and options
        give the same bytes, and such a package is left as it is.

    Raises:
        UsageError: There is no run, it is unfinished, the target is taken, or the encoding
            lacks a character.
        DiskError: The readings are damaged, or the package cannot be written.
        LockedError: Another process writes this package.
    """
    options = options or PackageOptions()
    options.dialect.check()
    finished = open_finished(run_dir, partial=options.partial)
    _check_target(target, options)
    target = target.absolute()
    corrections = layer.load((run_dir, *options.corrections))
    with new_directory(target) as hidden:
        manifest = _fill(hidden, finished, corrections, options.dialect)
        if _is_same(target, to_json(manifest)):
            for path in hidden.iterdir():
                path.unlink()
            hidden.rmdir()
            return PackageOutcome(manifest, written=False)
        if target.exists() and any(target.iterdir()) and not options.replace:
            raise UsageError(
                f"{target} holds another package", "Give a new name, or replace it with --replace."
            )
        publish(hidden, target, replace=options.replace)
    return PackageOutcome(manifest, written=True)


def _check_target(target: Path, options: PackageOptions) -> None:
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no directory", "Make it first.")
    if not target.exists():
        return
    if not target.is_dir() or (any(target.iterdir()) and not (target / MANIFEST).is_file()):
        raise UsageError(f"{target} is there and is no package", "Give a new name.")
    try:
        if (target / MANIFEST).is_file():
            from_json((target / MANIFEST).read_bytes())
    except ValueError as error:
        if not options.replace:
            raise UsageError(
                f"{target} holds a package that cannot be read: {error}",
                "Give a new name, or replace it with --replace.",
            ) from error


def _is_same(target: Path, manifest: bytes) -> bool:
    """Whether exactly this package is there; its files are compared, not only its manifest."""
    try:
        if (target / MANIFEST).read_bytes() != manifest:
            return False
        parts = from_json(manifest).files
        return {path.name for path in target.iterdir()} == {
            MANIFEST,
            *(f.name for f in parts),
        } and (all(_sha256(target / part.name) == part.sha256 for part in parts))
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill(
    folder: Path, finished: FinishedRun, corrections: Sequence[Correction], dialect: CsvDialect
) -> Manifest:
    chosen = deciding(corrections)
    statuses: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    with ExitStack() as stack:
        parts = {name: stack.enter_context(_part(folder, name, dialect)) for name in PARTS}
        for table in _tables(finished, chosen):
            statuses.update(table.column("status").to_pylist())
            sources.update(table.column("source").to_pylist())
            loadable = pc.is_in(table.column("status"), pa.array(LOADABLE))
            parts["accepted"].write(table.filter(loadable))
            parts["review"].write(table.filter(pc.invert(loadable)))
    manifest = Manifest(
        run_id=finished.record.run_id,
        model={name: finished.record.model[name] for name in ("id", "name", "sha256")},
        package_version=finished.record.package_version,
        complete=finished.is_complete,
        cards=statuses.total(),
        cards_planned=finished.record.cards,
        statuses=dict(sorted(statuses.items())),
        sources=dict(sorted(sources.items())),
        corrections={
            "known": len(corrections),
            "applied": sources["person"],
            "digest": layer.digest(corrections),
        },
        readings_digest=readings_digest(finished.run),
        csv={
            "encoding": dialect.encoding, "delimiter": dialect.delimiter, "quote": '"',
            "line_end": "CRLF", "list_separator": ";", "formula_guard": GUARD,
        },
        files=tuple(file for name in PARTS for file in parts[name].files()),
    )  # fmt: skip
    with _synced(folder / MANIFEST) as file:
        file.write(to_json(manifest))
    return manifest


def _tables(finished: FinishedRun, chosen: Mapping[str, Correction]) -> Iterator[pa.Table]:
    for receipt in finished.receipts():
        table = finished.readings(receipt)
        read_at = read_time(finished.record, receipt)
        yield contract_rows(machine_rows(table, read_at, receipt.shard), chosen)


@contextmanager
def _synced(path: Path) -> Iterator[BinaryIO]:
    """A new file that is on the disk when the block ends."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, current_mode())
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


class _Counted:
    """Passes bytes on and knows how many and which they were."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hasher = hashlib.sha256()
        self.size = 0
        self.closed = False

    def write(self, data: Any) -> int:  # noqa: ANN401 - pyarrow hands over its own buffers
        view = memoryview(data)
        self._hasher.update(view)
        self.size += view.nbytes
        return self._file.write(view)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """The owner of the file closes it."""

    def writable(self) -> bool:
        return True

    def packed(self, name: str, rows: int) -> PackedFile:
        return PackedFile(name, rows, self.size, self._hasher.hexdigest())


@dataclass(slots=True)
class _Part:
    """One of ``PARTS``, open for writing in both formats."""

    name: str
    dialect: CsvDialect
    csv: _Counted
    parquet: _Counted
    writer: Any
    rows: int = 0

    def write(self, table: pa.Table) -> None:
        if table.num_rows:
            self.csv.write(encode_rows(table, self.dialect))
            self.writer.write_table(table, row_group_size=table.num_rows)
            self.rows += table.num_rows

    def files(self) -> tuple[PackedFile, ...]:
        csv = self.csv.packed(f"{self.name}.csv", self.rows)
        return csv, self.parquet.packed(f"{self.name}.parquet", self.rows)


@contextmanager
def _part(folder: Path, name: str, dialect: CsvDialect) -> Iterator[_Part]:
    with (
        _synced(folder / f"{name}.csv") as csv,
        _synced(folder / f"{name}.parquet") as parquet,
    ):
        counted = _Counted(parquet)
        sink = pa.PythonFile(counted, mode="w")
        with pq.ParquetWriter(sink, CONTRACT, compression="zstd") as writer:
            part = _Part(name, dialect, _Counted(csv), counted, writer)
            part.csv.write(header(dialect))
            yield part
