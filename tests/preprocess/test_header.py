"""Sizes come from the header alone and agree with the decoders, whatever the bytes are."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vin_batch.preprocess.header import read_header
from vin_batch.preprocess.png import grey_transparency

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
SIGNATURES = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM",
    b"RIFF\0\0\0\0WEBPVP8 ", b"RIFF\0\0\0\0WEBPVP8L", b"RIFF\0\0\0\0WEBPVP8X",
)  # fmt: skip


def saved(format_: str, mode: str, size: tuple[int, int], **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, format_, **options)
    return buffer.getvalue()


@given(st.sampled_from(FORMATS), st.integers(1, 300), st.integers(1, 300))
def test_every_format_tells_its_size(format_: str, width: int, height: int) -> None:
    header = read_header(saved(format_, "RGB", (width, height)))
    assert header is not None
    assert (header.width, header.height) == (width, height)


@pytest.mark.parametrize(
    "data",
    [
        saved("JPEG", "L", (70, 50), progressive=True),
        saved("JPEG", "L", (70, 50), exif=b"Exif\0\0" + b"\xff\xc0\0\x0b\x08\0\1\0\1" * 9),
        saved("TIFF", "L", (70, 50), big_tiff=True),
        saved("TIFF", "1", (70, 50), compression="group4"),
        saved("WEBP", "RGBA", (70, 50), lossless=True),
        saved("WEBP", "RGB", (70, 50), lossless=True),
        saved("WEBP", "RGB", (70, 50), save_all=True, append_images=[Image.new("RGB", (70, 50))]),
        b"BM" + struct.pack("<IHHIIHHHH", 0, 0, 0, 26, 12, 70, 50, 1, 24),
        b"BM" + struct.pack("<IHHIIiiHH", 0, 0, 0, 54, 40, 70, -50, 1, 8),
        b"MM\0*" + struct.pack(">IHHHIHHHHIHH", 8, 2, 256, 3, 1, 70, 0, 257, 3, 1, 50, 0),
        b"MM\0*" + struct.pack(">IHHHIIHHII", 8, 2, 257, 4, 1, 50, 256, 4, 1, 70),
    ],
)  # fmt: skip
def test_less_common_layouts(data: bytes) -> None:
    header = read_header(data)
    assert header is not None
    assert (header.width, header.height) == (70, 50)


@pytest.mark.parametrize(
    ("data", "alpha"),
    [
        (saved("PNG", "L", (9, 9)), False),
        (saved("PNG", "P", (9, 9)), False),
        (saved("PNG", "P", (9, 9), transparency=0), True),
        (saved("PNG", "RGB", (9, 9), transparency=(0, 0, 0)), True),
        (saved("PNG", "LA", (9, 9)), True),
        (saved("PNG", "RGBA", (9, 9)), True),
        (saved("JPEG", "L", (9, 9)), False),
        (saved("BMP", "RGB", (9, 9)), False),
    ],
)
def test_alpha_is_expected_where_the_file_can_hold_it(data: bytes, alpha: bool) -> None:
    header = read_header(data)
    assert header is not None
    assert header.may_have_alpha is alpha


def test_two_samples_are_told_from_one_and_from_four() -> None:
    kinds = {"L": False, "LA": True, "RGBA": False}
    for mode, expected in kinds.items():
        header = read_header(saved("TIFF", mode, (9, 9)))
        assert header is not None
        assert header.is_grey_alpha_tiff is expected


def test_transparent_level_of_grey() -> None:
    assert grey_transparency(saved("PNG", "L", (9, 9), transparency=77)) == 77
    assert grey_transparency(saved("PNG", "1", (9, 9), transparency=1)) == 255
    assert grey_transparency(saved("PNG", "I;16", (9, 9), transparency=3000)) == 3000
    assert grey_transparency(saved("PNG", "L", (9, 9))) is None
    assert grey_transparency(saved("PNG", "RGB", (9, 9), transparency=(1, 2, 3))) is None
    assert grey_transparency(saved("JPEG", "L", (9, 9))) is None


@pytest.mark.parametrize("format_", FORMATS)
def test_a_size_of_zero_is_no_image(format_: str) -> None:
    whole = saved(format_, "L", (0x51, 0x53))
    assert read_header(whole) is not None
    fields = {
        "PNG": (struct.pack(">I", 0x51), bytes(4)),
        "JPEG": (struct.pack(">H", 0x51), bytes(2)),
        "TIFF": (struct.pack("<HHIH", 256, 4, 1, 0x51), struct.pack("<HHIH", 256, 4, 1, 0)),
        "BMP": (struct.pack("<i", 0x51), bytes(4)),
        "WEBP": (struct.pack("<H", 0x51), bytes(2)),
    }
    old, new = fields[format_]
    assert old in whole
    assert read_header(whole.replace(old, new, 1)) is None


@given(st.binary(max_size=300))
def test_other_bytes_are_no_image(data: bytes) -> None:
    if not data.startswith((*SIGNATURES[:7], b"\xff\xd8", b"RIFF")):
        assert read_header(data) is None


@given(st.sampled_from(SIGNATURES), st.binary(max_size=200))
def test_damaged_headers_never_raise(signature: bytes, rest: bytes) -> None:
    header = read_header(signature + rest)
    assert header is None or (header.width > 0 and header.height > 0)


@given(st.sampled_from(FORMATS), st.data())
def test_changed_bytes_of_a_header_never_raise(format_: str, data: st.DataObject) -> None:
    whole = bytearray(saved(format_, "L", (13, 11), big_tiff=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(whole), 160) - 1))
        whole[place] = data.draw(st.sampled_from((0, 1, 127, 255)))
    header = read_header(bytes(whole))
    assert header is None or header.width > 0


def test_a_long_run_of_fill_bytes_costs_nothing() -> None:
    assert read_header(b"\xff\xd8" + b"\xff" * 5_000_000) is None
    assert read_header(b"\xff\xd8" + b"\xff\x00" * 2_000_000) is None
