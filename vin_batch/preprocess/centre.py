"""From an ink map to the centred 28x28 image of the EMNIST convention.

Cohen et al., "EMNIST: an extension of MNIST to handwritten letters" (2017), after LeCun's
MNIST: the ink's longest side becomes 20 pixels and its centre of mass goes to the centre
of a 28x28 field, light ink on black.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

IMAGE_SIDE: Final = 28
INK_SIDE: Final = 20
MIN_PEN_PIXELS: Final = 1.8
"""Strokes thinner than this at the final scale are thickened: a hair line would vanish."""
HALF_COVER: Final = 100
"""Cover above which a pixel counts as inside a stroke (of 255)."""
PEAK_PIXELS: Final = 12
"""Pixels that become white at least: the darkest part of a 20 px stroke."""
FULL_PEAK: Final = 250
"""Level from which on the darkest part counts as white."""


def centre_ink(cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale and centre ink.

    Args:
        cover: ``uint8[h, w]`` ink cover, cut to the ink's bounding box, 255 = full stroke.

    Returns:
        ``uint8[28, 28]``.
    """
    brush = _brush(cover)
    small = shrink(thicken(cover, brush) if brush > 1 else cover)
    place = small.size - min(small.size, PEAK_PIXELS)
    peak = float(np.partition(small, place, axis=None)[place])
    if 0 < peak < FULL_PEAK:
        small = cv2.convertScaleAbs(small, alpha=255.0 / peak)
    return _place(small)


def shrink(cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale ink so that its longest side has ``INK_SIDE`` pixels."""
    height, width = cover.shape
    scale = INK_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cover, size, interpolation=method), np.uint8)


def thicken(cover: NDArray[np.uint8], brush: int) -> NDArray[np.uint8]:
    """Widen strokes with a round brush of that side."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (brush, brush))
    return np.asarray(cv2.dilate(cover, kernel), np.uint8)


def _brush(cover: NDArray[np.uint8]) -> int:
    """Side of the brush for strokes thinner than ``MIN_PEN_PIXELS`` after scaling; else 1."""
    inked = cover > HALF_COVER
    tall = inked[:-2] & inked[1:-1] & inked[2:]
    inner = tall[:, :-2] & tall[:, 1:-1] & tall[:, 2:]
    area = float(np.count_nonzero(inked))
    outline = area - float(np.count_nonzero(inner))
    pen = 2 * area / max(outline, 1.0) if area > outline else 1.5
    missing = MIN_PEN_PIXELS / (INK_SIDE / max(cover.shape)) - pen
    return 1 if missing < 1 else min(2 * round(missing / 2) + 1, 9)


def _place(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put the centre of mass at the centre, as far as the field's border allows."""
    height, width = small.shape
    moments = cv2.moments(small)
    mass = max(moments["m00"], 1e-9)
    top = round(IMAGE_SIDE / 2 - 0.5 - moments["m01"] / mass)
    left = round(IMAGE_SIDE / 2 - 0.5 - moments["m10"] / mass)
    top = min(max(top, 0), IMAGE_SIDE - height)
    left = min(max(left, 0), IMAGE_SIDE - width)
    field = np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    field[top : top + height, left : left + width] = small
    return field
