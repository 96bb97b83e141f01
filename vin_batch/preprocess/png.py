"""The chunks of a PNG file (ISO/IEC 15948), as far as pixels depend on them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS: Final = 20_000
"""A file with more is no crop; writers make one for every 8 KiB or more."""
_FRAME_BYTES: Final = 12
"""Length, name and checksum around the content of a chunk."""
_TEXTS: Final = (b"zTXt", b"iTXt", b"iCCP")
"""Unpacked by libpng, each to 8 MB and up to a thousand of them."""
_ANIMATION: Final = (b"acTL", b"fcTL", b"fdAT")
"""Damaged ones make OpenCV 4.11 and 4.12 write where they must not, and crash."""
_GREY: Final = 0
PLAIN: Final = frozenset((b"IHDR", b"IDAT", b"IEND", b"pHYs", b"gAMA", b"tIME"))
"""Chunks of which neither ``grey_transparency`` nor ``without_extras`` wants to know."""
_HEAD: Final = struct.Struct(">I4s")


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Walk over the chunks of a PNG file.

    Args:
        data: The file, starting with ``SIGNATURE``.

    Yields:
        Name, and where the content begins and ends; stops at the end, or where it is torn.
    """
    at = len(SIGNATURE)
    last = len(data) - _FRAME_BYTES
    for _ in range(MAX_CHUNKS):
        if at > last:
            return
        length, name = _HEAD.unpack_from(data, at)
        yield name, at + 8, at + 8 + length
        if name == b"IEND":
            return
        at += _FRAME_BYTES + length


def chunk_names(data: bytes) -> set[bytes] | None:
    """Names of the chunks of a PNG file that may be decoded.

    Decoders make room for a whole chunk, up to 2 GiB, before they look; and OpenCV 4.11 reads
    on in memory that it never filled where there are no pixels.

    Args:
        data: The file, starting with ``SIGNATURE``.

    Returns:
        None where a chunk is larger than the file, or none has pixels.
    """
    names = set()
    size = len(data)
    for name, begin, end in chunks(data):
        if end - begin > size:
            return None
        names.add(name)
    return names if b"IDAT" in names else None


def content(data: bytes, wanted: bytes, *, before_pixels: bool = False) -> bytes | None:
    """Content of the first chunk of a name, None where there is none."""
    for name, begin, end in chunks(data):
        if name == wanted:
            return data[begin:end]
        if before_pixels and name == b"IDAT":
            return None
    return None


def grey_transparency(data: bytes) -> int | None:
    """Level of the pixels that a grey PNG declares transparent, which OpenCV ignores.

    Args:
        data: Any image file.

    Returns:
        The level, as it is after decoding to 8 or 16 bits; None where there is none.
    """
    if not data.startswith(SIGNATURE) or data[25] != _GREY:
        return None
    found = content(data, b"tRNS", before_pixels=True)
    if found is None or len(found) < 2:
        return None
    depth = data[24]
    level = int.from_bytes(found[:2], "big") & ((1 << depth) - 1)
    return level * 255 // ((1 << depth) - 1) if depth < 8 else level


def without_extras(data: bytes) -> bytes:
    """Drop what a PNG file holds beside its picture and a decoder had better not see.

    Texts, colour profiles and the further pictures of an animation do not change the pixels.

    Args:
        data: Any image file.

    Returns:
        The file itself where there is nothing of the kind.
    """
    if not data.startswith(SIGNATURE):
        return data
    dropped = [
        (begin - 8, end + 4)
        for name, begin, end in chunks(data)
        if name in _TEXTS or name in _ANIMATION
    ]
    if not dropped:
        return data
    begins = [0, *(end for _, end in dropped)]
    ends = [*(begin for begin, _ in dropped), len(data)]
    return b"".join(data[begin:end] for begin, end in zip(begins, ends, strict=True))
