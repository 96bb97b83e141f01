"""What every database is loaded with: shards and corrections as tables, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from vin_batch.batch.receipts import Receipt
from vin_batch.corrections.records import Correction
from vin_batch.export.contract import CONTRACT, TIMESTAMP
from vin_batch.export.merge import CORRECTION_COLUMNS
from vin_batch.export.rows import machine_rows
from vin_batch.export.shards import FinishedRun, read_time

CORRECTIONS: Final = pa.schema(
    [
        pa.field("correction_id", pa.string(), nullable=False),
        pa.field("card_id", pa.string(), nullable=False),
        *(CONTRACT.field(name) for name in ("vin", "check_digit", "wmi", "maker", "country")),
        CONTRACT.field("model_years"),
        pa.field("reviewer", pa.string(), nullable=False),
        pa.field("signed_at", TIMESTAMP, nullable=False),
        pa.field("note", pa.string()),
        pa.field("imported_at", TIMESTAMP, nullable=False),
        pa.field("source_name", pa.string(), nullable=False),
        pa.field("source_sha256", pa.string(), nullable=False),
    ]
)
assert tuple(CORRECTIONS.names) == CORRECTION_COLUMNS


Loads = Mapping[str, Mapping[int, str]]
"""What a ledger says: digests of the readings of loaded shards, by run id and shard."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a run is loaded into a database.

    Attributes:
        partial: Take what an unfinished run has so far.
        corrections: Folders that hold corrections besides the run directory itself.
        attempts: How often a transaction is tried; a lost connection ends an attempt.
        progress: Called with the number of cards that are in, and of all.
        tell: Called with lines for people.
    """

    partial: bool = False
    corrections: Sequence[Path] = ()
    attempts: int = 6
    progress: Callable[[int, int], None] | None = None
    tell: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """What a load changed.

    Attributes:
        run_id: The run.
        shards: Shards that were loaded now.
        cards: Their cards.
        shards_before: Shards that were in already.
        stale: Shards of which the database has a later reading by the same run: this run
            directory is an old copy.
        corrections: Corrections that were added now.
    """

    run_id: str
    shards: int
    cards: int
    shards_before: int
    stale: tuple[int, ...]
    corrections: int


class Loading:
    """What is to be loaded, and what became of it so far.

    Args:
        finished: The run.
        known: Digests of its shards that are in already, by number.
        progress: Told how many cards are in, and of how many.
    """

    def __init__(
        self,
        finished: FinishedRun,
        known: Mapping[int, str],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        receipts = list(finished.receipts())
        self.missing = [r for r in receipts if known.get(r.shard) != r.readings_sha256]
        self._run_id = finished.record.run_id
        self._shards = len(receipts)
        self._total = sum(receipt.cards for receipt in receipts)
        self._done = self._total - sum(receipt.cards for receipt in self.missing)
        self._progress = progress
        self._loaded: list[Receipt] = []
        self._stale: list[int] = []

    def note(self, receipt: Receipt, *, loaded: bool, stale: bool = False) -> None:
        """Say what became of a missing shard: neither means that another loader had it."""
        if loaded:
            self._loaded.append(receipt)
        elif stale:
            self._stale.append(receipt.shard)
        self._done += receipt.cards
        if self._progress:
            self._progress(self._done, self._total)

    def outcome(self, corrections: int) -> LoadOutcome:
        """What all of it came to."""
        return LoadOutcome(
            run_id=self._run_id,
            shards=len(self._loaded),
            cards=sum(receipt.cards for receipt in self._loaded),
            shards_before=self._shards - len(self._loaded) - len(self._stale),
            stale=tuple(self._stale),
            corrections=corrections,
        )


@dataclass(frozen=True, slots=True)
class ShardRows:
    """One shard, ready to be loaded.

    Attributes:
        receipt: Its receipt.
        read_at: When it was read, UTC.
        table: Rows of ``MACHINE``.
    """

    receipt: Receipt
    read_at: datetime
    table: pa.Table


def shard_rows(finished: FinishedRun, receipt: Receipt) -> ShardRows:
    """Read one shard.

    Raises:
        DiskError: Its readings are damaged.
    """
    read_at = read_time(finished.record, receipt)
    table = machine_rows(finished.readings(receipt), read_at, receipt.shard)
    return ShardRows(receipt, read_at, table)


def ahead(jobs: Sequence[Callable[[], Any]]) -> Iterator[Any]:
    """Results of jobs in order, each made in a thread while the one before is used.

    At most two results exist at a time.
    """
    with ThreadPoolExecutor(1) as pool:
        following: Future[Any] | None = None
        for job in jobs:
            ready, following = following, pool.submit(job)
            if ready is not None:
                yield ready.result()
                del ready
        if following is not None:
            yield following.result()


def corrections_table(corrections: Sequence[Correction]) -> pa.Table:
    """Corrections as rows of ``CORRECTIONS``."""
    rows = [
        {
            "correction_id": c.correction_id, "card_id": c.card_id, "vin": c.vin,
            "check_digit": c.facts.check_digit.value, "wmi": c.facts.wmi, "maker": c.facts.maker,
            "country": c.facts.country, "model_years": list(c.facts.model_years),
            "reviewer": c.reviewer, "signed_at": c.signed_at, "note": c.note,
            "imported_at": c.imported_at, "source_name": c.source_name,
            "source_sha256": c.source_sha256,
        }
        for c in corrections
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=CORRECTIONS)


def loads_of(rows: Iterable[tuple[Any, ...]]) -> Loads:
    """Group rows of ``run_id, shard, readings_sha256``."""
    found: dict[str, dict[int, str]] = {}
    for run_id, shard, digest in rows:
        found.setdefault(run_id, {})[shard] = digest
    return found


def run_values(finished: FinishedRun) -> tuple[object, ...]:
    """The row of a run, as ``merge.RUN_COLUMNS``."""
    record = finished.record
    return (
        record.run_id, record.model["id"], record.model["sha256"], record.cards, record.shards,
        datetime.fromisoformat(record.created_at).astimezone(UTC), record.package_version,
        record.archive,
    )  # fmt: skip


def load_values(shard: ShardRows) -> tuple[object, ...]:
    """The row of a shard in the ledger, as ``merge.LOAD_COLUMNS``."""
    receipt = shard.receipt
    return receipt.run_id, receipt.shard, receipt.readings_sha256, receipt.cards, shard.read_at
