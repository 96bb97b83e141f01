"""Arrow tables as the binary format of PostgreSQL's COPY, made column by column.

The format is described in https://www.postgresql.org/docs/current/sql-copy.html: a header, per
row the number of fields and per field its length and bytes, at the end -1. Bytes of a field are
those of the type's send function, numbers in network order. Columns of the table in the
database must have exactly the types of ``kind_of``: nothing is converted on the way in.

Numbers arrive bit by bit, and neither side writes or parses text for them, which is most of
what a load costs otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vin_batch.export.arrow_arrays import (
    EMPTY,
    Ends,
    content,
    ends,
    ends_of,
    even_ends,
    from_bytes,
    numbers,
    scalar,
)

_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_ABSENT: Final = -1
_NOTHING: Final = scalar(b"", pa.string())
_EPOCH_MICROSECONDS: Final = 946_684_800_000_000
"""2000-01-01, where the server's clock begins, since 1970."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of the server.

    Attributes:
        name: Its name in SQL.
        oid: Its number, which arrays of it carry.
        wire: NumPy type of its bytes; None for text, which has its own length.
    """

    name: str
    oid: int
    wire: str | None


_KINDS: Final[dict[pa.DataType, Kind]] = {
    pa.string(): Kind("text", 25, None),
    pa.int8(): Kind("smallint", 21, ">i2"),
    pa.int16(): Kind("smallint", 21, ">i2"),
    pa.int32(): Kind("integer", 23, ">i4"),
    pa.float32(): Kind("real", 700, ">f4"),
    pa.float64(): Kind("double precision", 701, ">f8"),
    pa.timestamp("us", tz="UTC"): Kind("timestamp with time zone", 1184, ">i8"),
}
"""Numbers of the types are fixed in the server's ``pg_type.dat``."""


def kind_of(kind: pa.DataType) -> str:
    """Name of the type that a column must have in the database."""
    if pa.types.is_list(kind):
        return f"{_KINDS[kind.value_type].name}[]"
    return _KINDS[kind].name


def copy_binary(table: pa.Table) -> bytes:
    """Write all rows of a table.

    Args:
        table: Columns of text, which may be null; and, without nulls, of numbers, of times
            in UTC, and of lists of text or numbers.
    """
    rows = table.num_rows
    if not rows:
        return _BEGIN + _END
    pieces = [_fixed(np.full((rows, 1), table.num_columns, ">i2"))]
    for column in table.columns:
        pieces += _field(column.combine_chunks())
    return b"".join((_BEGIN, content(_join(pieces)).data, _END))


def _field(array: pa.Array) -> list[pa.Array]:
    """Length and bytes of one field per row; where they are made apart, apart."""
    if not pa.types.is_list(array.type):
        return _item(array)
    assert not array.null_count
    bounds = ends(array)
    items = _join(_item(array.values))
    cuts = ends(items)[bounds]
    values = pa.Array.from_buffers(
        pa.binary(), len(array), [None, pa.py_buffer(cuts), items.buffers()[2]]
    )
    oid = _KINDS[array.type.value_type].oid
    return [_list_headers(np.diff(bounds), np.diff(cuts), oid), values]


def _list_headers(counts: Ends, sizes: Ends, oid: int) -> pa.Array:
    """Length of the field; dimensions, no nulls, type of items; number of items, from 1.

    An empty list has no dimension, and so not the last two.
    """
    header = np.empty((len(counts), 6), ">i4")
    filled = counts > 0
    header[:, 0] = sizes + np.where(filled, 20, 12)
    header[:, 1] = filled
    header[:, 2:4] = 0, oid
    header[:, 4] = counts
    header[:, 5] = 1
    if filled.all():
        return _fixed(header)
    there = np.ones(header.shape, bool)
    there[:, 4:] = filled[:, None]
    return from_bytes(ends_of(there.sum(axis=1) * 4), header[there], pa.binary())


def _item(array: pa.Array) -> list[pa.Array]:
    wire = _KINDS[array.type].wire
    return _text(array) if wire is None else [_number(array, wire)]


def _text(array: pa.Array) -> list[pa.Array]:
    lengths = np.diff(ends(array)).astype(">i4")
    if array.null_count:
        lengths[numbers(pc.indices_nonzero(pc.is_null(array)))] = _ABSENT
        array = pc.fill_null(array, _NOTHING)
    return [_fixed(lengths.reshape(-1, 1)), array.cast(pa.binary())]


def _number(array: pa.Array, wire: str) -> pa.Array:
    field = np.empty((len(array), 1), [("length", ">i4"), ("value", wire)])
    field["length"] = np.dtype(wire).itemsize
    shift = _EPOCH_MICROSECONDS if pa.types.is_timestamp(array.type) else 0
    field["value"][:, 0] = numbers(array) - shift if shift else numbers(array)
    return _fixed(field)


def _fixed(rows: NDArray[Any]) -> pa.Array:
    """Rows of one width as binary values."""
    width = rows.shape[1] * rows.itemsize
    return from_bytes(even_ends(len(rows), width), rows, pa.binary())


def _join(pieces: list[pa.Array]) -> pa.Array:
    """Byte strings behind each other, row by row."""
    if len(pieces) == 1:
        return pieces[0]
    return pc.binary_join_element_wise(*pieces, EMPTY)
