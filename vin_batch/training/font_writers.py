"""Extra writers for training: a folder of handwriting fonts, each family one writer.

Which families and glyphs are legible is written down in ``font_families.csv``, made by
``vin_batch.training.font_choice``; drawing them needs neither a recogniser nor the network.
The fonts themselves are no part of the package, and a training without them goes on.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vin_batch.errors import UsageError
from vin_batch.training.packs import HELD_OUT_SHARE, GlyphPack
from vin_batch.vin.alphabet import ALPHABET

PACK_NAME: Final = "fonts"
TABLE: Final = "font_families.csv"
CANVAS: Final = 64
"""Side of a drawn glyph's image, in pixels."""
INK_SIDE: Final = 56
"""Longest side of the ink on that canvas, in pixels."""
PEN_RANGE: Final = (0.06, 0.14)
"""Stroke width over the height of a capital, as pens write into boxes of 6 to 7 mm: finer
and broader typefaces are drawn with the nearest of these."""
_CAP_HEIGHT: Final = 192
"""Height of the letter H while rendering, in pixels: outlines come out finer than the canvas."""
_PROBE_SIZE: Final = 400
_NO_CHARACTER: Final = "\uffff"
"""Never a character (Unicode 2.0 and later): fonts show for it what they show for missing ones."""


@dataclass(frozen=True, slots=True)
class FontFamily:
    """One row of the table.

    Attributes:
        family: Name, the file's without weight and suffix.
        licence: SPDX name of its licence, or "unknown".
        glyphs: Characters that are drawn; empty for a family that is left out.
        note: Why it, or some of it, is left out.
    """

    family: str
    licence: str
    glyphs: str
    note: str

    @property
    def writer(self) -> int:
        """Number of this writer: the same whatever else is in the folder."""
        return _digest(self.family) % 2**31

    @property
    def held_out(self) -> bool:
        """Whether nobody trains on it.

        Families of one name, as "playwrite-at" and "playwrite-pl", share shapes; so the first
        word of the name decides.
        """
        return _digest(self.family.split("-")[0]) % 1_000 < 1_000 * HELD_OUT_SHARE


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@cache
def font_families() -> tuple[FontFamily, ...]:
    """The packaged table, in name order."""
    text = files("vin_batch.training").joinpath(TABLE).read_text(encoding="utf-8")
    return tuple(FontFamily(**row) for row in csv.DictReader(text.splitlines()))


def font_files(folder: Path) -> dict[str, Path]:
    """Font files by family, in name order: ``indie-flower-400.woff2`` is ``indie-flower``.

    Raises:
        UsageError: The folder holds none.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix in {".woff2", ".ttf", ".otf"})
    if not paths:
        raise UsageError(
            f"no fonts (*.woff2, *.ttf, *.otf) in {folder}",
            "Name a folder of handwriting fonts, one file for each family.",
        )
    found: dict[str, Path] = {}
    for path in paths:
        name, _, weight = path.stem.rpartition("-")
        found.setdefault(name if weight.isdigit() and name else path.stem, path)
    return found


def font_packs(
    folder: Path, alphabet: str, families: tuple[FontFamily, ...] | None = None
) -> list[GlyphPack]:
    """Draw every wanted glyph of every legible family of a folder.

    Args:
        folder: Folder of fonts; without one, or without a family of the table, nothing is drawn.
        alphabet: Wanted characters. The table knows the digits and both cases of A to Z.
        families: Families and their glyphs; the packaged table when None.

    Returns:
        One pack named ``fonts`` with ``uint8[n, 64, 64]`` images and a writer for each family,
        a tenth of the writers held out; or no pack.

    Raises:
        UsageError: A font cannot be read.
    """
    paths = font_files(folder) if folder.is_dir() else {}
    images, labels, held_out, writers = [], [], [], []
    for row in font_families() if families is None else families:
        wanted = [character for character in alphabet if character in row.glyphs]
        if not wanted or row.family not in paths:
            continue
        pen = FontPen.load(paths[row.family])
        for character in wanted:
            images.append(pen.draw(character))
            labels.append(character)
            held_out.append(row.held_out)
            writers.append(row.writer)
    if not images:
        return []
    return [
        GlyphPack(
            name=PACK_NAME,
            images=np.stack(images),
            labels=np.array(labels),
            held_out=np.array(held_out),
            rows=np.arange(len(labels)),
            writers=np.array(writers, np.int64),
        )
    ]


@dataclass(frozen=True, slots=True)
class FontPen:
    """A typeface and the pen that it is drawn with.

    Attributes:
        font: The typeface, so large that H is ``_CAP_HEIGHT`` high.
        widening: How far every outline is moved outwards, in rendering pixels.
    """

    font: ImageFont.FreeTypeFont
    widening: float

    @staticmethod
    def load(path: Path) -> FontPen:
        """Open a font file and choose its pen.

        Raises:
            UsageError: The file is no font that can be read, or has no capitals.
        """
        try:
            cap_height = _open(path, _PROBE_SIZE).getmask("H").size[1]
            font = _open(path, round(_PROBE_SIZE * _CAP_HEIGHT / cap_height))
        except (OSError, ZeroDivisionError) as error:
            raise UsageError(
                f"cannot read the font {path}: {error}",
                "Remove the file, or fetch it again; WOFF2 needs Pillow from a wheel.",
            ) from error
        width = _stroke_width(font)
        low, high = (share * _CAP_HEIGHT for share in PEN_RANGE)
        return FontPen(font, (float(np.clip(width, low, high)) - width) / 2)

    def shown(self, characters: str) -> str:
        """Those characters that the typeface has: missing ones show nothing, or one sign."""
        missing = _ink(self.font, _NO_CHARACTER)
        inks = {character: _ink(self.font, character) for character in characters}
        return "".join(
            character
            for character, ink in inks.items()
            if ink.any() and not np.array_equal(ink, missing)
        )

    def draw(self, character: str) -> NDArray[np.uint8]:
        """Draw a character with the pen.

        Returns:
            ``uint8[64, 64]``, dark ink on white, the longest side of the ink 56 pixels.
        """
        cover = _widened(_ink(self.font, character), self.widening)
        rows, columns = (np.flatnonzero(cover.any(axis=axis)) for axis in (1, 0))
        image = np.full((CANVAS, CANVAS), 255, np.uint8)
        if not rows.size:
            return image
        cut = cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        scale = INK_SIDE / max(cut.shape)
        width, height = (max(1, round(side * scale)) for side in (cut.shape[1], cut.shape[0]))
        small = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA)
        top, left = (CANVAS - height) // 2, (CANVAS - width) // 2
        image[top : top + height, left : left + width] = np.rint(255 * (1 - small))
        return image


def _open(path: Path, size: int) -> ImageFont.FreeTypeFont:
    # The basic layout shows single glyphs alike, whether or not a shaping library is installed.
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _ink(font: ImageFont.FreeTypeFont, character: str) -> NDArray[np.uint8]:
    """Ink of one character, 255 where it covers a pixel, with an empty border."""
    left, top, right, bottom = font.getbbox(character)
    border = 4
    size = (int(right - left) + 2 * border, int(bottom - top) + 2 * border)
    canvas = Image.new("L", size)
    ImageDraw.Draw(canvas).text((border - left, border - top), character, fill=255, font=font)
    return np.asarray(canvas)


def _stroke_width(font: ImageFont.FreeTypeFont) -> float:
    """Median over the alphabet; in a stroke of width w the mean distance to its edge is w / 4."""
    widths = []
    for character in ALPHABET:
        inside = (_ink(font, character) > 127).astype(np.uint8)
        distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
        if inside.any():
            widths.append(4 * float(distance[inside > 0].mean()))
    return float(np.median(widths)) if widths else 0.0


def _widened(ink: NDArray[np.uint8], widening: float) -> NDArray[np.float32]:
    """Move outlines outwards (inwards where negative) by pixels; cover 0 to 1."""
    margin = max(0, int(np.ceil(widening))) + 1
    padded = np.pad(ink, margin)
    if widening == 0:
        return (padded / 255).astype(np.float32)
    inside = (padded > 127).astype(np.uint8)
    signed = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    signed = signed - cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(np.clip(signed + widening + 0.5, 0, 1), np.float32)
