"""Which ink is the character: threshold, specks, remnants of lines, blanks and blots."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.records import BoxIssue

MIN_CONTRAST: Final = 12.0
"""Ink must be at least this many grey levels darker than paper (of 255)."""
MIN_CONTRAST_OVER_NOISE: Final = 4.0
EDGE_SHARE: Final = 0.1
PEAK_SHARE: Final = 0.004
"""Share of the crop that the darkest part of the thinnest stroke covers."""
MIN_CHARACTER_SHARE: Final = 0.16
"""Longest side of the smallest character over the crop's shorter side."""
MIN_STROKE_SHARE: Final = 0.12
"""The same of its largest connected part."""
SPECK_MASS: Final = 0.06
"""Components with less ink than this share of the largest are specks ..."""
FRAGMENT_MASS: Final = 0.012
FRAGMENT_GAP: Final = 0.1
"""... unless they lie this near to the character (over the crop's side): broken strokes."""
REMNANT_MARGIN: Final = 0.17
"""Components wholly inside this outermost margin (over the crop's side) are left-over frame."""
BLOT_FILL: Final = 0.85
"""Filled share of the bounding box above which a compact shape is a blot."""
BLOT_PEN: Final = 0.3
"""Largest inner radius over the longest side above which a compact shape is a blot."""
COMPACT_RATIO: Final = 0.55
"""Shorter over longer side above which a shape is compact; a stroke of a 1 is not."""


def select_strokes(strength: NDArray[np.uint8], noise: float) -> NDArray[np.uint8] | BoxIssue:
    """Cut the character out of an ink map.

    Args:
        strength: ``uint8[h, w]`` ink strength without the printed frame.
        noise: Standard deviation of the paper, in grey levels.

    Returns:
        ``uint8`` ink cover (255 = full stroke), cut to its bounding box; ``BoxIssue.BLANK``
        where there is no ink and ``BoxIssue.BLOT`` where the ink has no legible shape.
    """
    peak = _peak(strength)
    if peak < max(MIN_CONTRAST, MIN_CONTRAST_OVER_NOISE * noise):
        return BoxIssue.BLANK
    strength = np.minimum(strength, np.uint8(peak))
    high = _threshold(strength, peak, noise)
    low = 0.6 * high
    keep = _character_pixels(strength, low, high)
    if keep is None:
        return BoxIssue.BLANK
    rows = np.flatnonzero(keep.any(axis=1))
    columns = np.flatnonzero(keep.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    keep, ink = keep[box], strength[box].astype(np.float32)
    if max(keep.shape) < MIN_CHARACTER_SHARE * min(strength.shape):
        return BoxIssue.BLANK
    if _is_blot(keep & (ink > high)):
        return BoxIssue.BLOT
    full = float(ink[keep & (ink > high)].mean())
    floor = 0.5 * low
    cover = np.clip((ink - floor) * (255 / max(full - floor, 1.0)), 0, 255)
    cover[~keep] = 0
    result: NDArray[np.uint8] = cover.astype(np.uint8)
    return result


def _peak(strength: NDArray[np.uint8]) -> float:
    """Strength of the darkest strokes away from the edges, where frame may be left."""
    height, width = strength.shape
    y, x = int(EDGE_SHARE * height), int(EDGE_SHARE * width)
    inner = strength[y : height - y, x : width - x]
    count = max(6, round(PEAK_SHARE * inner.size))
    return float(np.partition(inner, inner.size - count, axis=None)[-count])


def _threshold(strength: NDArray[np.uint8], peak: float, noise: float) -> float:
    """Otsu's threshold (1979), held between the noise and the stroke's own tone."""
    otsu, _ = cv2.threshold(strength, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return float(np.clip(otsu, max(0.3 * peak, 3.0 * noise), max(0.6 * peak, 3.0 * noise)))


def _character_pixels(
    strength: NDArray[np.uint8], low: float, high: float
) -> NDArray[np.bool_] | None:
    """Mask of the components that belong to the character (hysteresis, specks dropped)."""
    mask = (strength > low).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, ltype=cv2.CV_16U)
    if count < 2:
        return None
    flat = labels.ravel()
    mass = np.bincount(flat, weights=strength.ravel(), minlength=count)
    strong = np.bincount(flat, weights=(strength > high).ravel(), minlength=count) > 0
    mass[0] = 0
    mass[~strong] = 0
    mass[_edge_remnants(stats, mask.shape)] = 0
    main = int(np.argmax(mass))
    if mass[main] == 0 or max(stats[main, 2:4]) < MIN_STROKE_SHARE * min(mask.shape):
        return None
    wanted = mass >= SPECK_MASS * mass[main]
    gap = FRAGMENT_GAP * min(mask.shape)
    for label in np.flatnonzero((mass >= FRAGMENT_MASS * mass[main]) & ~wanted):
        wanted[label] = _box_distance(stats[label], stats[main]) <= gap
    wanted[0] = False
    chosen: NDArray[np.bool_] = wanted[labels]
    return chosen


def _edge_remnants(stats: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Components that lie wholly in the outer margin of one side."""
    height, width = shape
    left, top = stats[:, 0], stats[:, 1]
    right, bottom = left + stats[:, 2], top + stats[:, 3]
    deep_y, deep_x = REMNANT_MARGIN * height, REMNANT_MARGIN * width
    remnant: NDArray[np.bool_] = (
        (bottom <= deep_y) | (top >= height - deep_y) | (right <= deep_x) | (left >= width - deep_x)
    )
    return remnant


def _box_distance(one: NDArray[np.int32], other: NDArray[np.int32]) -> float:
    """Gap between two bounding boxes (x, y, width, height, ...), in pixels."""
    gap_x = max(one[0] - (other[0] + other[2]), other[0] - (one[0] + one[2]), 0)
    gap_y = max(one[1] - (other[1] + other[3]), other[1] - (one[1] + one[3]), 0)
    return float(np.hypot(gap_x, gap_y))


def _is_blot(keep: NDArray[np.bool_]) -> bool:
    height, width = keep.shape
    if min(height, width) < COMPACT_RATIO * max(height, width):
        return False
    if keep.mean() > BLOT_FILL:
        return True
    padded = np.pad(keep.astype(np.uint8), 1)
    radius = float(cv2.distanceTransform(padded, cv2.DIST_L2, 3).max())
    return bool(radius - 0.5 > BLOT_PEN * max(height, width))
