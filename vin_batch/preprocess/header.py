"""Width and height from a file's header, before a single pixel is unpacked.

Only the five formats of the archive contract are known; everything else is no image. The
layouts: PNG (ISO/IEC 15948), JPEG (ITU-T T.81), TIFF 6.0 and BigTIFF, BMP (Windows and
OS/2 1.x), WebP (RFC 9649).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_TIFF_SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_HEADER_BYTES: Final = 33
"""Signature and the IHDR chunk."""
_PNG_GREY: Final = 0
_PNG_WITH_COLOUR: Final = (2, 3)
_PNG_WITH_ALPHA: Final = (4, 6)
"""Colour types: grey; colour and palette; grey and colour with an alpha channel."""
_JPEG_MARKER: Final = re.compile(rb"\xff([\x01-\xfe])")
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers SOF0 to SOF15; the three in between are tables."""
_JPEG_BARE: Final = frozenset((0x01, *range(0xD0, 0xD9)))
"""Markers without a length: TEM, RST0 to RST7, SOI."""
_JPEG_PIXELS: Final = (0xD9, 0xDA)
"""EOI and SOS: the frame should have come before."""
_TIFF_WIDTH: Final = 256
_TIFF_HEIGHT: Final = 257
_TIFF_SAMPLES: Final = 277
_TIFF_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Struct codes of the field types BYTE, SHORT, LONG and LONG8."""
_BMP_OS2_HEADER: Final = 12


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a header says of an image.

    Attributes:
        width: Pixels.
        height: Pixels.
        may_have_alpha: False where the file cannot hold transparency.
        is_grey_alpha_tiff: A TIFF of two samples, whose second OpenCV would drop.
    """

    width: int
    height: int
    may_have_alpha: bool
    is_grey_alpha_tiff: bool = False


def read_header(data: bytes) -> ImageHeader | None:
    """Read the header of an image file.

    Args:
        data: The file, at least its beginning.

    Returns:
        The header; None where the format is unknown or the header is damaged.
    """
    try:
        header = _read(data)
    except (struct.error, IndexError, OverflowError):
        return None
    return header if header and header.width > 0 and header.height > 0 else None


def _read(data: bytes) -> ImageHeader | None:
    if data.startswith(_PNG_SIGNATURE):
        return _png(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(_TIFF_SIGNATURES):
        return _tiff(data)
    if data.startswith(b"BM"):
        return _bmp(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _png(data: bytes) -> ImageHeader | None:
    if len(data) < _PNG_HEADER_BYTES or data[12:16] != b"IHDR":
        return None
    width, height, _, colour_type = struct.unpack_from(">IIBB", data, 16)
    has_alpha = colour_type in _PNG_WITH_ALPHA
    hidden = colour_type in _PNG_WITH_COLOUR and _png_transparency(data) is not None
    return ImageHeader(width, height, may_have_alpha=has_alpha or hidden)


def png_grey_transparency(data: bytes) -> int | None:
    """Level of the pixels that a grey PNG declares transparent, which OpenCV ignores.

    Args:
        data: Any image file.

    Returns:
        The level, as it is after decoding to 8 or 16 bits; None where there is none.
    """
    if not data.startswith(_PNG_SIGNATURE) or data[25] != _PNG_GREY:
        return None
    chunk = _png_transparency(data)
    if chunk is None or len(chunk) < 2:
        return None
    depth = data[24]
    level = int.from_bytes(chunk[:2], "big") & ((1 << depth) - 1)
    return level * 255 // ((1 << depth) - 1) if depth < 8 else level


def _png_transparency(data: bytes) -> bytes | None:
    """Content of the ``tRNS`` chunk, None where there is none before the pixels."""
    at = len(_PNG_SIGNATURE)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"tRNS":
            return data[at + 8 : at + 8 + length]
        if name == b"IDAT":
            return None
        at += 12 + length
    return None


def _jpeg(data: bytes) -> ImageHeader | None:
    at = 2
    while match := _JPEG_MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return ImageHeader(width, height, may_have_alpha=False)
        if marker in _JPEG_PIXELS:
            return None
        if marker not in _JPEG_BARE:
            at += int(struct.unpack_from(">H", data, at)[0])
    return None


def _tiff(data: bytes) -> ImageHeader | None:
    order = "<" if data.startswith(b"II") else ">"
    big = b"+" in data[2:4]
    offset, count, entry, entries_at = ("Q", "Q", "HHQ", 8) if big else ("I", "H", "HHI", 4)
    (directory,) = struct.unpack_from(order + offset, data, entries_at)
    (entries,) = struct.unpack_from(order + count, data, directory)
    first = directory + struct.calcsize(order + count)
    value_at = struct.calcsize(order + entry)
    step = value_at + struct.calcsize(order + offset)
    values: dict[int, int] = {}
    for at in range(first, min(first + entries * step, len(data) - step + 1), step):
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SAMPLES) and kind in _TIFF_INTEGERS:
            (value,) = struct.unpack_from(order + _TIFF_INTEGERS[kind], data, at + value_at)
            values.setdefault(tag, int(value))
    return ImageHeader(
        values.get(_TIFF_WIDTH, 0),
        values.get(_TIFF_HEIGHT, 0),
        may_have_alpha=True,
        is_grey_alpha_tiff=values.get(_TIFF_SAMPLES, 1) == 2,
    )


def _bmp(data: bytes) -> ImageHeader | None:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == _BMP_OS2_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
    return ImageHeader(width, abs(height), may_have_alpha=bits == 32)


def _webp(data: bytes) -> ImageHeader | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return ImageHeader(
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
            may_have_alpha=True,
        )
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return ImageHeader(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), may_have_alpha=True)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader(width & 0x3FFF, height & 0x3FFF, may_have_alpha=True)
    return None
