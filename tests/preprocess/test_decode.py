"""Every kind of file of the archive contract becomes grey, or a value that says why not."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import NoReturn

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from vin_batch.preprocess.decode import MAX_PIXELS, decode_grey
from vin_batch.records import BoxIssue

Grey = NDArray[np.uint8]
PAPER, INK, PENCIL = 240, 20, 90


def stroke() -> Grey:
    """A dark and a lighter stroke on paper."""
    grey = np.full((48, 40), PAPER, np.uint8)
    grey[8:40, 18:22] = INK
    grey[8:12, 10:30] = PENCIL
    return grey


GREY = stroke()
ON_WHITE = np.where(GREY < 200, GREY, 255).astype(np.uint8)
"""The strokes on a paper that is not there."""
HIDDEN = np.where(GREY < 200, GREY, 0).astype(np.uint8)
"""The strokes as image editors store them: black where nothing is to be seen."""
ALPHA = np.where(GREY < 200, 255, 0).astype(np.uint8)
STRETCHED = np.rint((GREY - float(INK)) / (PAPER - INK) * 255).astype(np.uint8)
BILEVEL = np.where(GREY > 128, 255, 0).astype(np.uint8)


def saved(format_: str, image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def encoded(suffix: str, pixels: NDArray[np.generic], *flags: int) -> bytes:
    return bytes(cv2.imencode(suffix, pixels, list(flags))[1])


def picture(pixels: NDArray[np.generic] = GREY, mode: str | None = None) -> Image.Image:
    image = Image.fromarray(pixels)
    return image.convert(mode) if mode else image


GREY_ALPHA = Image.fromarray(np.dstack([HIDDEN, ALPHA]))
COLOUR_ALPHA = Image.fromarray(np.dstack([HIDDEN, HIDDEN, HIDDEN, ALPHA]))
DEEP = (GREY * np.uint16(257)).astype(np.uint16)
DEEP_ALPHA = np.dstack([HIDDEN, HIDDEN, HIDDEN, ALPHA]) * np.uint16(257)
REAL = (GREY / np.float32(255)).astype(np.float32)
OTHER_PAGE = Image.new("L", (99, 77), 60)


def hollow(value: float) -> NDArray[np.float32]:
    pixels = REAL.copy()
    pixels[0, 0] = value
    return pixels


def palette_with_hole() -> bytes:
    image = Image.fromarray(np.select([GREY < 50, GREY < 200], [1, 2], 0).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, INK, INK, INK, PENCIL, PENCIL, PENCIL])
    return saved("PNG", image, transparency=0)


CASES: dict[str, tuple[bytes, Grey]] = {
    **{f"{name} grey": (saved(name, picture()), GREY) for name in ("PNG", "TIFF", "BMP")},
    **{
        f"{name} colour": (saved(name, picture(mode="RGB")), GREY)
        for name in ("PNG", "TIFF", "BMP")
    },
    **{
        f"{name} palette": (saved(name, picture(mode="RGB").quantize(8)), GREY)
        for name in ("PNG", "TIFF", "BMP")
    },
    **{
        f"{name} 1-bit": (saved(name, picture(BILEVEL, "1")), BILEVEL)
        for name in ("PNG", "TIFF", "BMP")
    },
    **{f"{name} alpha": (saved(name, COLOUR_ALPHA), ON_WHITE) for name in ("PNG", "TIFF")},
    **{f"{name} grey alpha": (saved(name, GREY_ALPHA), ON_WHITE) for name in ("PNG", "TIFF")},
    "TIFF grey alpha lzw": (saved("TIFF", GREY_ALPHA, compression="tiff_lzw"), ON_WHITE),
    "BMP alpha": (encoded(".bmp", np.asarray(COLOUR_ALPHA)), ON_WHITE),
    "BMP 32 bits without alpha": (saved("BMP", picture(mode="RGBA")), GREY),
    "PNG palette with hole": (palette_with_hole(), ON_WHITE),
    "PNG grey with hole": (saved("PNG", picture(HIDDEN), transparency=0), ON_WHITE),
    "PNG 1-bit with hole": (
        saved("PNG", picture(np.zeros((9, 9), np.uint8), "1"), transparency=0),
        np.full((9, 9), 255, np.uint8),
    ),
    "PNG colour with hole": (
        saved("PNG", picture(HIDDEN, "RGB"), transparency=(0, 0, 0)), ON_WHITE,
    ),
    "PNG 16-bit": (saved("PNG", picture(DEEP)), STRETCHED),
    "PNG 10 bits in 16": (saved("PNG", picture(GREY * np.uint16(4))), STRETCHED),
    "PNG 16-bit colour": (encoded(".png", cv2.merge([DEEP] * 3)), STRETCHED),
    "PNG 16-bit alpha": (encoded(".png", DEEP_ALPHA), np.rint((ON_WHITE - 20.0) / 235 * 255)),
    "TIFF 16-bit alpha": (encoded(".tif", DEEP_ALPHA), np.rint((ON_WHITE - 20.0) / 235 * 255)),
    "TIFF 16-bit": (saved("TIFF", picture(DEEP)), STRETCHED),
    "TIFF 32-bit": (saved("TIFF", picture(GREY * np.int32(1000))), STRETCHED),
    "TIFF float": (saved("TIFF", picture(REAL)), STRETCHED),
    "TIFF double": (encoded(".tif", REAL.astype(np.float64)), STRETCHED),
    "TIFF not a number": (saved("TIFF", picture(hollow(np.nan))), STRETCHED),
    "TIFF infinite": (saved("TIFF", picture(hollow(-np.inf))), STRETCHED),
    "TIFF CMYK": (saved("TIFF", picture(mode="RGB").convert("CMYK")), GREY),
    "TIFF white is zero": (saved("TIFF", picture(), tiffinfo={262: 0}), GREY),
    "TIFF fax white is zero": (
        saved("TIFF", picture(BILEVEL, "1"), compression="group4", tiffinfo={262: 0}), BILEVEL,
    ),
    "TIFF pages": (saved("TIFF", picture(), save_all=True, append_images=[OTHER_PAGE]), GREY),
    "TIFF big": (saved("TIFF", picture(), big_tiff=True), GREY),
    **{
        f"TIFF {name}": (saved("TIFF", picture(), compression=name), GREY)
        for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits")
    },
    "WEBP lossless": (saved("WEBP", picture(mode="RGB"), lossless=True), GREY),
    "WEBP alpha": (saved("WEBP", COLOUR_ALPHA, lossless=True), ON_WHITE),
    "PNG animated": (saved("PNG", picture(), save_all=True, append_images=[picture(HIDDEN)]), GREY),
    "WEBP animated": (
        saved("WEBP", picture(mode="RGB"), save_all=True, lossless=True,
              append_images=[picture(HIDDEN, "RGB")]), GREY,
    ),
    "PNG with more behind it": (saved("PNG", picture()) + b"more", GREY),
}  # fmt: skip

LOSSY: dict[str, bytes] = {
    "JPEG grey": saved("JPEG", picture(), quality=95),
    "JPEG colour": saved("JPEG", picture(mode="RGB"), quality=95),
    "JPEG progressive": saved("JPEG", picture(), quality=95, progressive=True),
    "JPEG CMYK": saved("JPEG", picture(mode="RGB").convert("CMYK"), quality=95),
    "JPEG pages": saved(
        "MPO", picture(mode="RGB"), quality=95, save_all=True, append_images=[OTHER_PAGE]
    ),
    "JPEG with more behind it": saved("JPEG", picture(), quality=95) + bytes(500),
    "WEBP lossy": saved("WEBP", picture(mode="RGB"), quality=95),
    "TIFF jpeg": saved("TIFF", picture(), compression="jpeg", quality=95),
}


def whole(data: bytes) -> Grey:
    decoded = decode_grey(data)
    assert not isinstance(decoded, BoxIssue), decoded
    assert decoded.dtype == np.uint8
    return decoded


@pytest.mark.parametrize("name", CASES)
def test_lossless_files_give_their_pixels(name: str) -> None:
    data, expected = CASES[name]
    decoded = whole(data)
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files_give_nearly_their_pixels(name: str) -> None:
    decoded = whole(LOSSY[name])
    assert decoded.shape == GREY.shape
    assert np.abs(decoded.astype(int) - GREY.astype(int)).mean() < 3


def test_colour_ink_becomes_darker_than_paper() -> None:
    colour = np.full((30, 30, 3), 250, np.uint8)
    colour[10:20, 10:20] = (20, 40, 160)
    for data in (saved("PNG", picture(colour)), saved("JPEG", picture(colour), quality=95)):
        decoded = whole(data)
        assert decoded[2, 2] > 240
        assert decoded[15, 15] < 70


def strips(rows: int = 96) -> Image.Image:
    """Enough rows for several strips, none like the other, all with ink."""
    noise = np.random.default_rng(0).integers(0, 120, (rows, 80), dtype=np.uint8)
    return Image.fromarray(noise)


TORN: dict[str, bytes] = {
    **{name: data for name, (data, _) in CASES.items() if "more" not in name},
    **{name: data for name, data in LOSSY.items() if "more" not in name},
    "strips": saved("TIFF", strips(), strip_size=1024),
    **{
        f"strips {name}": saved("TIFF", strips(), compression=name, strip_size=1024)
        for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    },
    "strips colour": saved("TIFF", strips().convert("RGB"), strip_size=1024),
    "strips grey alpha": saved("TIFF", strips().convert("LA"), strip_size=1024),
    "strips cv2": encoded(".tif", np.asarray(strips())),
    "rows cv2": encoded(".tif", np.asarray(strips()), cv2.IMWRITE_TIFF_ROWSPERSTRIP, 4),
}


@pytest.mark.parametrize("name", TORN)
def test_a_torn_file_never_gives_half_an_image(name: str) -> None:
    data = TORN[name]
    expected = whole(data)
    step = max(1, len(data) // 120)
    refused = 0
    for cut in (*range(1, len(data), step), *range(max(1, len(data) - 6), len(data))):
        decoded = decode_grey(data[:cut])
        if isinstance(decoded, BoxIssue):
            assert decoded is BoxIssue.UNDECODABLE
            refused += 1
        else:
            # Padding, or pages after the first, may be lost without harm.
            assert np.array_equal(decoded, expected), f"half an image from {cut} bytes"
    assert refused > 10


@pytest.mark.parametrize("name", ["PNG grey", "JPEG grey", "JPEG progressive", "WEBP lossless"])
def test_a_file_whose_end_was_never_written_is_refused(name: str) -> None:
    data = CASES[name][0] if name in CASES else LOSSY[name]
    for cut in range(len(data) // 3, len(data) - 12, max(1, len(data) // 40)):
        assert decode_grey(data[:cut] + bytes(len(data) - cut)) is BoxIssue.UNDECODABLE


def test_no_bytes_and_no_image() -> None:
    assert decode_grey(b"") is BoxIssue.EMPTY_FILE
    for data in (b"\0" * 100, b"hello", b"<svg/>", saved("GIF", picture()), b"BM", b"\xff\xd8"):
        assert decode_grey(data) is BoxIssue.UNDECODABLE


@given(st.binary(min_size=1, max_size=500))
def test_random_bytes_are_undecodable(data: bytes) -> None:
    assert decode_grey(data) is BoxIssue.UNDECODABLE


@given(st.sampled_from(sorted(CASES)), st.data())
def test_changed_bytes_never_raise(name: str, data: st.DataObject) -> None:
    changed = bytearray(CASES[name][0])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    decoded = decode_grey(bytes(changed))
    if not isinstance(decoded, BoxIssue):
        assert decoded.ndim == 2
        assert decoded.dtype == np.uint8
        assert 0 < decoded.size <= MAX_PIXELS


def test_huge_values_of_floating_point_do_not_overflow() -> None:
    pixels = np.full((8, 8), 1e308)
    pixels[2, 2], pixels[4, 4] = -1e308, np.nan
    decoded = whole(encoded(".tif", pixels))
    assert decoded[0, 0] == 255
    assert decoded[2, 2] == 0
    assert decoded[4, 4] == 255
    assert whole(encoded(".tif", np.full((8, 8), np.nan))).shape == (8, 8)


def png_header(width: int, height: int) -> bytes:
    """A small PNG that says that it is large."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = zlib.compress(bytes((width + 1) * min(height, 40)))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg_header(width: int, height: int) -> bytes:
    small = saved("JPEG", Image.new("L", (16, 16)))
    frame = small.index(b"\xff\xc0")
    return small[: frame + 5] + struct.pack(">HH", height, width) + small[frame + 9 :]


def tiff_header(width: int, height: int) -> bytes:
    entries = struct.pack("<HHII", 256, 4, 1, width) + struct.pack("<HHII", 257, 4, 1, height)
    return b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(40)


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHH", 54, 0, 0, 54, 40, width, -height, 1, 8) + bytes(24)


def webp_header(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + size


@pytest.mark.parametrize("header", [png_header, jpeg_header, tiff_header, bmp_header, webp_header])
@pytest.mark.parametrize("size", [(30_000, 30_000), (1, 4_000_001), (60_000, 67)])
def test_a_small_file_that_says_it_is_huge_is_not_decoded(
    header: Callable[[int, int], bytes], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoded(*_: object) -> NoReturn:
        raise AssertionError("unfolded")

    monkeypatch.setattr(cv2, "imdecode", decoded)
    if header is jpeg_header and max(size) > 0xFFFF:
        size = (65_000, 62)
    data = header(*size)
    assert len(data) < 10_000
    assert decode_grey(data) is BoxIssue.OVERSIZED


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_any_proportion_is_decoded(suffix: str, shape: tuple[int, int]) -> None:
    decoded = whole(encoded(suffix, np.full(shape, 200, np.uint8)))
    assert decoded.shape == shape
    assert np.abs(decoded.astype(int) - 200).max() <= 3


def test_the_largest_crop_is_still_decoded() -> None:
    at_limit = np.full((MAX_PIXELS // 2000, 2000), 255, np.uint8)
    assert whole(encoded(".png", at_limit)).shape == at_limit.shape
    beyond = np.full((MAX_PIXELS // 2000 + 1, 2000), 255, np.uint8)
    assert decode_grey(encoded(".png", beyond)) is BoxIssue.OVERSIZED


def test_torn_files_write_nothing_about_themselves(capfd: pytest.CaptureFixture[str]) -> None:
    """A million torn boxes must not write a million lines into the log of a night."""
    for name in ("JPEG grey", "WEBP lossy"):
        assert decode_grey(LOSSY[name][:-20]) is BoxIssue.UNDECODABLE
    for name in ("TIFF grey", "TIFF tiff_lzw", "BMP grey", "PNG grey"):
        assert decode_grey(CASES[name][0][:-40]) is BoxIssue.UNDECODABLE
    said = capfd.readouterr().err.splitlines()
    assert [line for line in said if not line.startswith("libpng error")] == []
