"""Kernels of ``preprocess.centre``."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import centre as reference
from vin_batch.preprocess.kernels.decorator import kernel

Bytes = NDArray[np.uint8]
_HALF_COVER: Final = reference.HALF_COVER
_IMAGE_SIDE: Final = reference.IMAGE_SIDE
_INK_SIDE: Final = reference.INK_SIDE
_PEAK_PIXELS: Final = reference.PEAK_PIXELS
_MIN_PEN_PIXELS: Final = reference.MIN_PEN_PIXELS
_FULL_PEAK: Final = reference.FULL_PEAK


@kernel
def brush(cover: Bytes, height: int, width: int, inked: Bytes) -> int:
    """Side of the brush that strokes are to be thickened with; 1 where they are not."""
    area = inner = 0
    for y in range(height):
        for x in range(width):
            inked[y, x] = cover[y, x] > _HALF_COVER
            area += inked[y, x]
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            inner += (
                inked[y - 1, x - 1] & inked[y - 1, x] & inked[y - 1, x + 1]
                & inked[y, x - 1] & inked[y, x] & inked[y, x + 1]
                & inked[y + 1, x - 1] & inked[y + 1, x] & inked[y + 1, x + 1]
            )  # fmt: skip
    outline = area - inner
    pen = 2 * area / max(outline, 1) if area > outline else 1.5
    missing = _MIN_PEN_PIXELS / (_INK_SIDE / max(height, width)) - pen
    return 1 if missing < 1 else min(2 * int(np.rint(missing / 2)) + 1, 9)


@kernel
def place(small: Bytes, image: Bytes, tones: Bytes, counts: NDArray[np.int64]) -> None:
    """Bring the darkest ink to white and its centre of mass to the middle of ``image``."""
    height, width = small.shape
    for level in range(256):
        counts[level] = 0
    for y in range(height):
        for x in range(width):
            counts[small[y, x]] += 1
    wanted = min(height * width, _PEAK_PIXELS)
    peak, above = 255, 0
    for level in range(255, -1, -1):
        above += counts[level]
        peak = level
        if above >= wanted:
            break
    share = np.float32(255.0 / peak) if 0 < peak < _FULL_PEAK else np.float32(1)
    for level in range(256):
        tones[level] = np.uint8(min(np.rint(np.float32(level) * share), np.float32(255)))
    mass = down = right = 0
    for y in range(height):
        for x in range(width):
            tone = np.int64(tones[small[y, x]])
            mass += tone
            down += y * tone
            right += x * tone
    weight = max(float(mass), 1e-9)
    top = int(np.rint(_IMAGE_SIDE / 2 - 0.5 - down / weight))
    left = int(np.rint(_IMAGE_SIDE / 2 - 0.5 - right / weight))
    top = min(max(top, 0), _IMAGE_SIDE - height)
    left = min(max(left, 0), _IMAGE_SIDE - width)
    for y in range(_IMAGE_SIDE):
        for x in range(_IMAGE_SIDE):
            image[y, x] = 0
    for y in range(height):
        for x in range(width):
            image[top + y, left + x] = tones[small[y, x]]
