"""The frozen list of cards, cut into shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from vin_batch.archive import WalkTotals
from vin_batch.batch.atomic import atomic_file, disk_errors
from vin_batch.batch.rundir import RunDir
from vin_batch.classifier.model_card import sha256_of
from vin_batch.errors import DiskError
from vin_batch.records import CardRef, Place

PLAN_SCHEMA: Final = pa.schema(
    [
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("card_id", pa.string(), nullable=False),
        pa.field("path", pa.binary()),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("pack", pa.binary()),
        pa.field("offset", pa.int64()),
        pa.field("length", pa.int64()),
        pa.field("ignored_files", pa.int32()),
    ],
    metadata={b"vin_batch.plan_schema": b"2"},
)
"""Columns of ``plan.parquet``. One row group per shard, so that a shard loads alone. The last
four say where a packed card lies and are null for a folder; ``shard_digest`` leaves them out,
because packing an archive changes no reading."""

FIRST_PLAN_SCHEMA: Final = pa.schema(list(PLAN_SCHEMA)[:4])
"""Columns of plans from before there were packs."""
PLACE_COLUMNS: Final = ("pack", "offset", "length", "ignored_files")

DIGEST_BYTES: Final = 16
_DAMAGED: Final = "Restore plan.parquet from a backup, or start again in a new RUN_DIR."


@dataclass(slots=True)
class PlanSummary:
    """What ``run.json`` keeps of a plan."""

    cards: int = 0
    shards: int = 0
    digest: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """Cards for a run that is not to read the whole archive.

    Attributes:
        cards: In the order of the walk.
        totals: What the walk that found them passed by.
        not_before: Readings of the run count as made then at the earliest, whatever the clock
            says, so that they come after earlier ones of the same cards; ISO 8601, or empty.
    """

    cards: Iterable[CardRef]
    totals: WalkTotals
    not_before: str = ""


def shard_digest(cards: Iterable[CardRef]) -> str:
    """Digest over the plan rows of one shard, 32 hex digits."""
    hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for card in cards:
        for value in (card.card_id.encode(), card.path or b"", card.digest.encode()):
            hasher.update(b"%d:" % len(value))
            hasher.update(value)
    return hasher.hexdigest()


def write_plan(run: RunDir, cards: Iterable[CardRef], shard_size: int) -> PlanSummary:
    """Freeze a stream of cards as ``plan.parquet``, holding one shard in memory.

    Args:
        run: The run directory.
        cards: In plan order.
        shard_size: Cards per shard; the last shard may have fewer.

    Returns:
        Counts and digests.

    Raises:
        DiskError: The system refused.
    """
    summary = PlanSummary()
    hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with (
        atomic_file(run.plan, "plan") as file,
        pq.ParquetWriter(file, PLAN_SCHEMA, compression="zstd") as writer,
    ):
        for rows in _batched(cards, shard_size):
            writer.write_table(_to_table(summary.shards, rows), row_group_size=len(rows))
            hasher.update(shard_digest(rows).encode())
            summary.shards += 1
            summary.cards += len(rows)
    summary.digest = hasher.hexdigest()
    with disk_errors("read", run.plan):
        summary.sha256 = sha256_of(run.plan)
    return summary


@dataclass(slots=True)
class Plan:
    """A frozen plan, open for reading."""

    run: RunDir
    _file: Any = field(init=False, repr=False)
    _with_places: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        with _damage(self.run):
            self._file = pq.ParquetFile(self.run.plan)
            schema = self._file.schema_arrow
            self._with_places = schema.equals(PLAN_SCHEMA)
            if not self._with_places and not schema.equals(FIRST_PLAN_SCHEMA):
                raise DiskError(f"{self.run.plan} has another schema", _DAMAGED)

    @property
    def shards(self) -> int:
        """Number of shards."""
        return int(self._file.num_row_groups)

    @property
    def cards(self) -> int:
        """Number of cards."""
        return int(self._file.metadata.num_rows)

    def rows(self, shard: int) -> int:
        """Number of cards of one shard."""
        return int(self._file.metadata.row_group(shard).num_rows)

    def load(self, shard: int) -> tuple[CardRef, ...]:
        """Cards of one shard, in plan order.

        Raises:
            DiskError: The plan is damaged.
        """
        with _damage(self.run):
            table = self._file.read_row_group(shard)
        columns = [table.column(name).to_pylist() for name in ("card_id", "path", "digest")]
        if not self._with_places or table.column("pack").null_count == table.num_rows:
            return tuple(CardRef(*row) for row in zip(*columns, strict=True))
        columns.append(_places(table))
        return tuple(CardRef(*row) for row in zip(*columns, strict=True))

    def __iter__(self) -> Iterator[CardRef]:
        for shard in range(self.shards):
            yield from self.load(shard)


def _batched(cards: Iterable[CardRef], size: int) -> Iterator[list[CardRef]]:
    stream = iter(cards)
    while rows := list(islice(stream, size)):
        yield rows


def _to_table(shard: int, rows: list[CardRef]) -> pa.Table:
    columns = [
        pa.array([shard] * len(rows), pa.int32()),
        pa.array([card.card_id for card in rows], pa.string()),
        pa.array([card.path for card in rows], pa.binary()),
        pa.array([card.digest for card in rows], pa.string()),
        *_place_arrays([card.place for card in rows]),
    ]
    return pa.table(columns, schema=PLAN_SCHEMA)


def place_values(place: Place | None) -> tuple[bytes | int | None, ...]:
    """What ``PLACE_COLUMNS`` hold of one card."""
    if place is None:
        return (None,) * len(PLACE_COLUMNS)
    return place.pack, place.offset, place.length, place.ignored_files


def _place_arrays(places: Sequence[Place | None]) -> list[pa.Array]:
    types = [PLAN_SCHEMA.field(name).type for name in PLACE_COLUMNS]
    if not any(places):
        return [pa.nulls(len(places), each) for each in types]
    columns = zip(*map(place_values, places), strict=True)
    return [pa.array(values, each) for values, each in zip(columns, types, strict=True)]


def _places(table: pa.Table) -> list[Place | None]:
    columns = (table.column(name).to_pylist() for name in PLACE_COLUMNS)
    return [
        None if pack is None else Place(pack, *rest) for pack, *rest in zip(*columns, strict=True)
    ]


@contextmanager
def _damage(run: RunDir) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise DiskError(f"cannot read {run.plan}: {error}", _DAMAGED) from error
