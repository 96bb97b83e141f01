"""The finished shards of a run, checked against their receipts, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from vin_batch.batch.ledger import RunRecord, load_run, proved_readings
from vin_batch.batch.readings_schema import parse_part
from vin_batch.batch.receipts import Receipt, load_receipt
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import DiskError, UsageError
from vin_batch.export.readings_csv import finished_shards


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run whose readings may be handed on.

    Attributes:
        run: Its directory.
        record: Its ``run.json``.
        shards: Shards with a receipt, in plan order.
    """

    run: RunDir
    record: RunRecord
    shards: tuple[int, ...]

    @property
    def is_complete(self) -> bool:
        """True where every shard of the plan is finished."""
        return len(self.shards) == self.record.shards

    def receipts(self) -> Iterator[Receipt]:
        """Receipts of the finished shards.

        Raises:
            DiskError: One is damaged or belongs to another run.
        """
        for shard in self.shards:
            yield self.receipt(shard)

    def receipt(self, shard: int) -> Receipt:
        """Receipt of one shard.

        Raises:
            DiskError: It is damaged or belongs to another run.
        """
        receipt = load_receipt(self.run, shard)
        if receipt is None or receipt.run_id != self.record.run_id or receipt.shard != shard:
            raise _damaged(self.run.receipt(shard))
        return receipt

    def readings(self, receipt: Receipt) -> pa.Table:
        """Readings of the shard that a receipt describes, columns as ``READINGS_SCHEMA``.

        Raises:
            DiskError: They are not what the receipt says.
        """
        path = self.run.readings(receipt.shard)
        data = proved_readings(self.run, receipt, self.record.run_id, receipt.cards)
        if data is None:
            raise _damaged(path)
        table = parse_part(data, path)
        if table.num_rows != receipt.cards:
            raise _damaged(path)
        return table


def open_finished(run_dir: Path, *, partial: bool = False) -> FinishedRun:
    """Open a run to hand its readings on.

    Args:
        run_dir: The run directory.
        partial: Take what is finished, instead of refusing an unfinished run.

    Raises:
        UsageError: The directory holds no run, or an unfinished one.
        DiskError: ``run.json`` is damaged.
    """
    run = RunDir(run_dir)
    record = load_run(run)
    finished = FinishedRun(run, record, tuple(finished_shards(run, record)))
    if not finished.is_complete and not partial:
        raise UsageError(
            f"the run in {run_dir} is not complete: {len(finished.shards)} of {record.shards} "
            "shards are finished",
            "Finish it with `vin-batch run` and the same arguments, or export what is there "
            "with --partial.",
        )
    return finished


def read_time(record: RunRecord, receipt: Receipt) -> datetime:
    """When a shard was read, in UTC; of two readings of a card the later one counts.

    It is the time of the receipt, but never before what the run says that it comes after: a
    clock that was set back between two nights does not turn their order round.

    Raises:
        DiskError: The receipt or the run holds no such time.
    """
    try:
        moments = [record.not_before, receipt.finished_at]
        return max(datetime.fromisoformat(m).astimezone(UTC) for m in moments if m)
    except ValueError as error:
        raise DiskError(
            f"the receipt of shard {receipt.shard} holds no time: {receipt.finished_at!r}",
            "`vin-batch verify` tells what else is damaged.",
        ) from error


def _damaged(path: Path) -> DiskError:
    return DiskError(
        f"{path} is not what its receipt says",
        "`vin-batch run` with the same arguments reads the damaged shard again.",
    )
