"""Which ink is the character: threshold, specks, remnants of lines, blanks and blots."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

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
BLOT_AREA: Final = 0.25
"""A disc of that radius fills more than this share of the square over the longest side."""
COMPACT_RATIO: Final = 0.55
"""Shorter over longer side above which a shape is compact; a stroke of a 1 is not."""


class _Part(NamedTuple):
    """Bounding box of a connected component, in pixels; right and bottom are beyond it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def longest(self) -> int:
        return max(self.right - self.left, self.bottom - self.top)


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
    character = _find_character(strength, low, high)
    if character is None:
        return BoxIssue.BLANK
    keep, box = character
    if max(keep.shape) < MIN_CHARACTER_SHARE * min(strength.shape):
        return BoxIssue.BLANK
    ink = strength[box].astype(np.float32)
    solid = keep & (ink > high)
    if _is_blot(solid):
        return BoxIssue.BLOT
    tones = ink[solid]
    full = float(tones.sum() / np.float32(tones.size)) if tones.size else 0.0
    floor = 0.5 * low
    cover = (ink - floor) * (255 / max(full - floor, 1.0))
    result: NDArray[np.uint8] = cover.clip(0, 255).astype(np.uint8) * keep
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
    lowest, highest = max(0.3 * peak, 3.0 * noise), max(0.6 * peak, 3.0 * noise)
    return min(max(otsu, lowest), highest)


def _find_character(
    strength: NDArray[np.uint8], low: float, high: float
) -> tuple[NDArray[np.bool_], tuple[slice, slice]] | None:
    """Mask of the character, cut to its bounding box, and that box (hysteresis, no specks)."""
    # Whole levels compare like the fractions above them, at a third of the cost.
    mask = strength > int(low)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), ltype=cv2.CV_16U
    )
    parts = [_Part(x, y, x + width, y + height) for x, y, width, height, _ in stats.tolist()]
    wanted = _wanted_labels(labels[mask], strength[mask], high, parts, mask.shape)
    if not wanted:
        return None
    box = np.s_[
        min(parts[label].top for label in wanted) : max(parts[label].bottom for label in wanted),
        min(parts[label].left for label in wanted) : max(parts[label].right for label in wanted),
    ]
    is_wanted = np.zeros(count, np.bool_)
    is_wanted[wanted] = True
    return is_wanted.take(labels[box]), box


def _wanted_labels(
    labels: NDArray[np.uint16],
    tones: NDArray[np.uint8],
    high: float,
    parts: list[_Part],
    shape: tuple[int, ...],
) -> list[int]:
    """Components that belong to the character, none where there is no character.

    Args:
        labels: ``uint16[n]`` component of every inked pixel.
        tones: ``uint8[n]`` strength of the same pixels.
        high: Strength that a component must exceed somewhere.
        parts: Bounding boxes of the components; the first is the background's.
        shape: Rows and columns of the crop.
    """
    masses = np.bincount(labels, weights=tones).tolist()
    strong = np.bincount(labels[tones > int(high)]).tolist()
    mass = {
        label: masses[label]
        for label, pixels in enumerate(strong)
        if pixels and not _is_edge_remnant(parts[label], shape)
    }
    if not mass:
        return []
    main = max(mass, key=mass.__getitem__)
    if parts[main].longest < MIN_STROKE_SHARE * min(shape):
        return []
    gap = FRAGMENT_GAP * min(shape)
    return [
        label
        for label in mass
        if mass[label] >= SPECK_MASS * mass[main]
        or (
            mass[label] >= FRAGMENT_MASS * mass[main]
            and _distance(parts[label], parts[main]) <= gap
        )
    ]


def _is_edge_remnant(part: _Part, shape: tuple[int, ...]) -> bool:
    """Tell that a component lies wholly in the outer margin of one side."""
    height, width = shape
    deep_y, deep_x = REMNANT_MARGIN * height, REMNANT_MARGIN * width
    return (
        part.bottom <= deep_y
        or part.top >= height - deep_y
        or part.right <= deep_x
        or part.left >= width - deep_x
    )


def _distance(one: _Part, other: _Part) -> float:
    """Gap between the bounding boxes of two components, in pixels."""
    gap_x = max(one.left - other.right, other.left - one.right, 0)
    gap_y = max(one.top - other.bottom, other.top - one.bottom, 0)
    return math.sqrt(gap_x * gap_x + gap_y * gap_y)


def _is_blot(solid: NDArray[np.bool_]) -> bool:
    height, width = solid.shape
    longest = max(height, width)
    if min(height, width) < COMPACT_RATIO * longest:
        return False
    filled = np.count_nonzero(solid)
    if filled / solid.size > BLOT_FILL:
        return True
    if filled < BLOT_AREA * longest * longest:
        return False
    padded = cv2.copyMakeBorder(solid.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    return is_round(np.asarray(padded, np.uint8), longest)


def is_round(solid: NDArray[np.uint8], longest: int) -> bool:
    """Tell that a large disc fits into ink.

    Args:
        solid: ``uint8[h, w]`` ink, not 0, within a border of zeros.
        longest: Longest side without the border.
    """
    radius = float(cv2.distanceTransform(solid, cv2.DIST_L2, 3).max())
    return bool(radius - 0.5 > BLOT_PEN * longest)
