"""Width and height from a file's header, before a single pixel is unpacked.

Only the five formats of the archive contract are known; everything else is no image. The
layouts: PNG (ISO/IEC 15948), JPEG (ITU-T T.81), TIFF 6.0 and BigTIFF, BMP (Windows and
OS/2 1.x), WebP (RFC 9649).
"""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

from vin_batch.preprocess import png, riff, tiff

_PNG_HEADER_BYTES: Final = 33
"""Signature and the IHDR chunk."""
_PNG_WITH_COLOUR: Final = (2, 3)
_PNG_WITH_ALPHA: Final = (4, 6)
"""Colour types: colour and palette; grey and colour with an alpha channel."""
_PNG_SHAPE: Final = struct.Struct(">IIBB")
_JPEG_SHAPE: Final = struct.Struct(">HH")
_JPEG_LENGTH: Final = struct.Struct(">H")
_JPEG_MARKER: Final = re.compile(rb"\xff([\x01-\xfe])")
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers SOF0 to SOF15; the three in between are tables."""
_JPEG_BARE: Final = frozenset((0x01, *range(0xD0, 0xD9)))
"""Markers without a length: TEM, RST0 to RST7, SOI."""
_JPEG_PIXELS: Final = (0xD9, 0xDA)
"""EOI and SOS: the frame should have come before."""
_JPEG_SCAN: Final = b"\xff\xda"
_BMP_OS2_HEADER: Final = 12


class ImageHeader(NamedTuple):
    """What a header says of an image.

    Attributes:
        width: Pixels.
        height: Pixels.
        may_have_alpha: False where the file cannot hold transparency.
        is_grey_alpha_tiff: A TIFF of two samples, whose second OpenCV would drop.
        unit_pixels: Pixels that are unpacked together, where that may be more than the
            image: the tile of a TIFF.
        passes: How often a decoder may go over the image: the scans of a JPEG.
        is_plain: False for a PNG file with chunks that need a closer look.
    """

    width: int
    height: int
    may_have_alpha: bool
    is_grey_alpha_tiff: bool = False
    unit_pixels: int = 0
    passes: int = 1
    is_plain: bool = True

    @property
    def pixels(self) -> int:
        """Most pixels that a decoder holds at once."""
        return max(self.width * self.height, self.unit_pixels)


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
    if data.startswith(png.SIGNATURE):
        return _png(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(tiff.SIGNATURES):
        return _tiff(data)
    if data.startswith(b"BM"):
        return _bmp(data)
    if riff.is_webp(data):
        return _webp(data)
    return None


def _png(data: bytes) -> ImageHeader | None:
    if len(data) < _PNG_HEADER_BYTES or data[12:16] != b"IHDR":
        return None
    names = png.chunk_names(data)
    if names is None:
        return None
    width, height, _, colour_type = _PNG_SHAPE.unpack_from(data, 16)
    is_plain = names <= png.PLAIN
    has_alpha = colour_type in _PNG_WITH_ALPHA
    hidden = (
        not is_plain
        and colour_type in _PNG_WITH_COLOUR
        and png.content(data, b"tRNS", before_pixels=True) is not None
    )
    return ImageHeader(width, height, may_have_alpha=has_alpha or hidden, is_plain=is_plain)


def _jpeg(data: bytes) -> ImageHeader | None:
    at = 2
    while match := _JPEG_MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker in _JPEG_FRAMES:
            height, width = _JPEG_SHAPE.unpack_from(data, at + 3)
            # Within a scan the marker's first byte never stands before its second.
            scans = data.count(_JPEG_SCAN, at)
            return ImageHeader(width, height, may_have_alpha=False, passes=scans)
        if marker in _JPEG_PIXELS:
            return None
        if marker not in _JPEG_BARE:
            at += int(_JPEG_LENGTH.unpack_from(data, at)[0])
    return None


def _tiff(data: bytes) -> ImageHeader | None:
    values = tiff.fields(data)
    if values is None:
        return None
    return ImageHeader(
        values.get(tiff.WIDTH, 0),
        values.get(tiff.HEIGHT, 0),
        may_have_alpha=True,
        is_grey_alpha_tiff=values.get(tiff.SAMPLES, 1) == 2,
        unit_pixels=abs(values.get(tiff.TILE_WIDTH, 0) * values.get(tiff.TILE_HEIGHT, 0)),
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
