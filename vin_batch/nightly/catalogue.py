"""The catalogue: one row per card that was ever read, in the order of the walk.

It is a file like any other made from the runs: what its header says about them tells
whether it is still true, and a damaged one is made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from vin_batch.archive.names import order_key, plain_bytes_of
from vin_batch.batch.atomic import atomic_file
from vin_batch.errors import DiskError

ROWS: Final = 16_384
"""Cards per row group: 2 MB, and what is held in memory at a time."""
SCHEMA_KEY: Final = b"vin_batch.catalogue_schema"
RUNS_KEY: Final = b"vin_batch.catalogue_runs"
SCHEMA_VERSION: Final = b"1"

CATALOGUE_SCHEMA: Final = pa.schema(
    [
        pa.field("card_id", pa.string(), nullable=False),
        pa.field("path", pa.binary()),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("stamps", pa.binary()),
        pa.field("contents", pa.binary()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("run", pa.string(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("first_seen", pa.string(), nullable=False),
        pa.field("last_read", pa.string(), nullable=False),
        pa.field("tries", pa.int32(), nullable=False),
        pa.field("missing_since", pa.string()),
    ]
)
"""Columns of ``catalogue.parquet``; see ``CatalogueRow``."""

Key = tuple[bytes, ...]
"""Sort key of a path in the order of the walk."""


class CatalogueDamagedError(DiskError):
    """The file is no whole catalogue. Where it is opened, it is then made from the runs."""

    def __init__(self, path: Path, reason: object) -> None:
        advice = "`vin-batch catalogue --rebuild` makes it again from the runs."
        super().__init__(f"{path} is damaged: {reason}", advice)


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """What is known about one card.

    Attributes:
        card_id: See ``CardRef``.
        path: See ``CardRef``.
        digest: Of its folder listing, when it was read.
        stamps: Digest over names, sizes and times of its box files, 8 bytes; None where
            nobody knows them.
        contents: Digest over names and bytes of its box files, 8 bytes; None where nobody
            read them.
        status: Of its current reading.
        confidence: Of its current reading.
        model_id: Who made that reading.
        run: Name of the run where the reading lies.
        shard: Number of the shard in that run.
        row: Its place in that shard.
        first_seen: Start of the oldest run that has the card, ISO 8601.
        last_read: When the current reading was written, ISO 8601.
        tries: Readings in a row that failed for a cause that may pass.
        missing_since: Start of the first night that did not find it, None while it is there.
    """

    card_id: str
    path: bytes | None
    digest: str
    stamps: bytes | None
    contents: bytes | None
    status: str
    confidence: float
    model_id: str
    run: str
    shard: int
    row: int
    first_seen: str
    last_read: str
    tries: int
    missing_since: str | None


@dataclass(frozen=True, slots=True)
class FoldedRun:
    """A run as the catalogue knows it.

    Attributes:
        run_id: Its id.
        model_id: Its model.
        reader: Digest of everything that decides what is read from the same files.
        digest: Digest of its readings: another one means that the catalogue is out of date.
    """

    run_id: str
    model_id: str
    reader: str
    digest: str


Runs = Mapping[str, FoldedRun]
"""Runs by name, oldest first."""


class Catalogue:
    """A catalogue that was found whole, open for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
            metadata = self._file.schema_arrow.metadata or {}
            if metadata.get(SCHEMA_KEY) != SCHEMA_VERSION or not self._file.schema_arrow.equals(
                CATALOGUE_SCHEMA
            ):
                raise CatalogueDamagedError(path, "it has another schema")
            document = json.loads(metadata[RUNS_KEY])
            self.runs: Runs = {name: FoldedRun(**run) for name, run in document.items()}
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise CatalogueDamagedError(path, error) from error

    @property
    def cards(self) -> int:
        """Number of cards."""
        return int(self._file.metadata.num_rows)

    def tables(self, columns: Iterable[str] | None = None) -> Iterator[pa.Table]:
        """Rows in the order of the walk, a row group at a time.

        Raises:
            CatalogueDamagedError: The disk gave other bytes than were written.
        """
        wanted = None if columns is None else list(columns)
        for group in range(self._file.num_row_groups):
            try:
                yield self._file.read_row_group(group, columns=wanted, use_threads=False)
            except (OSError, pa.ArrowException) as error:
                raise CatalogueDamagedError(self.path, error) from error


def open_catalogue(path: Path) -> Catalogue:
    """Open a catalogue and read it once from end to end.

    Raises:
        CatalogueDamagedError: It is missing, torn, of another version, or has wrong bytes.
    """
    catalogue = Catalogue(path)
    for _ in catalogue.tables():
        pass
    return catalogue


@contextmanager
def catalogue_writer(path: Path, runs: Runs) -> Iterator[Callable[[pa.Table], None]]:
    """Write a catalogue that takes its name only when it is whole.

    Args:
        path: The file.
        runs: The runs that it was made from.

    Yields:
        Takes tables of ``CATALOGUE_SCHEMA``, in the order of the walk.

    Raises:
        DiskError: The system refused.
    """
    document = json.dumps({name: asdict(run) for name, run in runs.items()})
    schema = CATALOGUE_SCHEMA.with_metadata(
        {SCHEMA_KEY: SCHEMA_VERSION, RUNS_KEY: document.encode()}
    )
    with (
        atomic_file(path, "catalogue") as file,
        pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer,
    ):

        def write(table: pa.Table) -> None:
            writer.write_table(
                table.replace_schema_metadata(schema.metadata),
                row_group_size=max(table.num_rows, 1),
            )

        yield write


_COLUMNS: Final = tuple(field.name for field in fields(CatalogueRow))


def rows_to_table(rows: list[CatalogueRow]) -> pa.Table:
    """Turn rows into a table of ``CATALOGUE_SCHEMA``."""
    arrays = [
        pa.array([getattr(row, name) for row in rows], CATALOGUE_SCHEMA.field(name).type)
        for name in _COLUMNS
    ]
    return pa.table(arrays, schema=CATALOGUE_SCHEMA)


def table_to_rows(table: pa.Table) -> Iterator[CatalogueRow]:
    """The inverse of ``rows_to_table``."""
    columns: list[list[Any]] = [table.column(name).to_pylist() for name in _COLUMNS]
    return (CatalogueRow(*values) for values in zip(*columns, strict=True))


def key_of(card_id: str, path: bytes | None) -> Key:
    """Sort key of a card in the order of the walk."""
    return order_key(plain_bytes_of(card_id) if path is None else path)


def last_key(table: pa.Table) -> Key:
    """Key of the last row of a table that is not empty."""
    last = table.num_rows - 1
    return key_of(table.column("card_id")[last].as_py(), table.column("path")[last].as_py())
