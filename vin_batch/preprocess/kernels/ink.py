"""Kernels of ``preprocess.ink``."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import ink as reference
from vin_batch.preprocess.kernels.decorator import kernel

_GREYS: Final = 256
_SLOPE_ROOM: Final = 24_576
"""Added to fixed-point tones less their slopes, which lie between -24,480 and 40,800, so that
they fit 16 bits without a sign."""
_CLOSING_SHARE: Final = reference.CLOSING_SHARE
_MARGIN_SHARE: Final = reference.MARGIN_SHARE
_FRAME_LIFT: Final = reference.FRAME_LIFT
_FRAME_SHARE: Final = reference.FRAME_SHARE
_RING_SHARE: Final = reference.RING_SHARE
_ROBUST_SIGMA: Final = reference.ROBUST_SIGMA
_KEPT_OVER_TAKEN: Final = reference.KEPT_OVER_TAKEN
_QUARTER_TO_TWENTIETH: Final = reference.QUARTER_TO_TWENTIETH
_FINENESS: Final = reference.FINENESS

Bytes = NDArray[np.uint8]
Counts = NDArray[np.int64]


@kernel
def map_ink(
    grey: Bytes,
    strength: Bytes,
    smooth: Bytes,
    one: Bytes,
    other: Bytes,
    along: NDArray[np.uint16],
    tables: Counts,
    counts: Counts,
    inner: Counts,
    levels: Counts,
) -> tuple[float, float]:
    """Fill ``strength``; returns noise and unevenness.

    Args:
        grey: ``uint8[h, w]`` working image.
        strength: ``uint8[h, w]`` to be filled.
        smooth: Room for ``uint8[h, w]``.
        one: Room for ``uint8[96 * 96]``.
        other: The same.
        along: Room for ``uint16[h, w]``.
        tables: Room for ``int64[1024]``.
        counts: Room for ``int64[256]``.
        inner: The same.
        levels: Room for ``int64[32 * 32]``.
    """
    height, width = grey.shape
    smoothen(grey, smooth, along)
    for y in range(height):
        for x in range(width):
            one_tone, other_tone = grey[y, x], smooth[y, x]
            strength[y, x] = max(one_tone, other_tone) - min(one_tone, other_tone)
    count_levels(strength, 0, 0, tables, counts)
    noise = _ROBUST_SIGMA * quantile(counts, height * width, 0.5) * _KEPT_OVER_TAKEN
    if is_light_on_dark(smooth, counts, inner, levels):
        for y in range(height):
            for x in range(width):
                smooth[y, x] = 255 - smooth[y, x]
    find_paper(smooth, strength, one, other, inner)
    for y in range(height):
        for x in range(width):
            paper, tone = strength[y, x], smooth[y, x]
            strength[y, x] = paper - min(paper, tone)
    level, spread = paper_level(strength, tables, counts, inner)
    whole = np.uint8(np.rint(level))
    for y in range(height):
        for x in range(width):
            strength[y, x] = strength[y, x] - min(strength[y, x], whole)
    return noise, max(noise, spread / _QUARTER_TO_TWENTIETH)


@kernel
def clear(counts: Counts) -> None:
    """Set to zero."""
    for k in range(counts.size):
        counts[k] = 0


@kernel
def count_levels(image: Bytes, top: int, left: int, tables: Counts, counts: Counts) -> None:
    """Count the pixels of every level that are so far inside, into ``counts``.

    Neighbours are mostly of one level: each is counted in a table of its own, so that a count
    need not wait for the one before.
    """
    height, width = image.shape
    for k in range(4 * _GREYS):
        tables[k] = 0
    for y in range(top, height - top):
        for x in range(left, width - left):
            tables[(x & 3) * _GREYS + image[y, x]] += 1
    for level in range(_GREYS):
        counts[level] = (
            tables[level]
            + tables[level + _GREYS]
            + tables[level + 2 * _GREYS]
            + tables[level + 3 * _GREYS]
        )


@kernel
def smoothen(grey: Bytes, smooth: Bytes, along: NDArray[np.uint16]) -> None:
    """The 3x3 binomial kernel as ``cv2.GaussianBlur`` rounds it; edges are mirrored."""
    height, width = grey.shape
    for y in range(height):
        for x in range(1, width - 1):
            middle = 2 * np.uint16(grey[y, x])
            along[y, x] = np.uint16(grey[y, x - 1]) + middle + np.uint16(grey[y, x + 1])
        along[y, 0] = 2 * (np.uint16(grey[y, 0]) + np.uint16(grey[y, 1]))
        last = width - 1
        along[y, last] = 2 * (np.uint16(grey[y, last]) + np.uint16(grey[y, last - 1]))
    for y in range(height):
        above = y - 1 if y else 1
        below = y + 1 if y < height - 1 else height - 2
        for x in range(width):
            weighed = along[above, x] + 2 * along[y, x] + along[below, x]
            smooth[y, x] = np.uint8((weighed + 8) >> 4)


@kernel
def quantile(counts: Counts, size: int, share: float) -> float:
    """One quantile from the counts of the 256 levels."""
    rank = share * size
    below = 0
    for level in range(_GREYS):
        upto = below + counts[level]
        if upto >= rank:
            return max(level - 0.5 + (rank - below) / max(upto - below, 1), 0.0)
        below = upto
    return 255.0


@kernel
def paper_level(
    darker: Bytes, tables: Counts, counts: Counts, inner: Counts
) -> tuple[float, float]:
    """``ink._paper``: level and spread of the paper."""
    height, width = darker.shape
    top, left = int(np.rint(_MARGIN_SHARE * height)), int(np.rint(_MARGIN_SHARE * width))
    count_levels(darker, 0, 0, tables, counts)
    count_levels(darker, top, left, tables, inner)
    size, inner_size = height * width, (height - 2 * top) * (width - 2 * left)
    whole_median, inner_median = quantile(counts, size, 0.5), quantile(inner, inner_size, 0.5)
    spread = min(
        quantile(counts, size, 0.25) - quantile(counts, size, 0.05),
        quantile(inner, inner_size, 0.25) - quantile(inner, inner_size, 0.05),
    )
    return (inner_median if whole_median - inner_median > _FRAME_LIFT else whole_median), spread


@kernel
def is_light_on_dark(smooth: Bytes, ring: Counts, inside: Counts, levels: Counts) -> bool:
    """Tell polarity by a thick frame, else by the third moment."""
    height, width = smooth.shape
    depth = max(1, int(np.rint(_RING_SHARE * min(height, width))))
    clear(ring)
    clear(inside)
    for y in range(height):
        for x in range(width):
            if depth <= y < height - depth and depth <= x < width - depth:
                inside[smooth[y, x]] += 1
            else:
                ring[smooth[y, x]] += 1
    lowest, highest = 0, _GREYS - 1
    while ring[lowest] + inside[lowest] == 0:
        lowest += 1
    while ring[highest] + inside[highest] == 0:
        highest -= 1
    frame, paper = middle(ring), middle(inside)
    apart = 2 * abs(frame - paper) > highest - lowest
    if apart and is_closed(smooth, depth, (frame + paper) // 2, frame > paper):
        return frame > paper
    return light_minority(smooth, ring, levels)


@kernel
def is_closed(smooth: Bytes, depth: int, tone: int, lighter: bool) -> bool:
    """Whether a frame that is lighter or darker than a tone covers all sides of the ring."""
    height, width = smooth.shape
    top = bottom = left = right = 0
    for y in range(height):
        for x in range(width):
            if (smooth[y, x] > tone) == lighter:
                top += y < depth
                bottom += y >= height - depth
                left += x < depth
                right += x >= width - depth
    level, upright = _FRAME_SHARE * (depth * width), _FRAME_SHARE * (depth * height)
    return min(top, bottom) >= level and min(left, right) >= upright


@kernel
def middle(counts: Counts) -> int:
    """The lower median of counted levels."""
    total = 0
    for k in range(_GREYS):
        total += counts[k]
    half, below, level = (total + 1) // 2, 0, 0
    while below + counts[level] < half:
        below += counts[level]
        level += 1
    return level


@kernel
def light_minority(smooth: Bytes, counts: Counts, levels: Counts) -> bool:
    """Tell polarity; all sums are exact, so that their order does not matter."""
    height, width = (smooth.shape[0] + 1) // 2, (smooth.shape[1] + 1) // 2
    down = squares_down = right = squares_right = 0
    for y in range(height):
        place = 2 * y - (height - 1)
        squares_down += place * place
        total = 0
        for x in range(width):
            tone = np.int64(smooth[2 * y, 2 * x])
            total += tone
            right += tone * (2 * x - (width - 1))
        down += total * place
    for x in range(width):
        place = 2 * x - (width - 1)
        squares_right += place * place
    slope_y = down / (width * squares_down)
    slope_x = right / (height * squares_right)
    count = 0
    for y in range(height):
        fall = slope_y * (2 * y - (height - 1))
        for x in range(width):
            even = smooth[2 * y, 2 * x] - fall - slope_x * (2 * x - (width - 1))
            levels[count] = np.int64(np.rint(_FINENESS * even)) + _SLOPE_ROOM
            count += 1
    lower, upper = (count - 1) // 2, count // 2
    middle = nth_level(levels, count, lower, counts)
    twice = 2 * middle if lower == upper else middle + nth_level(levels, count, upper, counts)
    skew = 0
    for k in range(count):
        away = 2 * levels[k] - twice
        skew += away * away * away
    return skew > 0


@kernel
def nth_level(levels: Counts, size: int, rank: int, counts: Counts) -> int:
    """The level of a rank in ascending order, by its upper and then by its lower byte."""
    clear(counts)
    for k in range(size):
        counts[(levels[k] >> 8) & 255] += 1
    high = 0
    while high < _GREYS - 1 and rank >= counts[high]:
        rank -= counts[high]
        high += 1
    clear(counts)
    for k in range(size):
        if (levels[k] >> 8) & 255 == high:
            counts[levels[k] & 255] += 1
    low = 0
    while low < _GREYS - 1 and rank >= counts[low]:
        rank -= counts[low]
        low += 1
    return (high << 8) + low


@kernel
def find_paper(smooth: Bytes, paper: Bytes, one: Bytes, other: Bytes, numbers: Counts) -> None:
    """Grey closing, then the mean over the same window."""
    height, width = smooth.shape
    window = int(_CLOSING_SHARE * min(height, width)) | 1
    negative_of_highest(smooth, paper, one, other, window)
    # Eroding is dilating the negative; what lies beyond the edges must stay the lowest.
    negative_of_highest(paper, paper, one, other, window)
    for y in range(height):
        for x in range(width):
            one[y * width + x] = paper[y, x]
    mean_of_windows(one, paper, numbers, window)


@kernel
def negative_of_highest(
    image: Bytes, negative: Bytes, one: Bytes, other: Bytes, window: int
) -> None:
    """255 less the highest value of the window around every pixel.

    The window grows: to twice its size with the one that lies beside it, in all places at once,
    as long as it fits.
    """
    height, width = image.shape
    reach = window // 2
    wide = width + 2 * reach
    for k in range((height + 2 * reach) * wide):
        one[k] = 0
    for y in range(height):
        at = (y + reach) * wide + reach
        for x in range(width):
            one[at + x] = image[y, x]
    is_other = False
    for axis in range(2):
        step = wide if axis == 0 else 1
        size = height * wide - (0 if axis == 0 else window - 1)
        reached = 1
        while reached < window:
            ahead = min(reached, window - reached)
            reached += ahead
            end = size + (window - reached) * step
            if is_other:
                higher_of_two(other, one, ahead * step, end)
            else:
                higher_of_two(one, other, ahead * step, end)
            is_other = not is_other
    for y in range(height):
        row = other[y * wide :] if is_other else one[y * wide :]
        for x in range(width):
            negative[y, x] = 255 - row[x]


@kernel
def higher_of_two(source: Bytes, higher: Bytes, ahead: int, count: int) -> None:
    """The higher one of every value and of the one so many places ahead."""
    here, there, out = source[:count], source[ahead : ahead + count], higher[:count]
    for k in range(count):
        out[k] = max(here[k], there[k])


@kernel
def mean_of_windows(source: Bytes, mean: Bytes, numbers: Counts, window: int) -> None:
    """The mean of the window around every pixel; edges are mirrored.

    The number of pixels is odd, so that no mean lies half-way between two levels.
    """
    height, width = mean.shape
    reach = window // 2
    share = 1.0 / (window * window)
    columns, wider, totals = numbers[:64], numbers[64:176], numbers[176:240]
    for x in range(width):
        columns[x] = 0
    for y in range(-reach, reach + 1):
        row = source[abs(y) * width : abs(y) * width + width]
        for x in range(width):
            columns[x] += row[x]
    for y in range(height):
        for x in range(width):
            wider[reach + x] = columns[x]
        for x in range(reach):
            wider[x] = columns[reach - x]
            wider[reach + width + x] = columns[width - 2 - x]
        total = 0
        for x in range(window):
            total += wider[x]
        for x in range(width):
            totals[x] = total
            total += wider[x + window] - wider[x]
        for x in range(width):
            mean[y, x] = np.uint8(totals[x] * share + 0.5)
        entering, leaving = y + reach + 1, abs(y - reach)
        if entering >= height:
            entering = 2 * height - 2 - entering
        first, second = max(entering, 0) * width, leaving * width
        gained, lost = source[first : first + width], source[second : second + width]
        for x in range(width):
            columns[x] += np.int64(gained[x]) - np.int64(lost[x])
