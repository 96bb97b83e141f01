"""How much ink lies on every pixel: polarity, uneven light, noise.

Ink strength is how much darker a pixel is than the paper around it, in grey levels. Paper
is estimated by a grey closing: the brightest surroundings that a stroke cannot fill.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

CLOSING_SHARE: Final = 0.5
"""Side of the closing window over the crop's shorter side; wider than any stroke."""
MARGIN_SHARE: Final = 0.15
"""Depth of the margin over the crop's side that a thick frame may fill."""
FRAME_LIFT: Final = 8.0
"""Difference of the medians of crop and inside above which a frame is behind it, in grey
levels."""
RING_SHARE: Final = 1 / 16
"""Depth of the ring along the edge over the crop's shorter side; a thick frame fills it."""
FRAME_SHARE: Final = 0.9
"""Smallest share of each side of the ring that a frame covers. Paper around a bold character
looks like a frame of the other polarity, but the character reaches into it."""

ROBUST_SIGMA: Final = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""
FINENESS: Final = 64
"""Steps per grey level in which the third moment is taken: its sum must fit 63 bits."""

_QUANTILES: Final = (0.05, 0.25, 0.5)
QUARTER_TO_TWENTIETH: Final = 0.9704
"""Distance of the 5 % and 25 % quantiles of a normal distribution, in deviations."""
KEPT_OVER_TAKEN: Final = 0.375 / 0.80
"""White noise that the 3x3 binomial kernel keeps over what it takes away."""


@dataclass(frozen=True, slots=True)
class InkMap:
    """Ink strength of a crop.

    Attributes:
        strength: ``uint8[h, w]``, grey levels darker than the paper; 0 is paper.
        noise: Deviation of the sensor's noise that is left in ``strength``, in grey levels.
        unevenness: Deviation of the paper itself (grain, light that the paper estimate
            missed), in grey levels; at least the noise.
    """

    strength: NDArray[np.uint8]
    noise: float
    unevenness: float


def map_ink(grey: NDArray[np.uint8]) -> InkMap:
    """Separate ink from paper.

    Args:
        grey: ``uint8[h, w]`` crop of either polarity.

    Returns:
        The ink map, of the same size.
    """
    smooth = cv2.GaussianBlur(grey, (3, 3), 0)
    noise = ROBUST_SIGMA * _quantiles(cv2.absdiff(grey, smooth), (0.5,))[0] * KEPT_OVER_TAKEN
    if is_light_on_dark(smooth):
        smooth = cv2.bitwise_not(smooth)
    window = int(CLOSING_SHARE * min(grey.shape)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (window, window))
    paper = cv2.erode(cv2.dilate(smooth, kernel), kernel)
    paper = cv2.blur(paper, (window, window))
    darker = cv2.subtract(paper, smooth)
    # The closing follows the brightest noise, so paper itself looks a little inked.
    level, spread = _paper(darker)
    unevenness = max(noise, spread / QUARTER_TO_TWENTIETH)
    whole_level = np.uint8(round(level))
    strength = np.maximum(darker, whole_level)
    strength -= whole_level
    return InkMap(strength=strength, noise=noise, unevenness=unevenness)


def _paper(darker: NDArray[np.uint8]) -> tuple[float, float]:
    """Median of the paper, and the distance of its 5 % and 25 % quantiles, in grey levels.

    The quantiles are those of the whole crop, most of which is paper; a thick frame and its
    blur may take that majority away, and then the inside tells.
    """
    height, width = darker.shape
    y, x = round(MARGIN_SHARE * height), round(MARGIN_SHARE * width)
    whole = _quantiles(darker, _QUANTILES)
    inside = _quantiles(darker[y : height - y, x : width - x], _QUANTILES)
    level = inside[2] if whole[2] - inside[2] > FRAME_LIFT else whole[2]
    return level, min(whole[1] - whole[0], inside[1] - inside[0])


def _quantiles(values: NDArray[np.uint8], shares: tuple[float, ...]) -> list[float]:
    """Quantiles of 8-bit values, interpolated inside the level that holds them."""
    counts = np.bincount(values.ravel()).cumsum().tolist()
    found = []
    for share in shares:
        rank = share * counts[-1]
        level = bisect_left(counts, rank)
        below = counts[level - 1] if level else 0
        inside = (rank - below) / max(counts[level] - below, 1)
        found.append(max(level - 0.5 + inside, 0.0))
    return found


def is_light_on_dark(smooth: NDArray[np.uint8]) -> bool:
    """Whether ink is lighter than paper: a thick frame tells, else ``light_minority``.

    With a thick frame ink may be the majority. But a frame is as dark as ink, closed on all
    sides, and the medians of ring and inside are those of frame and paper: they lie more than
    half of all tones apart.

    Args:
        smooth: ``uint8[h, w]`` crop, its noise smoothed.
    """
    depth = max(1, round(RING_SHARE * min(smooth.shape)))
    whole = np.bincount(smooth.ravel(), minlength=256)
    inside = np.bincount(smooth[depth:-depth, depth:-depth].ravel(), minlength=256)
    frame, paper = _middle(whole - inside), _middle(inside)
    tones = np.flatnonzero(whole)
    if 2 * abs(frame - paper) > int(tones[-1] - tones[0]):
        light = smooth > (frame + paper) // 2
        like_frame = light if frame > paper else ~light
        ends = (slice(depth), slice(-depth, None))
        sides = [lines[end] for lines in (like_frame, like_frame.T) for end in ends]
        if all(np.count_nonzero(side) >= FRAME_SHARE * side.size for side in sides):
            return frame > paper
    return light_minority(smooth)


def _middle(counts: NDArray[np.int64]) -> int:
    """The lower median of counted levels."""
    return int(np.searchsorted(counts.cumsum(), (counts.sum() + 1) // 2))


def light_minority(smooth: NDArray[np.uint8]) -> bool:
    """Tell polarity: ink is the minority, so the tones' third moment points at it.

    Args:
        smooth: ``uint8[h, w]`` crop, its noise smoothed.
    """
    values = smooth[::2, ::2].astype(np.int64)
    height, width = values.shape
    y, y_squares = _axis(height)
    x, x_squares = _axis(width)
    slope_y = int(values.sum(axis=1) @ y) / (width * y_squares)
    slope_x = int(values.sum(axis=0) @ x) / (height * x_squares)
    even = values - (slope_y * y)[:, None] - slope_x * x
    # In whole numbers, whose sum is the same in any order, as the compiled kernels need it.
    levels = np.rint(FINENESS * even).astype(np.int64)
    lower, upper = (levels.size - 1) // 2, levels.size // 2
    ordered = np.partition(levels, (lower, upper), axis=None)
    away = 2 * levels - (ordered[lower] + ordered[upper])
    return int((away * away * away).sum()) > 0


@lru_cache(maxsize=256)
def _axis(length: int) -> tuple[NDArray[np.int64], int]:
    """Places along a side, in half pixels from its middle, and the sum of their squares."""
    places = 2 * np.arange(length) - (length - 1)
    places.setflags(write=False)
    return places, int(places @ places)
