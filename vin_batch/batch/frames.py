"""Readings as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from vin_batch.batch.ledger import load_run
from vin_batch.batch.readings_schema import READINGS_SCHEMA, iter_tables
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import UsageError


def read_frame(run_dir: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the finished shards of a run; see ``vin_batch.read_run``.

    Raises:
        UsageError: The directory holds no run, or there is no such column.
        DiskError: A file of the run is damaged.
    """
    run = RunDir(run_dir)
    load_run(run)
    names = list(READINGS_SCHEMA.names if columns is None else columns)
    unknown = sorted(set(names) - set(READINGS_SCHEMA.names))
    if unknown:
        raise UsageError(
            f"readings have no column {unknown[0]!r}",
            f"Columns are: {', '.join(READINGS_SCHEMA.names)}.",
        )
    schema = pa.schema([READINGS_SCHEMA.field(name) for name in names])
    tables = [table.select(names) for table in iter_tables(run)]
    whole = pa.concat_tables(tables) if tables else schema.empty_table()
    frame: pd.DataFrame = whole.to_pandas()
    return frame
