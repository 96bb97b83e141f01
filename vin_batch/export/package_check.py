"""Checks a package against its manifest and against itself."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vin_batch.batch.atomic import disk_errors
from vin_batch.errors import UsageError
from vin_batch.export.contract import CONTRACT, CONTRACT_KEY, LOADABLE, NAMES
from vin_batch.export.csv_dialect import CsvDialect, from_cells
from vin_batch.export.manifest import MANIFEST, Manifest, from_json
from vin_batch.export.package import PARTS
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH

BATCH_ROWS: Final = 2000
"""Rows in memory at a time."""
CARD_DIGEST_BYTES: Final = 16
"""Of the digests by which cards are told apart; a chance collision among a million cards has
a probability of 10^-27."""
MAX_FINDINGS: Final = 50
"""A package that is this wrong needs no longer list."""


@dataclass(slots=True)
class _Seen:
    """What the rows added up to."""

    statuses: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    cards: bytearray = field(default_factory=bytearray)
    """One digest of ``CARD_DIGEST_BYTES`` per row."""


def check_package(folder: Path) -> list[str]:
    """Check files, counts, digests, schema, run id and every row of a package.

    Args:
        folder: The package.

    Returns:
        What is wrong; empty where the package is whole.

    Raises:
        UsageError: The directory is no package.
        DiskError: It cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(f"{folder} is no package: {MANIFEST} is missing", "Export the run again.")
    with disk_errors("read", folder):
        try:
            manifest = from_json(path.read_bytes())
        except ValueError as error:
            return [f"{MANIFEST}: {error}"]
        findings = list(islice(_file_findings(folder, manifest), MAX_FINDINGS))
        # Rows are only worth a look in files that are the right ones.
        return findings or list(islice(_row_findings(folder, manifest), MAX_FINDINGS))


def _file_findings(folder: Path, manifest: Manifest) -> Iterator[str]:
    expected = {f"{part}.{suffix}" for part in PARTS for suffix in ("csv", "parquet")}
    listed = {file.name for file in manifest.files}
    if listed != expected or len(manifest.files) != len(expected):
        yield f"{MANIFEST} lists {sorted(listed)} instead of {sorted(expected)}"
        return
    for name in sorted({path.name for path in folder.iterdir()} - listed - {MANIFEST}):
        yield f"{name} is not part of the package"
    for file in manifest.files:
        path = folder / file.name
        if not path.is_file():
            yield f"{file.name} is missing"
            continue
        if path.stat().st_size != file.bytes:
            yield f"{file.name} has {path.stat().st_size} bytes instead of {file.bytes}"
            continue
        with path.open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
                yield f"{file.name} has another sha256 than {MANIFEST} says"


def _row_findings(folder: Path, manifest: Manifest) -> Iterator[str]:
    rows = {file.name: file.rows for file in manifest.files}
    seen = _Seen()
    for part in PARTS:
        if rows[f"{part}.csv"] != rows[f"{part}.parquet"]:
            yield f"{part}: the two formats have different numbers of rows"
        yield from _part_findings(folder, part, rows[f"{part}.parquet"], manifest, seen)
    if seen.statuses.total() != manifest.cards or dict(seen.statuses) != dict(manifest.statuses):
        yield f"the rows by status are {dict(seen.statuses)}, not {dict(manifest.statuses)}"
    if dict(seen.sources) != dict(manifest.sources):
        yield f"the rows by source are {dict(seen.sources)}, not {dict(manifest.sources)}"
    if manifest.complete and manifest.cards != manifest.cards_planned:
        yield f"{manifest.cards} cards instead of the {manifest.cards_planned} of the plan"
    digests = np.frombuffer(seen.cards, dtype=f"S{CARD_DIGEST_BYTES}")
    if len(np.unique(digests)) != len(digests):
        yield "a card has more than one row"


def _part_findings(
    folder: Path, part: str, rows: int, manifest: Manifest, seen: _Seen
) -> Iterator[str]:
    try:
        file = pq.ParquetFile(folder / f"{part}.parquet")
    except pa.ArrowException as error:
        yield f"{part}.parquet cannot be read: {error}"
        return
    with closing(file):
        schema = file.schema_arrow
        version = (schema.metadata or {}).get(CONTRACT_KEY)
        if not schema.equals(CONTRACT) or version != (CONTRACT.metadata or {})[CONTRACT_KEY]:
            yield f"{part}.parquet has other columns than the contract"
            return
        if file.metadata.num_rows != rows:
            yield f"{part}.parquet has {file.metadata.num_rows} rows instead of {rows}"
            return
        dialect = CsvDialect(manifest.csv["delimiter"], manifest.csv["encoding"])
        flat = _csv_rows(folder / f"{part}.csv", dialect)
        try:
            if tuple(next(flat, ())) != NAMES:
                yield f"{part}.csv has another header than the contract"
                return
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                table = pa.Table.from_batches([batch]).cast(CONTRACT)
                if not from_cells(list(islice(flat, batch.num_rows))).equals(table):
                    yield f"{part}.csv and {part}.parquet hold different rows"
                    return
                yield from _table_findings(table, part, manifest, seen)
            if next(flat, None) is not None:
                yield f"{part}.csv has more than {rows} rows"
        except (ValueError, csv.Error, pa.ArrowException) as error:
            yield f"{part}.csv cannot be read: {error}"


def _csv_rows(path: Path, dialect: CsvDialect) -> Iterator[list[str]]:
    with path.open("rb") as file:
        text = io.TextIOWrapper(file, encoding=dialect.encoding, newline="")
        for row in csv.reader(text, delimiter=dialect.delimiter, strict=True):
            if len(row) != len(NAMES):
                raise ValueError(f"a row has {len(row)} fields instead of {len(NAMES)}")
            yield row


def _table_findings(table: pa.Table, part: str, manifest: Manifest, seen: _Seen) -> Iterator[str]:
    names = ("card_id", "status", "source", "vin", "run_id", "model_id")
    columns = [table.column(name).to_pylist() for name in names]
    seen.statuses.update(columns[1])
    seen.sources.update(columns[2])
    for card, status, source, vin, run_id, model_id in zip(*columns, strict=True):
        seen.cards += hashlib.blake2b(card.encode(), digest_size=CARD_DIGEST_BYTES).digest()
        if (status in LOADABLE) is not (part == "accepted"):
            yield f"card {card!r} is {status} and in {part}"
        if (run_id, model_id) != (manifest.run_id, manifest.model["id"]):
            yield f"card {card!r} is of another run or model: {run_id}, {model_id}"
        if vin is None and status in LOADABLE:
            yield f"card {card!r} is {status} without a VIN"
        if vin is not None and (len(vin) != VIN_LENGTH or set(vin) - set(ALPHABET)):
            yield f"card {card!r} has {vin!r} as its VIN"
        if (status == "confirmed" and source != "person") or (
            status == "accepted" and source != "machine"
        ):
            yield f"card {card!r} is {status} by a {source}"
