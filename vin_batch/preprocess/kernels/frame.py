"""Kernels of ``preprocess.frame``.

The dark pixels of a row are the bits of one word, so that a path is a few masks: of every row
that it runs through, those columns in which it does.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import frame as reference
from vin_batch.preprocess.kernels.decorator import kernel

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
Drifts = NDArray[np.uint64]
"""Of ``frame.path_words``."""

REACH: Final = reference.PATH_REACH
_EDGE_TONE: Final = reference.EDGE_TONE
_MAX_TOUCHING: Final = reference.MAX_TOUCHING
_SEARCH_SHARE: Final = reference.SEARCH_SHARE
_CORE_SHARE: Final = reference.CORE_SHARE
_SHADOW_SHARE: Final = reference.SHADOW_SHARE
_SHADOW_ROWS: Final = reference.SHADOW_ROWS
_UNEVEN_PRINT: Final = reference.UNEVEN_PRINT
_CONVINCING: Final = reference.SIDES_THAT_CONVINCE
_STRICT: Final = (
    reference.STRICT.coverage, reference.STRICT.end_coverage, reference.STRICT.thickness,
    reference.STRICT.roughness, reference.STRICT.attached,
)  # fmt: skip
_RELAXED: Final = (
    reference.RELAXED.coverage, reference.RELAXED.end_coverage, reference.RELAXED.thickness,
    reference.RELAXED.roughness, reference.RELAXED.attached,
)  # fmt: skip
_MAX_DRIFT_SHARE: Final = reference.MAX_DRIFT_SHARE
Tests = tuple[float, float, float, float, float]
Numbers = NDArray[np.int64]
Reals = NDArray[np.float64]


@kernel
def count_bits(word: int) -> int:
    """Number of ones in a 64-bit word."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@kernel
def remove_frame(
    ink: Bytes,
    threshold: float,
    drifts: Drifts,
    kept: Bytes,
    margin: Bytes,
    numbers: Numbers,
    reals: Reals,
) -> None:
    """Erase printed lines in place.

    Args:
        ink: ``uint8[h, w]``.
        threshold: Ink strength above which a pixel may belong to a line.
        drifts: Of ``frame.path_words``.
        kept: Room for ``uint8[h, w]``.
        margin: Room for ``uint8[64, 64]``.
        numbers: Room for ``int64[512]``.
        reals: Room for ``float64[128]``.
    """
    height, width = ink.shape
    for y in range(height):
        for x in range(width):
            kept[y, x] = ink[y, x]
    count = only = found = 0
    # One loop for both passes: what is written once is compiled once.
    for attempt in range(8):
        side = attempt & 3
        if attempt == 4:
            if count == 1 and is_cut_to_ink(ink, threshold, only):
                for y in range(height):
                    for x in range(width):
                        ink[y, x] = kept[y, x]
            if count < _CONVINCING:
                return
        if found >> side & 1:
            continue
        tests = _STRICT if attempt < 4 else _RELAXED
        is_erased = erase_line(ink, side, threshold, tests, drifts, margin, numbers, reals)
        if is_erased and attempt < 4:
            found |= 1 << side
            count += 1
            only = side


@kernel
def is_cut_to_ink(ink: Bytes, threshold: float, found: int) -> bool:
    """Tell that a crop ends where the character does."""
    height, width = ink.shape
    strongest = np.uint8(0)
    for y in range(height):
        for x in range(width):
            strongest = max(strongest, ink[y, x])
    tone = int(max(threshold, _EDGE_TONE * strongest))
    for side in range(4):
        length = width if side % 2 == 0 else height
        touching = 0
        for place in range(length):
            row, column = turned_back(height, width, side, 0, place)
            touching += ink[row, column] > tone
        if side != found and 2 <= touching <= _MAX_TOUCHING * length:
            return True
    return False


@kernel
def turned_back(height: int, width: int, side: int, row: int, column: int) -> tuple[int, int]:
    """Where in the crop a place lies that is given with another side on top."""
    if side == 0:
        return row, column
    if side == 1:
        return column, width - 1 - row
    if side == 2:
        return height - 1 - row, width - 1 - column
    return height - 1 - column, row


@kernel
def erase_line(
    ink: Bytes,
    side: int,
    threshold: float,
    tests: Tests,
    drifts: Drifts,
    margin: Bytes,
    numbers: Numbers,
    reals: Reals,
) -> bool:
    """Erase the line of one side in place; tell whether there was one."""
    coverage_limit, end_limit, thickness_limit, roughness_limit, attached_limit = tests
    height, width = ink.shape[0], ink.shape[1]
    if side % 2:
        height, width = width, height
    depth = search_depth(height)
    tone = int(threshold)
    rows = min(depth + 4, height)
    dark = numbers[:64].view(np.uint64)
    any_dark = copy_margin(ink, side, tone, rows, width, depth, margin, dark)
    if count_bits(any_dark) < coverage_limit * width:
        return False
    middle, drift, covered = straightest_path(dark, rows, width, depth, drifts)
    masks = drifts[width, drift]
    coverage = count_bits(covered) / width
    if coverage < coverage_limit or end_coverage(covered, width) < end_limit:
        return False
    path, crossing = numbers[64:128], numbers[128:192]
    for offset in range(2 * REACH + 1):
        row = min(max(middle + offset - REACH, 0), rows - 1)
        for column in range(width):
            if (masks[offset] >> np.uint64(column)) & np.uint64(1):
                path[column] = row
    thickest = max(3, int(np.rint(thickness_limit * height)) + 1)
    top, bottom = extent(dark, rows, middle, masks, coverage * width, thickest + 1, reals)
    if bottom - top + 1 > thickest:
        return False
    touching = 0
    for column in range(width):
        value = np.int64(margin[min(path[column] + bottom + 2, rows - 1), column])
        crossing[column] = value if value > tone else 0
        touching += value > tone
    if touching > attached_limit * width:
        return False
    if roughness(margin, rows, width, path, top, bottom, numbers, reals) > roughness_limit:
        return False
    usual = printed_tone(margin, rows, width, path, top, bottom, crossing, tone, numbers[192:448])
    printed = int(_UNEVEN_PRINT * usual + threshold)
    erase(ink, side, path, bottom + 1, crossing, printed)
    return True


@kernel
def copy_margin(
    ink: Bytes,
    side: int,
    tone: int,
    rows: int,
    width: int,
    depth: int,
    margin: Bytes,
    dark: Words,
) -> int:
    """Copy a side with its outermost row on top, and note its dark pixels.

    Returns:
        The columns that are dark somewhere in the first ``depth`` rows.
    """
    any_dark = np.uint64(0)
    for row in range(rows):
        word = np.uint64(0)
        for column in range(width):
            y, x = turned_back(ink.shape[0], ink.shape[1], side, row, column)
            value = ink[y, x]
            margin[row, column] = value
            word |= np.uint64(value > tone) << np.uint64(column)
        dark[row] = word
        if row < depth:
            any_dark |= word
    return any_dark


@kernel
def erase(ink: Bytes, side: int, path: Numbers, last: int, crossing: Numbers, printed: int) -> None:
    """Blank everything from the edge to the line, but for strokes."""
    height, width = ink.shape[0], ink.shape[1]
    deep, long = (width, height) if side % 2 else (height, width)
    for column in range(long):
        for row in range(min(path[column] + last + 1, deep)):
            y, x = turned_back(height, width, side, row, column)
            if ink[y, x] <= printed:
                ink[y, x] = min(np.int64(ink[y, x]), crossing[column])


@kernel
def search_depth(height: int) -> int:
    """Rows in which a line is looked for."""
    return max(3, int(np.rint(_SEARCH_SHARE * height)))


@kernel
def straightest_path(
    dark: Words, rows: int, width: int, depth: int, drifts: Drifts
) -> tuple[int, int, int]:
    """Middle row and drift of the path that covers most, and its dark columns."""
    largest = max(1, int(np.rint(_MAX_DRIFT_SHARE * width)))
    best, best_row, best_drift, best_word = -1, 0, 0, np.uint64(0)
    for row in range(depth):
        for drift in range(2 * largest + 1):
            word = np.uint64(0)
            for offset in range(2 * REACH + 1):
                at = min(max(row + offset - REACH, 0), rows - 1)
                word |= dark[at] & drifts[width, drift, offset]
            covered = count_bits(word)
            if covered > best:
                best, best_row, best_drift, best_word = covered, row, drift, word
    return best_row, best_drift, best_word


@kernel
def end_coverage(covered: int, width: int) -> float:
    """Covered share of the path's worse end."""
    end = max(2, width // 6)
    first = (np.uint64(1) << np.uint64(end)) - np.uint64(1)
    last = first << np.uint64(width - end)
    return min(count_bits(covered & first), count_bits(covered & last)) / end


@kernel
def extent(
    dark: Words, rows: int, middle: int, masks: Words, covered: float, reach: int, shares: Reals
) -> tuple[int, int]:
    """First and last row, relative to the path, that still belong to the line."""
    for around in range(-reach, reach + 1):
        word = np.uint64(0)
        for offset in range(2 * REACH + 1):
            at = min(max(middle + offset - REACH, 0), rows - 1) + around
            if 0 <= at < rows:
                word |= dark[at] & masks[offset]
        shares[reach + around] = count_bits(word) / covered
    outer_top, outer_bottom = rows_around(shares, reach, _SHADOW_SHARE)
    core_top, core_bottom = rows_around(shares, reach, _CORE_SHARE)
    return max(outer_top, core_top - _SHADOW_ROWS), min(outer_bottom, core_bottom + _SHADOW_ROWS)


@kernel
def rows_around(shares: Reals, middle: int, least: float) -> tuple[int, int]:
    """The unbroken run of covered rows around the middle one."""
    top = bottom = 0
    while top > -middle and shares[middle + top - 1] > least:
        top -= 1
    while bottom < middle and shares[middle + bottom + 1] > least:
        bottom += 1
    return top, bottom


@kernel
def roughness(
    margin: Bytes,
    rows: int,
    width: int,
    path: Numbers,
    top: int,
    bottom: int,
    numbers: Numbers,
    reals: Reals,
) -> float:
    """Deviation of the line's centre from straight; every sum runs from left to right."""
    total, moment = numbers[192:256], numbers[256:320]
    x, centre = reals[:64], reals[64:128]
    everything = 0
    for column in range(width):
        mass = lever = 0
        for offset in range(top - 1, bottom + 2):
            row = min(max(path[column] + offset, 0), rows - 1)
            value = np.int64(margin[row, column])
            mass += value
            lever += offset * value
        total[column], moment[column] = mass, lever
        everything += mass
    least = np.float32(0.6) * np.float32(everything) / np.float32(width)
    count = 0
    for column in range(width):
        if np.float32(total[column]) > least:
            share = np.float32(moment[column]) / np.float32(total[column])
            x[count] = column
            centre[count] = np.float64(share) + path[column]
            count += 1
    if count < 4:
        return np.inf
    mean_x = mean_centre = 0.0
    for k in range(count):
        mean_x += x[k]
        mean_centre += centre[k]
    mean_x /= count
    mean_centre /= count
    across = along = 0.0
    for k in range(count):
        x[k] -= mean_x
        centre[k] -= mean_centre
        across += x[k] * centre[k]
        along += x[k] * x[k]
    slope = across / along
    squares = 0.0
    for k in range(count):
        residual = centre[k] - x[k] * slope
        squares += residual * residual
    return math.sqrt(squares / count)


@kernel
def printed_tone(
    margin: Bytes,
    rows: int,
    width: int,
    path: Numbers,
    top: int,
    bottom: int,
    crossing: Numbers,
    tone: int,
    counts: Numbers,
) -> float:
    """Median strength of the line where it is alone; 255 if it never is."""
    for level in range(256):
        counts[level] = 0
    alone = 0
    for column in range(width):
        darkest = np.uint8(0)
        for offset in range(top, bottom + 1):
            row = min(max(path[column] + offset, 0), rows - 1)
            darkest = max(darkest, margin[row, column])
        if darkest > tone and not crossing[column]:
            counts[darkest] += 1
            alone += 1
    if not alone:
        return 255.0
    below = 0
    for level in range(256):
        below += counts[level]
        if below > alone // 2:
            return float(level)
    return 255.0
