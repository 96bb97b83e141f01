"""How much ink lies on every pixel: polarity, uneven light, noise.

Ink strength is how much darker a pixel is than the paper around it, in grey levels. Paper
is estimated by a grey closing: the brightest surroundings that a stroke cannot fill.
"""

from __future__ import annotations

from dataclasses import dataclass
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

_ROBUST_SIGMA: Final = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""


_QUANTILES: Final = (0.05, 0.25, 0.5)
_QUARTER_TO_TWENTIETH: Final = 0.9704
"""Distance of the 5 % and 25 % quantiles of a normal distribution, in deviations."""
_KEPT_OVER_TAKEN: Final = 0.375 / 0.80
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
    noise = _ROBUST_SIGMA * _quantiles(cv2.absdiff(grey, smooth), (0.5,))[0] * _KEPT_OVER_TAKEN
    if is_light_on_dark(smooth):
        smooth = cv2.bitwise_not(smooth)
    window = int(CLOSING_SHARE * min(grey.shape)) | 1
    kernel = np.ones((window, window), np.uint8)
    paper = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, kernel)
    paper = cv2.blur(paper, (window, window))
    darker = cv2.subtract(paper, smooth)
    # The closing follows the brightest noise, so paper itself looks a little inked.
    level, spread = _paper(darker)
    unevenness = max(noise, spread / _QUARTER_TO_TWENTIETH)
    strength = np.maximum(darker, np.uint8(round(level))) - np.uint8(round(level))
    return InkMap(strength=strength, noise=noise, unevenness=unevenness)


def _paper(darker: NDArray[np.uint8]) -> tuple[float, float]:
    """Median of the paper, and the distance of its 5 % and 25 % quantiles, in grey levels.

    The quantiles are those of the whole crop, most of which is paper; a thick frame and its
    blur may take that majority away, and then the inside tells.
    """
    y, x = (round(MARGIN_SHARE * side) for side in darker.shape)
    whole = _quantiles(darker, _QUANTILES)
    inside = _quantiles(darker[y : darker.shape[0] - y, x : darker.shape[1] - x], _QUANTILES)
    level = inside[2] if whole[2] - inside[2] > FRAME_LIFT else whole[2]
    return level, min(whole[1] - whole[0], inside[1] - inside[0])


def _quantiles(values: NDArray[np.uint8], shares: tuple[float, ...]) -> list[float]:
    """Quantiles of 8-bit values, interpolated inside the level that holds them."""
    counts = np.cumsum(np.bincount(values.ravel(), minlength=256))
    found = []
    for share in shares:
        rank = share * counts[-1]
        level = int(np.searchsorted(counts, rank))
        below = int(counts[level - 1]) if level else 0
        inside = (rank - below) / max(int(counts[level]) - below, 1)
        found.append(max(level - 0.5 + float(inside), 0.0))
    return found


def is_light_on_dark(smooth: NDArray[np.uint8]) -> bool:
    """Tell polarity: ink is the minority, so the tones' third moment points at it.

    Args:
        smooth: ``uint8[h, w]`` crop, its noise smoothed.
    """
    values = smooth[::2, ::2].astype(np.float32)
    height, width = values.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    slope_y = float(values.mean(axis=1) @ y) / float(y @ y)
    slope_x = float(values.mean(axis=0) @ x) / float(x @ x)
    flat = values - slope_y * y[:, None] - slope_x * x[None, :]
    flat -= np.median(flat)
    return float((flat * flat * flat).sum()) > 0
