"""Image files put together by hand: what no encoder would write."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HUGE = 30_000
"""Pixels; a side of the images that are small files and would be gigabytes."""


def saved(format_: str, image: Image.Image, **options: object) -> bytes:
    """Encode with Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def encoded(suffix: str, pixels: NDArray[np.generic], *flags: int) -> bytes:
    """Encode with OpenCV."""
    return bytes(cv2.imencode(suffix, pixels, list(flags))[1])


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def inserted(png: bytes, *added: bytes) -> bytes:
    """A PNG file with more chunks after its header."""
    return png[:33] + b"".join(added) + png[33:]


def resized(png: bytes, width: int, height: int) -> bytes:
    """A PNG file whose header states another size."""
    header = struct.pack(">II", width, height) + png[24:29]
    return PNG_SIGNATURE + chunk(b"IHDR", header) + png[33:]


@cache
def deflated_zeros(size: int) -> bytes:
    """Zeros, compressed a thousandfold."""
    packer, block = zlib.compressobj(9), bytes(2**20)
    pieces = [packer.compress(block) for _ in range(size // len(block))]
    return b"".join([*pieces, packer.compress(bytes(size % len(block))), packer.flush()])


@cache
def huge_png() -> bytes:
    """A whole bilevel PNG of 30,000 x 30,000 pixels, in about 110 KB."""
    rows = deflated_zeros(HUGE * (1 + HUGE // 8))
    header = struct.pack(">IIBBBBB", HUGE, HUGE, 1, 0, 0, 0, 0)
    return PNG_SIGNATURE + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    )


@cache
def compressed_texts() -> tuple[bytes, ...]:
    """Nearly a thousand PNG chunks of 7 MB of text each: 7 GB in 7 MB of file."""
    text = chunk(b"zTXt", b"Comment\0\0" + deflated_zeros(7_000_000))
    return (text,) * 990


def tiff(fields: Sequence[tuple[int, int, int, int]], data: bytes = b"", after: int = 0) -> bytes:
    """A little-endian TIFF file of one directory.

    Args:
        fields: Tag, type, count, and value (or offset) as 32 bits.
        data: What stands between header and directory, from byte 8 on.
        after: Offset of the next directory.
    """
    directory = b"".join(
        struct.pack("<HHI", tag, kind, count) + struct.pack("<I", value & 0xFFFFFFFF)
        for tag, kind, count, value in fields
    )
    place = 8 + len(data)
    head = b"II*\0" + struct.pack("<I", place)
    return head + data + struct.pack("<H", len(fields)) + directory + struct.pack("<I", after)


def grey_tiff(
    pixels: NDArray[np.uint8], *more: tuple[int, int, int, int], packed: bytes = b"", after: int = 0
) -> bytes:
    """A TIFF of one strip; ``more`` stands before the usual fields and so outvotes them."""
    height, width = pixels.shape
    data = packed or pixels.tobytes()
    usual = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 8 if packed else 1),
        (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height),
        (279, 4, 1, len(data)),
    ]  # fmt: skip
    given = {field[0] for field in more}
    fields = sorted([*more, *(f for f in usual if f[0] not in given)], key=lambda f: f[0])
    return tiff(fields, data, after)


def many_scans(grey: NDArray[np.uint8], scans: int, side: int) -> bytes:
    """A progressive JPEG that is gone over again and again; a few bytes for every time."""
    size = (side, side * grey.shape[0] // grey.shape[1])
    whole = saved("JPEG", Image.fromarray(grey).resize(size), progressive=True, quality=30)
    begin = whole.rindex(b"\xff\xda")
    return whole[:begin] + whole[begin:-2] * scans + whole[-2:]


def oriented(format_: str, image: Image.Image, orientation: int, **options: object) -> bytes:
    """A file that stores the picture turned and says so: it is to be seen as ``image``."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    turned = image if undo is None else image.transpose(undo)
    if format_ == "TIFF":
        return saved(format_, turned, tiffinfo={274: orientation}, **options)
    exif = Image.Exif()
    exif[274] = orientation
    return saved(format_, turned, exif=exif.tobytes(), **options)
