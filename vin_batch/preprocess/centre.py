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


def centre_ink(cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale and centre ink.

    Args:
        cover: ``uint8[h, w]`` ink cover, cut to the ink's bounding box, 255 = full stroke.

    Returns:
        ``uint8[28, 28]``.
    """
    height, width = cover.shape
    scale = INK_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    thick = _thicken(cover, scale)
    if scale < 1:
        small = cv2.resize(thick, size, interpolation=cv2.INTER_AREA)
    else:
        small = cv2.resize(thick, size, interpolation=cv2.INTER_LINEAR)
    peak = float(np.partition(small.ravel(), -_peak_count(small))[-_peak_count(small)])
    if 0 < peak < 250:
        small = cv2.convertScaleAbs(small, alpha=255.0 / peak)
    return _place(small)


def _peak_count(image: NDArray[np.uint8]) -> int:
    """Pixels above the level that becomes white: the darkest part of a 20 px stroke."""
    return min(image.size, 12)


def _thicken(cover: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Widen strokes that would be thinner than ``MIN_PEN_PIXELS`` after scaling."""
    area = float(np.count_nonzero(cover > 100))
    inner = cv2.erode(cover, np.ones((3, 3), np.uint8), borderValue=0)
    outline = area - float(np.count_nonzero(inner > 100))
    pen = 2 * area / max(outline, 1.0) if area > outline else 1.5
    missing = MIN_PEN_PIXELS / scale - pen
    if missing < 1:
        return cover
    side = min(2 * round(missing / 2) + 1, 9)
    padded = cv2.copyMakeBorder(cover, 0, 0, 0, 0, cv2.BORDER_CONSTANT)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    widened: NDArray[np.uint8] = cv2.dilate(padded, kernel).astype(np.uint8)
    return widened


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
