"""Every kind of hostile image file, and what must become of it.

``FILES`` is the whole corpus: a name, the bytes, and the expected outcome. Most specimens are
made from a healthy crop, so that a test can say of those that are strange but whole that they
read exactly as the crop does.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hostile import formats
from hostile.formats import HUGE, encoded, grey_tiff, oriented, saved
from vin_batch.preprocess.decode import MAX_PASSES
from vin_batch.preprocess.lost_tail import PAGE
from vin_batch.records import BoxIssue

Grey = NDArray[np.uint8]
Make = Callable[[Grey], bytes]


@dataclass(frozen=True, slots=True)
class HostileFile:
    """One specimen.

    Attributes:
        name: What is the matter with it.
        suffix: Of its file name, with the dot.
        make: Its bytes, from a healthy crop ``uint8[h, w]``, dark ink on light paper.
        issue: What the preprocessing must say; ``NONE`` where it must read as the crop does.
    """

    name: str
    suffix: str
    make: Make
    issue: BoxIssue


def specimens() -> Iterator[HostileFile]:
    """The corpus, family by family."""
    for issue, family in (
        (BoxIssue.EMPTY_FILE, {"empty.png": lambda _: b""}),
        (BoxIssue.UNDECODABLE, _NO_IMAGES | _torn() | _DAMAGED),
        (BoxIssue.OVERSIZED, _BOMBS),
        (BoxIssue.BLOT, _slivers()),
        (BoxIssue.BLANK, _EMPTY_PICTURES),
        (BoxIssue.NONE, _STRANGE | _turned() | _HARMLESS_BOMBS),
    ):
        for name, make in family.items():
            stem, dot, suffix = name.rpartition(".")
            yield HostileFile(stem, dot + suffix, make, issue)


def _picture(grey: Grey, mode: str = "L") -> Image.Image:
    return Image.fromarray(grey).convert(mode)


def _png(grey: Grey) -> bytes:
    return saved("PNG", _picture(grey))


def _large(grey: Grey) -> Grey:
    """The crop at 600 dpi, with the grain of the paper: files of many pages."""
    large = np.asarray(cv2.resize(grey, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))
    grain = np.random.default_rng(0).normal(0, 6, large.shape)
    return np.asarray(np.clip(large + grain, 0, 255), np.uint8)


def _alpha(grey: Grey) -> Image.Image:
    """Ink on a paper that is not there."""
    ink = np.where(grey < 150, 255, 0).astype(np.uint8)
    return Image.fromarray(np.dstack([np.where(ink, grey, 0).astype(np.uint8)] * 3 + [ink]))


def _hollow_palette(grey: Grey) -> bytes:
    image = Image.fromarray((grey < 150).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 30, 30, 30])
    return saved("PNG", image, transparency=0)


def _bilevel(grey: Grey) -> Image.Image:
    return Image.fromarray(np.where(grey < 150, 0, 255).astype(np.uint8)).convert("1")


def _real(grey: Grey, value: float) -> bytes:
    pixels = (grey / np.float32(255)).astype(np.float32)
    pixels[0, :3] = value
    return saved("TIFF", Image.fromarray(pixels))


def _noise(size: int, start: bytes = b"") -> Make:
    body = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    return lambda _: start + body


_WHOLE: Final[dict[str, Make]] = {
    "png": _png,
    "jpg": lambda g: saved("JPEG", _picture(g), quality=95),
    "tif": lambda g: saved("TIFF", _picture(g)),
    "lzw.tif": lambda g: saved("TIFF", _picture(g), compression="tiff_lzw"),
    "bmp": lambda g: saved("BMP", _picture(g)),
    "webp": lambda g: saved("WEBP", _picture(g, "RGB"), quality=90),
    "lossless.webp": lambda g: saved("WEBP", _picture(g, "RGB"), lossless=True),
}

_NO_IMAGES: Final[dict[str, Make]] = {
    "zeros.png": lambda _: bytes(5000),
    "text.jpg": lambda _: b"this is no image\n" * 40,
    "page.png": lambda _: b"<!doctype html><title>404 Not Found</title>",
    "drawing.png": lambda _: b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "gif.png": lambda g: saved("GIF", _picture(g)),
    "animated gif.webp": lambda g: saved(
        "GIF", _picture(g), save_all=True, append_images=[_picture(255 - g)]
    ),
    "jpeg 2000.jpg": lambda g: encoded(".jp2", g),
    "packed.png": lambda g: gzip.compress(_png(g), mtime=0),
    "document.tif": lambda _: b"%PDF-1.7\n" + b"0 0 obj\n" * 50,
    "program.bmp": lambda _: b"MZ" + bytes(400),
    "signature.png": lambda _: formats.PNG_SIGNATURE,
    "signature.jpg": lambda _: b"\xff\xd8\xff",
    "signature.tif": lambda _: b"II*\0",
    "signature.bmp": lambda _: b"BM",
    "signature.webp": lambda _: b"RIFF\xff\xff\xff\xffWEBPVP8 ",
    "noise.png": _noise(3000),
    "noise in it.png": _noise(3001, formats.PNG_SIGNATURE),
    "noise in it.jpg": _noise(3002, b"\xff\xd8\xff\xe0"),
    "noise in it.tif": _noise(3003, b"II*\0\x08\0\0\0"),
    "noise in it.bmp": _noise(3004, b"BM"),
    "noise in it.webp": _noise(3005, b"RIFF\0\x20\0\0WEBPVP8 "),
}  # fmt: skip


def _torn() -> dict[str, Make]:
    """Files that end in the middle, or whose end is zeros from a page of the disk on."""
    torn: dict[str, Make] = {}
    for name, make in _WHOLE.items():
        torn[f"half.{name}"] = lambda g, make=make: (d := make(_large(g)))[: len(d) // 2]  # type: ignore[misc]
        torn[f"no end.{name}"] = lambda g, make=make: _without_end(make(_large(g)))  # type: ignore[misc]
    return torn


def _without_end(data: bytes) -> bytes:
    written = max(PAGE, len(data) // 2 // PAGE * PAGE)
    assert len(data) > written + PAGE // 8, "too small a file to lose a page"
    return data[:written] + bytes(len(data) - written)


def _flipped(grey: Grey) -> bytes:
    data = bytearray(_png(grey))
    data[len(data) // 2] ^= 0x10
    return bytes(data)


def _damaged_animation(grey: Grey) -> bytes:
    data = _STRANGE["animated.png"](grey)
    return data[: data.index(b"fdAT") - 4] + struct.pack(">I", 9) + b"fd\1T" + bytes(400)


_DAMAGED: Final[dict[str, Make]] = {
    "one bit.png": _flipped,
    "no width.png": lambda g: formats.resized(_png(g), 0, g.shape[0]),
    "too few rows.png": lambda g: formats.resized(_png(g), g.shape[1], 2000),
    "pixels of a gigabyte.png": lambda g: (
        _png(g)[:33] + struct.pack(">I", 2**30) + b"IDAT" + _png(g)[41:]
    ),
    "no pixels.png": lambda g: _png(g)[:33] + _png(g)[-12:],
    "damaged animation.png": _damaged_animation,
    "text of a gigabyte.png": lambda g: (
        _png(g)[:33] + struct.pack(">I", 2**30) + b"tEXt" + _png(g)[33:]
    ),
    "width is text.tif": lambda g: grey_tiff(g, (256, 2, 1, 64)),
    "width is a list.tif": lambda g: grey_tiff(g, (256, 4, 9, 8)),
    "two samples that are none.tif": lambda g: grey_tiff(g, (277, 3, 1, 60_000)),
    "strips without end.tif": lambda g: grey_tiff(g, (273, 4, 2**28, 8), (278, 4, 1, 1)),
    "data beyond the end.tif": lambda g: grey_tiff(g, (273, 4, 1, 2**31)),
}


def _huge_tile(grey: Grey) -> bytes:
    return grey_tiff(
        grey, (322, 4, 1, 16_000), (323, 4, 1, 16_000), (324, 4, 1, 8), (325, 4, 1, grey.size)
    )


def _deep_tiff(_: Grey) -> bytes:
    return encoded(".tif", np.zeros((1100, 1100, 4), np.float64))


def _bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHI", 54, 0, 0, 54, 40, width, height, 1, 8, 1) + bytes(900)


def _frame(width: int, height: int, grey: Grey) -> bytes:
    data = saved("JPEG", _picture(grey))
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def _vp8x(grey: Grey) -> bytes:
    size = (16_383).to_bytes(3, "little") * 2
    return b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + size + _WHOLE["webp"](grey)[12:]


def _vp8(grey: Grey) -> bytes:
    data = bytearray(_WHOLE["webp"](grey))
    data[26:30] = struct.pack("<HH", 16_383, 16_383)
    return bytes(data)


_BOMBS: Final[dict[str, Make]] = {
    "huge.png": lambda _: formats.huge_png(),
    "huge header.png": lambda g: formats.resized(_png(g), HUGE, HUGE),
    "wide.png": lambda g: formats.resized(_png(g), 4_000_001, 1),
    "huge header.jpg": lambda g: _frame(65_000, 65_000, g),
    "many scans.jpg": lambda g: formats.many_scans(g, MAX_PASSES + 1, 400),
    "huge header.tif": lambda g: grey_tiff(g, (256, 4, 1, HUGE), (257, 4, 1, HUGE)),
    "huge signed width.tif": lambda g: grey_tiff(
        g, (256, 9, 1, HUGE), (256, 4, 1, g.shape[1]), (257, 9, 1, HUGE), (257, 4, 1, g.shape[0])
    ),
    "huge tile.tif": _huge_tile,
    "double precision.tif": _deep_tiff,
    "huge header.bmp": lambda _: _bmp(HUGE, HUGE),
    "upside down.bmp": lambda _: _bmp(HUGE, -(2**31)),
    "huge canvas.webp": _vp8x,
    "huge frame.webp": _vp8,
}


def _slivers() -> dict[str, Make]:
    """Images of one pixel, one row, one column."""
    chequered = np.tile(np.array([[20, 240], [240, 20]], np.uint8), (2500, 2500))
    return {
        f"{width} x {height}{suffix}": (
            lambda _, w=width, h=height, s=suffix: encoded(s, chequered[:h, :w])  # type: ignore[misc]
        )
        for width, height in ((1, 1), (1, 5000), (5000, 1))
        for suffix in (".png", ".jpg", ".tif", ".bmp", ".webp")
    }


_EMPTY_PICTURES: Final[dict[str, Make]] = {
    "white.png": lambda g: encoded(".png", np.full_like(g, 255)),
    "black.png": lambda g: encoded(".png", np.zeros_like(g)),
    "transparent.png": lambda g: saved("PNG", Image.new("RGBA", g.shape[::-1])),
    "not a single number.tif": lambda g: encoded(".tif", np.full(g.shape, np.nan, np.float32)),
    "infinity.tif": lambda g: encoded(".tif", np.full(g.shape, np.inf, np.float32)),
}

_STRANGE: Final[dict[str, Make]] = {
    "jpeg.png": _WHOLE["jpg"],
    "png.jpg": _png,
    "tiff.bmp": _WHOLE["tif"],
    "upper case.PNG": _png,
    "16 bits.png": lambda g: encoded(".png", g * np.uint16(257)),
    "10 bits in 16.png": lambda g: encoded(".png", g * np.uint16(4)),
    "16 bits.tif": lambda g: encoded(".tif", g * np.uint16(257)),
    "1 bit.png": lambda g: saved("PNG", _bilevel(g)),
    "fax.tif": lambda g: saved("TIFF", _bilevel(g), compression="group4"),
    "cmyk.jpg": lambda g: saved("JPEG", _picture(g, "RGB").convert("CMYK"), quality=95),
    "cmyk.tif": lambda g: saved("TIFF", _picture(g, "RGB").convert("CMYK")),
    "progressive.jpg": lambda g: saved("JPEG", _picture(g), quality=95, progressive=True),
    "alpha.png": lambda g: saved("PNG", _alpha(g)),
    "alpha.tif": lambda g: saved("TIFF", _alpha(g)),
    "alpha.webp": lambda g: saved("WEBP", _alpha(g), lossless=True),
    "palette with alpha.png": _hollow_palette,
    "animated.png": lambda g: saved(
        "PNG", _picture(g), save_all=True, append_images=[_picture(255 - g)]
    ),
    "animated.webp": lambda g: saved(
        "WEBP", _picture(g, "RGB"), save_all=True, lossless=True,
        append_images=[_picture(np.full_like(g, 255), "RGB")],
    ),
    "pages.tif": lambda g: saved(
        "TIFF", _picture(g), save_all=True, append_images=[Image.new("L", (900, 700), 9)]
    ),
    "pages in a circle.tif": lambda g: grey_tiff(g, after=8 + g.size),
    "not a number.tif": lambda g: _real(g, np.nan),
    "infinite.tif": lambda g: _real(g, -np.inf),
    "negative.bmp": lambda g: encoded(".bmp", 255 - g),
    "more behind it.png": lambda g: _png(g) + b"PK\3\4" * 500,
}  # fmt: skip


def _turned() -> dict[str, Make]:
    """Pictures that lie in one of eight ways, and say so."""
    turned: dict[str, Make] = {}
    for number in range(1, 9):
        turned[f"turned {number}.jpg"] = lambda g, n=number: oriented(  # type: ignore[misc]
            "JPEG", _picture(g), n, quality=95
        )
        turned[f"turned {number}.png"] = lambda g, n=number: oriented("PNG", _picture(g), n)  # type: ignore[misc]
        turned[f"turned {number} alpha.png"] = lambda g, n=number: oriented("PNG", _alpha(g), n)  # type: ignore[misc]
        turned[f"turned {number}.tif"] = lambda g, n=number: oriented("TIFF", _picture(g), n)  # type: ignore[misc]
        turned[f"turned {number}.webp"] = lambda g, n=number: oriented(  # type: ignore[misc]
            "WEBP", _picture(g, "RGB"), n, lossless=True
        )
    return turned


def _profile(size: int) -> bytes:
    return formats.chunk(b"iCCP", b"icc\0\0" + formats.deflated_zeros(size))


def _long_text(size: int) -> bytes:
    return formats.chunk(b"iTXt", b"Comment\0\1\0\0\0" + formats.deflated_zeros(size))


_HARMLESS_BOMBS: Final[dict[str, Make]] = {
    "texts.png": lambda g: formats.inserted(_png(g), *formats.compressed_texts()),
    "texts behind the pixels.png": lambda g: (
        _png(g)[:-12] + b"".join(formats.compressed_texts()) + _png(g)[-12:]
    ),
    "long text.png": lambda g: formats.inserted(_png(g), _long_text(7_000_000)),
    "profile.png": lambda g: formats.inserted(_png(g), _profile(7_000_000)),
    "wrong orientation.png": lambda g: formats.inserted(
        saved("PNG", _alpha(g)),
        formats.chunk(b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x63"),
    ),
}

FILES: Final[dict[str, HostileFile]] = {f"{s.name}{s.suffix}": s for s in specimens()}
