"""Arrow arrays around NumPy arrays.

``pyarrow.array`` and ``pyarrow.scalar`` import pandas to find out whether they were given a
series, half a second of start; what is made here never asks.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ends = NDArray[np.int32]
"""Where each value begins, and the end of the last."""


def from_numpy(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Numbers as an array without nulls, sharing memory.

    Args:
        values: One-dimensional, of the width of ``kind``.
        kind: A type of fixed width.
    """
    data = np.ascontiguousarray(values)
    assert data.itemsize * 8 == kind.bit_width
    return pa.Array.from_buffers(kind, len(data), [None, pa.py_buffer(data)])


def numbers(array: pa.Array) -> NDArray[Any]:
    """Numbers or times of an array without nulls, sharing memory; times are integers."""
    assert not array.null_count
    width = array.type.bit_width // 8
    code = "f" if pa.types.is_floating(array.type) else "i"
    data = np.frombuffer(array.buffers()[1] or b"", f"{code}{width}")
    return data[array.offset : array.offset + len(array)]


def from_bytes(bounds: Ends, data: Any, kind: pa.DataType) -> pa.Array:  # noqa: ANN401 - a buffer
    """Texts or bytes that lie behind each other, sharing memory."""
    places = pa.py_buffer(np.ascontiguousarray(bounds))
    return pa.Array.from_buffers(kind, len(bounds) - 1, [None, places, pa.py_buffer(data)])


def lists(bounds: Ends, values: pa.Array, kind: pa.DataType | None = None) -> pa.ListArray:
    """Lists without nulls, cut out of their values."""
    return pa.ListArray.from_arrays(from_numpy(bounds, pa.int32()), values, type=kind)


def list_like(
    like: pa.ListArray, values: pa.Array, kind: pa.DataType | None = None
) -> pa.ListArray:
    """Lists as long as others, of other values: one for each value of ``like.flatten()``."""
    return lists(ends_of(np.diff(ends(like))), values, kind)


def ends(array: pa.Array) -> Ends:
    """Where each text, byte string or list of an array begins in its values."""
    raw = np.frombuffer(array.buffers()[1], np.int32)
    return raw[array.offset : array.offset + len(array) + 1]


def ends_of(lengths: NDArray[Any]) -> Ends:
    """The same from the lengths."""
    found = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=found[1:])
    return found


def even_ends(count: int, length: int) -> Ends:
    """The same for values that are all of one length."""
    return np.arange(count + 1, dtype=np.int32) * np.int32(length)


def content(array: pa.Array) -> NDArray[np.uint8]:
    """The bytes of all texts of an array behind each other; a null must have none."""
    data = array.buffers()[2]
    if data is None:
        return np.empty(0, np.uint8)
    bounds = ends(array)
    return np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]


def scalar(data: bytes, kind: pa.DataType) -> pa.Scalar[Any]:
    """A text or byte string."""
    return from_bytes(even_ends(1, len(data)), data, kind)[0]


EMPTY: Final = scalar(b"", pa.binary())
