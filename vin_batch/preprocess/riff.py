"""The chunks of a WebP file (RFC 9649)."""

from __future__ import annotations

import struct
from typing import Final

_FIRST_CHUNK: Final = 12
MAX_CHUNKS: Final = 10_000


def is_webp(data: bytes) -> bool:
    """Tell a WebP file by its signature."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def span(data: bytes, wanted: bytes) -> tuple[int, int] | None:
    """Where the content of the first chunk of a name begins and should end, if there is one."""
    at = _FIRST_CHUNK
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return None
        name, length = struct.unpack_from("<4sI", data, at)
        if name == wanted:
            return at + 8, at + 8 + length
        at += 8 + length + length % 2
    return None
