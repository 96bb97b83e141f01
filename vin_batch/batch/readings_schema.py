"""Readings as Parquet: the schema, and the way there and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from vin_batch.batch.receipts import iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import DiskError
from vin_batch.records import Alternative, CharReading, CheckDigitState, Reading, Status

SCHEMA_VERSION: Final = 1
SCHEMA_KEY: Final = b"vin_batch.readings_schema"

CHAR_TYPE: Final = pa.struct(
    [
        pa.field("position", pa.int8(), nullable=False),
        pa.field("char", pa.string(), nullable=False),
        pa.field("prob", pa.float32(), nullable=False),
        pa.field("second", pa.string()),
        pa.field("second_prob", pa.float32(), nullable=False),
        pa.field("issue", pa.string()),
    ]
)
ALTERNATIVE_TYPE: Final = pa.struct(
    [
        pa.field("vin", pa.string(), nullable=False),
        pa.field("prob", pa.float64(), nullable=False),
    ]
)


def _list_of(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("item", kind, nullable=False))


READINGS_SCHEMA: Final = pa.schema(
    [
        pa.field("card_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("vin", pa.string()),
        pa.field("raw_vin", pa.string(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
        pa.field("check_digit", pa.string(), nullable=False),
        pa.field("changed", _list_of(pa.int8()), nullable=False),
        pa.field("reasons", _list_of(pa.string()), nullable=False),
        pa.field("chars", _list_of(CHAR_TYPE), nullable=False),
        pa.field("alternatives", _list_of(ALTERNATIVE_TYPE), nullable=False),
        pa.field("wmi", pa.string()),
        pa.field("maker", pa.string()),
        pa.field("country", pa.string()),
        pa.field("model_years", _list_of(pa.int16()), nullable=False),
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
    ],
    metadata={SCHEMA_KEY: str(SCHEMA_VERSION).encode()},
)
"""Columns of ``readings/part-*.parquet``, in order."""


def readings_to_table(readings: Sequence[Reading], model_id: str, run_id: str) -> pa.Table:
    """Turn readings into rows, in the same order.

    Args:
        readings: One per card.
        model_id: The model that read them.
        run_id: The run they belong to.

    Returns:
        A table of ``READINGS_SCHEMA``.
    """
    plain = {"card_id", "status", "vin", "raw_vin", "confidence", "check_digit"}
    plain |= {"wmi", "maker", "country"}
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(r, name) for r in readings], READINGS_SCHEMA.field(name).type)
        for name in plain
    }
    for name in ("changed", "reasons", "model_years"):
        columns[name] = _lists(readings, name, pa.array)
    columns["chars"] = _lists(readings, "chars", _structs)
    columns["alternatives"] = _lists(readings, "alternatives", _structs)
    columns["model_id"] = pa.array([model_id] * len(readings), pa.string())
    columns["run_id"] = pa.array([run_id] * len(readings), pa.string())
    return pa.table([columns[name] for name in READINGS_SCHEMA.names], schema=READINGS_SCHEMA)


def table_to_readings(table: pa.Table) -> list[Reading]:
    """Turn rows back into readings; the inverse of ``readings_to_table``."""
    return [_reading(row) for row in table.to_pylist()]


def serialise(table: pa.Table) -> bytes:
    """Write rows as one Parquet file; the same rows always give the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=max(1, table.num_rows))
    return bytes(sink.getvalue())


def read_part(run: RunDir, shard: int) -> pa.Table:
    """Read the readings of one shard.

    Raises:
        DiskError: The file is missing, damaged or of another schema.
    """
    return _read(run.readings(shard), run.readings(shard))


def parse_part(data: bytes, path: Path) -> pa.Table:
    """Read the readings of one shard from the bytes of its file.

    Args:
        data: The bytes.
        path: The file, for messages.

    Raises:
        DiskError: They are damaged or of another schema.
    """
    return _read(pa.BufferReader(data), path)


def _read(source: Path | pa.BufferReader, path: Path) -> pa.Table:
    advice = "`vin-batch run` with the same arguments makes the damaged shard again."
    try:
        # ``read_table`` would import pyarrow.dataset and pandas for nothing, and a thousand
        # rows are no work for several threads.
        with pq.ParquetFile(source, pre_buffer=False) as file:
            table = file.read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise DiskError(f"cannot read {path}: {error}", advice) from error
    version = (table.schema.metadata or {}).get(SCHEMA_KEY)
    if version != str(SCHEMA_VERSION).encode() or not table.schema.equals(READINGS_SCHEMA):
        raise DiskError(f"{path} has another schema than {SCHEMA_VERSION}", advice)
    return table


def iter_tables(run: RunDir) -> Iterator[pa.Table]:
    """Readings of every shard with a receipt, in plan order, one table per shard.

    Raises:
        DiskError: A readings file is missing, damaged or of another schema.
    """
    for receipt in iter_receipts(run):
        yield read_part(run, receipt.shard)


def _lists(
    readings: Sequence[Reading], name: str, build: Callable[[list[Any], pa.DataType], pa.Array]
) -> pa.ListArray:
    rows = [getattr(reading, name) for reading in readings]
    kind = READINGS_SCHEMA.field(name).type
    offsets = pa.array([0, *accumulate(map(len, rows))], pa.int32())
    return pa.ListArray.from_arrays(
        offsets, build([item for row in rows for item in row], kind.value_type), type=kind
    )


def _structs(items: list[Any], kind: pa.StructType) -> pa.StructArray:
    """Named tuples whose fields are the members of ``kind``, in their order."""
    members = [kind.field(i) for i in range(kind.num_fields)]
    columns = list(zip(*items, strict=True)) or [()] * len(members)
    arrays = [pa.array(column, m.type) for column, m in zip(columns, members, strict=True)]
    return pa.StructArray.from_arrays(arrays, fields=members)


def _reading(row: dict[str, Any]) -> Reading:
    values = {name: row[name] for name in Reading.__slots__}
    for name in ("changed", "reasons", "model_years"):
        values[name] = tuple(values[name])
    values["status"] = Status(values["status"])
    values["check_digit"] = CheckDigitState(values["check_digit"])
    values["chars"] = tuple(CharReading(**item) for item in values["chars"])
    values["alternatives"] = tuple(Alternative(**item) for item in values["alternatives"])
    return Reading(**values)
