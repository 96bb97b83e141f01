"""Numbers from the first directory of a TIFF file (TIFF 6.0, BigTIFF) or of Exif data."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WIDTH: Final = 256
HEIGHT: Final = 257
ORIENTATION: Final = 274
SAMPLES: Final = 277
TILE_WIDTH: Final = 322
TILE_HEIGHT: Final = 323
_WANTED: Final = frozenset((WIDTH, HEIGHT, ORIENTATION, SAMPLES, TILE_WIDTH, TILE_HEIGHT))
_INTEGERS: Final = {
    1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q",
}  # fmt: skip
"""Struct codes of the field types BYTE, SHORT, LONG, their signed kinds, LONG8 and SLONG8:
all that libtiff takes for a number."""


def fields(data: bytes) -> Mapping[int, int] | None:
    """Read the single numbers of the first directory that tell the shape of the image.

    Args:
        data: The file, starting with one of ``SIGNATURES``.

    Returns:
        Values by tag, the first of repeated ones, as libtiff does; None where one of them is
        not a single number.

    Raises:
        struct.error: The file ends too early.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = b"+" in data[2:4]
    offset, count, entry, directory_at = ("Q", "Q", "HHQ", 8) if big else ("I", "H", "HHI", 4)
    (directory,) = struct.unpack_from(order + offset, data, directory_at)
    (entries,) = struct.unpack_from(order + count, data, directory)
    first = directory + struct.calcsize(order + count)
    value_at = struct.calcsize(order + entry)
    step = value_at + struct.calcsize(order + offset)
    values: dict[int, int] = {}
    for at in range(first, min(first + entries * step, len(data) - step + 1), step):
        tag, kind, number = struct.unpack_from(order + entry, data, at)
        if tag not in _WANTED or tag in values:
            continue
        if kind not in _INTEGERS or number != 1:
            return None
        (value,) = struct.unpack_from(order + _INTEGERS[kind], data, at + value_at)
        values[tag] = int(value)
    return values
