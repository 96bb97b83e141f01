"""Handwriting fonts as distance fields, from which strokes of any pen width can be drawn."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vin_batch.errors import VinBatchError
from vin_batch.vin.alphabet import ALPHABET

FONT_DIRECTORY: Final = Path(__file__).parent / "fonts"
CAP_HEIGHT: Final = 64
"""Height of the letter H in a distance field, in pixels."""
_OVERSAMPLING: Final = 4
"""Glyphs are rendered this much larger: distances come out finer than a pixel."""
_MARGIN: Final = 24
"""Empty field pixels around the ink, room for a thicker pen."""


@dataclass(frozen=True, slots=True)
class Glyph:
    """One character of one typeface.

    Attributes:
        distance: ``float32[h, w]``, distance to the outline in field pixels, positive
            inside the stroke. The ink's box is the field without ``margin`` on each side.
        margin: Width of the empty border.
        half_pen: Half the stroke width of the typeface, in field pixels.
    """

    distance: NDArray[np.float32]
    margin: int
    half_pen: float

    @property
    def ink_height(self) -> int:
        """Height of the ink in field pixels."""
        return int(self.distance.shape[0]) - 2 * self.margin

    @property
    def ink_width(self) -> int:
        """Width of the ink in field pixels."""
        return int(self.distance.shape[1]) - 2 * self.margin


@cache
def families() -> tuple[str, ...]:
    """Names of the packaged typefaces (file names without suffix), sorted."""
    with (FONT_DIRECTORY / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return tuple(sorted(row["file"] for row in csv.DictReader(file)))


@cache
def glyph(family: str, character: str) -> Glyph:
    """Render one character as a distance field; cached for the life of the process.

    Args:
        family: One of ``families()``.
        character: One of the 33 VIN characters.

    Returns:
        The glyph.

    Raises:
        VinBatchError: The font is not packaged or cannot be read.
    """
    return Glyph(_distance_field(family, character), _MARGIN, _half_pen(family))


@cache
def _half_pen(family: str) -> float:
    """Median over the alphabet: in a stroke of half width r the mean distance is r / 2."""
    fields = [_distance_field(family, character) for character in ALPHABET]
    return float(np.median([2 * field[field > 0].mean() for field in fields]))


@cache
def _font(family: str) -> ImageFont.FreeTypeFont:
    path = FONT_DIRECTORY / f"{family}.woff2"
    try:
        probe = ImageFont.truetype(str(path), 400)
    except OSError as error:
        raise VinBatchError(
            f"cannot read the font {path}: {error}",
            "Reinstall the package; Pillow must be a wheel whose FreeType reads WOFF2.",
        ) from error
    cap_height = probe.getmask("H").size[1]
    size = round(400 * CAP_HEIGHT * _OVERSAMPLING / cap_height)
    return ImageFont.truetype(str(path), size)


def _render(font: ImageFont.FreeTypeFont, character: str) -> NDArray[np.uint8]:
    """Ink of one character, cut to its box: ``uint8[h, w]``, 255 = ink."""
    left, top, right, bottom = font.getbbox(character)
    canvas = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), character, fill=255, font=font)
    ink = np.asarray(canvas)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@cache
def _distance_field(family: str, character: str) -> NDArray[np.float32]:
    ink = _render(_font(family), character)
    padded = cv2.copyMakeBorder(
        ink,
        *_padding(ink.shape[0]),
        *_padding(ink.shape[1]),
        borderType=cv2.BORDER_CONSTANT,
        value=0,
    )
    inside = (padded > 127).astype(np.uint8)
    signed = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    signed = signed - cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    size = (padded.shape[1] // _OVERSAMPLING, padded.shape[0] // _OVERSAMPLING)
    field = cv2.resize(signed, size, interpolation=cv2.INTER_AREA)
    return np.asarray(field / _OVERSAMPLING, np.float32)


def _padding(length: int) -> tuple[int, int]:
    """Margins before and after, which also make the length divisible by the oversampling."""
    rest = -length % _OVERSAMPLING
    before = rest // 2
    return _MARGIN * _OVERSAMPLING + before, _MARGIN * _OVERSAMPLING + rest - before
