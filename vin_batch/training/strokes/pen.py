"""The pen: from points of strokes to ink cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHTS: Final = (64, 97)
"""Height of a capital in the ink cover, in pixels (half open)."""
_FINER: Final = 2
"""Strokes are drawn this many times larger and then averaged."""
_STEP: Final = 2
"""Widths are multiples of this many fine pixels: every change of width costs a call."""
_SHIFT: Final = 4
"""Binary digits of sub-pixel position that OpenCV gets."""
_INK: Final = 0.2
"""Cover that counts as ink when the drawing is cut (as for other training glyphs)."""
_LARGEST: Final = 400
"""Largest side of a drawing, in fine pixels: no hand writes that large a character."""


@dataclass(frozen=True, slots=True)
class Pen:
    """A pen and how it is held.

    Attributes:
        width: Width of a stroke over the height of a capital.
        nib: How much wider strokes are across ``nib_angle`` than along it, 0 to 0.3.
        nib_angle: In radians.
        pressure: Relative change of the width along a stroke.
        taper_in: Relative width where a stroke begins.
        taper_out: Relative width where a stroke ends.
        taper_length: Length of the taper over the height of a capital.
    """

    width: float
    nib: float
    nib_angle: float
    pressure: float
    taper_in: float
    taper_out: float
    taper_length: float

    @staticmethod
    def random(rng: np.random.Generator) -> Pen:
        """Draw a pen: ball pens, fine liners and felt tips."""
        return Pen(
            width=float(np.clip(np.exp(rng.normal(np.log(0.085), 0.28)), 0.04, 0.15)),
            nib=float(rng.choice([0.0, rng.uniform(0, 0.25)], p=[0.6, 0.4])),
            nib_angle=rng.uniform(0, np.pi),
            pressure=rng.uniform(0, 0.15),
            taper_in=rng.uniform(0.65, 1.1),
            taper_out=rng.uniform(0.5, 1.05),
            taper_length=rng.uniform(0.05, 0.25),
        )


def draw_strokes(
    points: NDArray[np.float64],
    stroke: NDArray[np.int64],
    pen: Pen,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Draw strokes.

    Args:
        points: ``float64[p, 2]``, x and y over the height of a capital.
        stroke: ``int64[p]``, the stroke of each point, rising.
        pen: The pen.
        rng: Source of the size and of the pressure.

    Returns:
        ``float32[h, w]`` ink cover 0 to 1, cut to the ink.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    scale = min(
        _FINER * int(rng.integers(*HEIGHTS)), _LARGEST / max(float(np.max(high - low)), 0.1)
    )
    fine = np.rint(scale / _STEP * _widths(points, stroke, pen, rng))
    width = np.maximum(_STEP * fine, 1).astype(np.int64)
    margin = int(width.max()) + _FINER
    size = np.ceil(scale * (high - low)).astype(np.int64) + 2 * margin
    size += -size % _FINER
    canvas = np.zeros((int(size[1]), int(size[0])), np.uint8)
    fixed = np.rint(((points - low) * scale + margin) * (1 << _SHIFT)).astype(np.int32)
    breaks = stroke[1:] != stroke[:-1]
    runs = np.flatnonzero(breaks | (width[1:] != width[:-1])) + 1
    for start, end in zip([0, *runs], [*runs, len(points)], strict=True):
        joined = end < len(points) and not breaks[end - 1]
        line = fixed[start : end + joined]
        cv2.polylines(canvas, [line], False, 255, int(width[start]), cv2.LINE_8, _SHIFT)
    small = cv2.resize(
        canvas, (canvas.shape[1] // _FINER, canvas.shape[0] // _FINER), interpolation=cv2.INTER_AREA
    )
    return cut_to_ink(small.astype(np.float32) / 255)


def _widths(
    points: NDArray[np.float64], stroke: NDArray[np.int64], pen: Pen, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Width of the stroke at every point, over the height of a capital."""
    step = np.diff(points, axis=0)
    breaks = stroke[1:] != stroke[:-1]
    walked = np.append(0, np.cumsum(np.where(breaks, 0, np.hypot(step[:, 0], step[:, 1]))))
    edges = np.flatnonzero(breaks)
    begin = walked[np.append(0, edges + 1)][stroke]
    finish = walked[np.append(edges, len(points) - 1)][stroke]
    direction = np.append(np.arctan2(step[:, 1], step[:, 0]), 0)
    direction[-1] = direction[-2]
    direction[edges] = direction[edges - 1]
    press = np.sin(rng.uniform(2, 9) * walked + rng.uniform(0, 2 * np.pi))
    into = np.clip((walked - begin) / pen.taper_length, 0, 1)
    out = np.clip((finish - walked) / pen.taper_length, 0, 1)
    relative = (
        (1 + pen.pressure * press)
        * (1 - pen.nib * np.cos(direction - pen.nib_angle) ** 2)
        * (pen.taper_in + (1 - pen.taper_in) * into)
        * (pen.taper_out + (1 - pen.taper_out) * out)
    )
    widths: NDArray[np.float64] = pen.width * relative
    return widths


def cut_to_ink(cover: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut to the pixels with noticeable ink; unchanged where there is none."""
    inked = cover > _INK
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    if not rows.size:
        return cover
    return cover[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
