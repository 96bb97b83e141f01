"""The stages in order, and the constants that a model must have been trained through."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import engine
from vin_batch.preprocess.centre import IMAGE_SIDE, INK_SIDE, MIN_PEN_PIXELS, centre_ink
from vin_batch.preprocess.decode import decode_grey
from vin_batch.preprocess.frame import remove_frame
from vin_batch.preprocess.ink import CLOSING_SHARE, map_ink
from vin_batch.preprocess.strokes import select_strokes
from vin_batch.records import BoxIssue

WORK_SIDE: Final = 64
"""Longest side of the working image: three times the final ink size."""
MIN_WORK_SIDE: Final = 44
"""Smaller crops are enlarged, so that lengths in pixels mean the same for all."""
MIN_SIDE: Final = 6
"""Crops with a shorter side hold no legible character, in pixels."""

LINE_OVER_NOISE: Final = 3.5
MIN_LINE_CONTRAST: Final = 8.0
"""A frame line is at least this many grey levels darker than paper (of 255)."""

PREPROCESSING: Final[dict[str, Any]] = {
    "version": 1,
    "image_side": IMAGE_SIDE,
    "ink_side": INK_SIDE,
    "work_side": [MIN_WORK_SIDE, WORK_SIDE],
    "closing_share": CLOSING_SHARE,
    "min_pen_pixels": MIN_PEN_PIXELS,
    "polarity": "light ink on black",
}
"""Stored in every ``model.json``; a model made for other constants is refused."""


def preprocess_bytes(data: bytes) -> tuple[NDArray[np.uint8], BoxIssue]:
    """Turn the bytes of one box crop into the classifier's input. Never raises.

    Args:
        data: The whole image file.

    Returns:
        ``uint8[28, 28]`` light ink on black and ``BoxIssue.NONE``, or zeros and the issue.
    """
    grey = decode_grey(data)
    if isinstance(grey, BoxIssue):
        return _nothing(), grey
    return preprocess_image(grey)


def preprocess_image(grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], BoxIssue]:
    """Turn a decoded crop into the classifier's input.

    Args:
        grey: ``uint8[h, w]`` of either polarity.

    Returns:
        As ``preprocess_bytes``; the issue is ``BLANK`` or ``BLOT`` where no character is seen.
    """
    if min(grey.shape) < MIN_SIDE:
        return _nothing(), BoxIssue.BLOT
    working = _to_work_size(grey)
    read = (engine.compiled_stages() or reference_stages)(working)
    return (_nothing(), read) if isinstance(read, BoxIssue) else (read, BoxIssue.NONE)


def reference_stages(grey: NDArray[np.uint8]) -> NDArray[np.uint8] | BoxIssue:
    """The stages from a working image to the 28x28 image, in NumPy and OpenCV.

    Args:
        grey: ``uint8[h, w]``, sides of 6 to 64 pixels.

    Returns:
        ``uint8[28, 28]``, or ``BoxIssue.BLANK`` or ``BoxIssue.BLOT``.
    """
    ink = map_ink(grey)
    framed = max(LINE_OVER_NOISE * ink.noise, MIN_LINE_CONTRAST)
    strokes = select_strokes(remove_frame(ink.strength, framed), ink.unevenness)
    return strokes if isinstance(strokes, BoxIssue) else centre_ink(strokes)


def _nothing() -> NDArray[np.uint8]:
    return np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)


def _to_work_size(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    longest = max(grey.shape)
    if MIN_WORK_SIDE <= longest <= WORK_SIDE:
        return grey
    scale = (WORK_SIDE if longest > WORK_SIDE else MIN_WORK_SIDE) / longest
    size = tuple(max(MIN_SIDE, round(side * scale)) for side in (grey.shape[1], grey.shape[0]))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(grey, size, interpolation=method), np.uint8)
