"""Files whose end was never written.

After a power cut, or in a copy that stopped, a file may have its full length and zeros from
some page of it on. PNG has checksums; the decoders of the other formats often give a picture
whose rest is black or smeared, which must not be read as if it were whole.
"""

from __future__ import annotations

from typing import Final

from vin_batch.preprocess import riff, tiff

PAGE: Final = 4096
"""Bytes; files are written to disk in pages, so that what was lost begins at one."""
SECTOR: Final = 512
_JPEG: Final = b"\xff\xd8"
_JPEG_SCAN: Final = b"\xff\xda"
_JPEG_END: Final = b"\xff\xd9"
MIN_LOST: Final = 64
"""Bytes; fewer zeros than this may well be the end of a whole file."""


def has_lost_tail(data: bytes) -> bool:
    """Tell whether the end of a file was lost where no checksum tells.

    Zeros are also black ink, the paper of an inverted scan, and padding behind a whole file:
    they count as lost only where a JPEG has no end before them, or where they begin exactly
    at a page and the rest of the file is mostly not zero.

    Args:
        data: Any image file.
    """
    zeros = len(data) - len(data.rstrip(b"\0"))
    begin = len(data) - zeros
    if zeros < MIN_LOST:
        return False
    if data.startswith(_JPEG):
        return data.find(_JPEG_END, data.rfind(_JPEG_SCAN)) < 0
    if data.startswith((b"BM", *tiff.SIGNATURES)):
        return begin % PAGE == 0 and data.count(0, 0, begin) < begin / 2
    return riff.is_webp(data) and _is_webp_torn(data, begin)


def _is_webp_torn(data: bytes, begin: int) -> bool:
    # An arithmetic coder's output has no such runs, so that a sector's end will do for it.
    for kind, boundary in ((b"VP8 ", SECTOR), (b"VP8L", PAGE)):
        pixels = riff.span(data, kind)
        if pixels and begin < pixels[1] and begin % boundary == 0:
            return True
    return False
