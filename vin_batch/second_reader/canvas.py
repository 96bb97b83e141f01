"""A raw box crop as the second reader sees it: one line of text, 48 pixels high. Pure."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess.decode import decode_grey
from vin_batch.preprocess.ink import is_light_on_dark
from vin_batch.records import BoxIssue
from vin_batch.second_reader.shape import HEIGHT, WIDTH

EMPTY: Final = 128
"""Grey level right of the crop: zero after normalisation, as in the recogniser's training."""
MIN_SIDE: Final = 2
"""Crops with a shorter side cannot be resized to anything, in pixels."""


def canvas_from_bytes(data: bytes) -> NDArray[np.uint8] | None:
    """Show the bytes of one box crop to the second reader.

    Args:
        data: The whole image file.

    Returns:
        ``uint8[48, 96]``, or None where the file is no image.
    """
    grey = decode_grey(data)
    if isinstance(grey, BoxIssue) or min(grey.shape) < MIN_SIDE:
        return None
    return canvas_from_crop(grey)


def canvas_from_crop(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Show a decoded crop to the second reader: dark on light, at the left of a canvas.

    Frame lines, noise and uneven light stay: the recogniser was trained on photographs, and
    what the first reader's cleaning destroys must not be lost to both.

    Args:
        grey: ``uint8[h, w]`` of either polarity, both sides at least ``MIN_SIDE``.

    Returns:
        ``uint8[48, 96]``.
    """
    if is_light_on_dark(cv2.GaussianBlur(grey, (3, 3), 0)):
        grey = cv2.bitwise_not(grey).astype(np.uint8)
    height, width = grey.shape
    fitted = min(WIDTH, max(1, round(HEIGHT * width / height)))
    canvas = np.full((HEIGHT, WIDTH), EMPTY, np.uint8)
    canvas[:, :fitted] = cv2.resize(grey, (fitted, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return canvas
