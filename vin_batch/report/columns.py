"""Chosen columns of a run's readings, shard by shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from vin_batch.batch.receipts import iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import DiskError


def iter_columns(run: RunDir, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read some columns of every shard that has a receipt, in plan order.

    Args:
        run: The run directory.
        columns: Names from ``READINGS_SCHEMA``.

    Yields:
        One table per shard.

    Raises:
        DiskError: A readings file is missing or damaged.
    """
    for receipt in iter_receipts(run):
        path = run.readings(receipt.shard)
        try:
            yield pq.read_table(path, columns=list(columns), memory_map=False)
        except (OSError, pa.ArrowException) as error:
            raise DiskError(
                f"cannot read {path}: {error}",
                "`vin-batch run` with the same arguments makes the damaged shard again.",
            ) from error
