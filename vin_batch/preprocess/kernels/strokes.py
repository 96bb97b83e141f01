"""Kernels of ``preprocess.strokes``."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import strokes as reference
from vin_batch.preprocess.kernels import LONGEST
from vin_batch.preprocess.kernels.decorator import kernel
from vin_batch.preprocess.kernels.ink import count_levels

Bytes = NDArray[np.uint8]
Table = NDArray[np.int64]

BLANK: Final = 0
BLOT: Final = 1
CHARACTER: Final = 2
MAYBE_BLOT: Final = 3
"""What ``select_strokes`` saw; the last needs the largest radius inside the ink."""

_MIN_CONTRAST: Final = reference.MIN_CONTRAST
_MIN_CONTRAST_OVER_NOISE: Final = reference.MIN_CONTRAST_OVER_NOISE
_EDGE_SHARE: Final = reference.EDGE_SHARE
_PEAK_SHARE: Final = reference.PEAK_SHARE
_MIN_CHARACTER_SHARE: Final = reference.MIN_CHARACTER_SHARE
_MIN_STROKE_SHARE: Final = reference.MIN_STROKE_SHARE
_SPECK_MASS: Final = reference.SPECK_MASS
_FRAGMENT_MASS: Final = reference.FRAGMENT_MASS
_FRAGMENT_GAP: Final = reference.FRAGMENT_GAP
_REMNANT_MARGIN: Final = reference.REMNANT_MARGIN
_BLOT_FILL: Final = reference.BLOT_FILL
_BLOT_AREA: Final = reference.BLOT_AREA
_COMPACT_RATIO: Final = reference.COMPACT_RATIO

_MAX_RUNS: Final = LONGEST * LONGEST // 2
"""Runs of dark pixels, at most: every second pixel of every row."""
_ROW, _BEGIN, _END, _ROOT = range(4)
"""Columns of the table of runs; the end is beyond the run, the root another run."""
_TOP, _BOTTOM, _LEFT, _RIGHT, _MASS, _IS_STRONG, _FIRST = range(7)
"""Columns of the table of components: right and bottom are beyond it. The first is its
first 2x2 block in reading order, by which OpenCV numbers components."""


@kernel
def cut_peak(strength: Bytes, noise: float, tables: Table, counts: Table) -> int:
    """Cut off what is stronger than the peak, and give it; 0 where there is too little ink."""
    height, width = strength.shape
    top, left = int(_EDGE_SHARE * height), int(_EDGE_SHARE * width)
    count_levels(strength, top, left, tables, counts)
    wanted = max(6, int(np.rint(_PEAK_SHARE * ((height - 2 * top) * (width - 2 * left)))))
    peak, above = 255, 0
    for level in range(255, -1, -1):
        above += counts[level]
        peak = level
        if above >= wanted:
            break
    if peak < max(_MIN_CONTRAST, _MIN_CONTRAST_OVER_NOISE * noise):
        return 0
    highest = np.uint8(peak)
    for y in range(height):
        for x in range(width):
            strength[y, x] = min(strength[y, x], highest)
    return peak


@kernel
def select_strokes(
    strength: Bytes,
    peak: int,
    noise: float,
    otsu: float,
    cover: Bytes,
    solid: Bytes,
    runs: Table,
    parts: Table,
    is_wanted: Bytes,
) -> tuple[int, int, int]:
    """Fill the beginning of ``cover``; returns what was seen, rows and columns.

    Args:
        strength: ``uint8[h, w]``, cut at its peak.
        peak: The peak.
        noise: Standard deviation of the paper.
        otsu: Otsu's threshold.
        cover: ``uint8[64, 64]`` to be filled.
        solid: ``uint8[66, 66]`` to be filled, with a border of zeros, where the ink may be a
            blot.
        runs: Room for ``int64[2048, 4]``.
        parts: Room for ``int64[2048, 7]``.
        is_wanted: Room for ``uint8[2048]``.
    """
    lowest, highest = max(0.3 * peak, 3.0 * noise), max(0.6 * peak, 3.0 * noise)
    high = min(max(otsu, lowest), highest)
    low = 0.6 * high
    count = find_runs(strength, int(low), runs)
    join_runs(runs, count)
    measure_parts(strength, runs, count, int(high), parts)
    choose_parts(parts, runs, count, strength.shape, is_wanted)
    top, bottom, left, right = LONGEST, 0, LONGEST, 0
    for run in range(count):
        if is_wanted[run]:
            top, bottom = min(top, parts[run, _TOP]), max(bottom, parts[run, _BOTTOM])
            left, right = min(left, parts[run, _LEFT]), max(right, parts[run, _RIGHT])
    height, width = bottom - top, right - left
    if (
        max(height, width) < _MIN_CHARACTER_SHARE * min(strength.shape[0], strength.shape[1])
        or height <= 0
    ):
        return BLANK, 0, 0
    for y in range(height):
        for x in range(width):
            cover[y, x] = 0
    solid_tone = np.float32(high)
    filled = total = 0
    for run in range(count):
        if not is_wanted[runs[run, _ROOT]]:
            continue
        y = runs[run, _ROW]
        for x in range(runs[run, _BEGIN], runs[run, _END]):
            tone = strength[y, x]
            cover[y - top, x - left] = tone
            if np.float32(tone) > solid_tone:
                filled += 1
                total += tone
    verdict = judge_fill(filled, height, width)
    if verdict == BLOT:
        return BLOT, 0, 0
    if verdict == MAYBE_BLOT:
        for y in range(height + 2):
            for x in range(width + 2):
                solid[y, x] = 0
        for y in range(height):
            for x in range(width):
                # Only wanted ink has a tone, and the threshold is not below zero.
                solid[y + 1, x + 1] = np.float32(cover[y, x]) > solid_tone
    full = float(np.float32(total) / np.float32(filled)) if filled else 0.0
    floor = 0.5 * low
    scale_cover(cover, height, width, floor, 255 / max(full - floor, 1.0))
    return verdict, height, width


@kernel
def scale_cover(cover: Bytes, height: int, width: int, floor: float, share: float) -> None:
    """From tones to cover; zero, which is no ink, stays zero."""
    for y in range(height):
        for x in range(width):
            scaled = (np.float32(cover[y, x]) - np.float32(floor)) * np.float32(share)
            scaled = min(max(scaled, np.float32(0)), np.float32(255))
            cover[y, x] = np.uint8(scaled) if cover[y, x] else np.uint8(0)


@kernel
def find_runs(strength: Bytes, low: int, runs: Table) -> int:
    """List the runs of pixels stronger than ``low`` in reading order; each is its own root."""
    count = 0
    height, width = strength.shape
    for y in range(height):
        begin = -1
        for x in range(width):
            if strength[y, x] > low:
                if begin < 0:
                    begin = x
            elif begin >= 0:
                runs[count, _ROW], runs[count, _BEGIN] = y, begin
                runs[count, _END], runs[count, _ROOT] = x, count
                count += 1
                begin = -1
        if begin >= 0:
            runs[count, _ROW], runs[count, _BEGIN] = y, begin
            runs[count, _END], runs[count, _ROOT] = width, count
            count += 1
    return count


@kernel
def root_of(runs: Table, run: int) -> int:
    """The first run of those that are known to belong together."""
    while runs[run, _ROOT] != run:
        run = runs[run, _ROOT]
    return run


@kernel
def join_runs(runs: Table, count: int) -> None:
    """Give all runs of one component, diagonal neighbours included, the same root."""
    above = 0
    for run in range(count):
        while above < run and (
            runs[above, _ROW] < runs[run, _ROW] - 1
            or (runs[above, _ROW] < runs[run, _ROW] and runs[above, _END] < runs[run, _BEGIN])
        ):
            above += 1
        other = above
        while (
            other < run
            and runs[other, _ROW] < runs[run, _ROW]
            and runs[other, _BEGIN] <= runs[run, _END]
        ):
            one, two = root_of(runs, run), root_of(runs, other)
            runs[max(one, two), _ROOT] = min(one, two)
            other += 1
    for run in range(count):
        runs[run, _ROOT] = runs[runs[run, _ROOT], _ROOT]


@kernel
def measure_parts(strength: Bytes, runs: Table, count: int, high: int, parts: Table) -> None:
    """Note what there is to know of every component in the row of its root."""
    for run in range(count):
        y, begin, end = runs[run, _ROW], runs[run, _BEGIN], runs[run, _END]
        mass = strong = 0
        for x in range(begin, end):
            tone = np.int64(strength[y, x])
            mass += tone
            strong |= tone > high
        block = (y >> 1) * LONGEST + (begin >> 1)
        root = runs[run, _ROOT]
        if root == run:
            parts[run, _TOP], parts[run, _LEFT], parts[run, _RIGHT] = y, begin, end
            parts[run, _MASS], parts[run, _IS_STRONG], parts[run, _FIRST] = mass, strong, block
        else:
            parts[root, _LEFT] = min(parts[root, _LEFT], begin)
            parts[root, _RIGHT] = max(parts[root, _RIGHT], end)
            parts[root, _MASS] += mass
            parts[root, _IS_STRONG] |= strong
            parts[root, _FIRST] = min(parts[root, _FIRST], block)
        parts[root, _BOTTOM] = y + 1


@kernel
def choose_parts(
    parts: Table, runs: Table, count: int, shape: tuple[int, int], is_wanted: Bytes
) -> None:
    """Mark the roots of the components that belong to the character."""
    shorter = min(shape[0], shape[1])
    main = -1
    for run in range(count):
        is_wanted[run] = 0
        if runs[run, _ROOT] != run or not parts[run, _IS_STRONG]:
            continue
        if is_edge_remnant(parts, run, shape):
            continue
        is_wanted[run] = 1
        if (
            main < 0
            or parts[run, _MASS] > parts[main, _MASS]
            or (
                parts[run, _MASS] == parts[main, _MASS] and parts[run, _FIRST] < parts[main, _FIRST]
            )
        ):
            main = run
    if main < 0:
        return
    longest = max(
        parts[main, _BOTTOM] - parts[main, _TOP], parts[main, _RIGHT] - parts[main, _LEFT]
    )
    if longest < _MIN_STROKE_SHARE * shorter:
        for run in range(count):
            is_wanted[run] = 0
        return
    mass, gap = parts[main, _MASS], _FRAGMENT_GAP * shorter
    for run in range(count):
        if is_wanted[run] and not (
            parts[run, _MASS] >= _SPECK_MASS * mass
            or (parts[run, _MASS] >= _FRAGMENT_MASS * mass and distance(parts, run, main) <= gap)
        ):
            is_wanted[run] = 0


@kernel
def is_edge_remnant(parts: Table, run: int, shape: tuple[int, int]) -> bool:
    """Tell that a component lies wholly in the outer margin of one side."""
    height, width = shape
    deep_y, deep_x = _REMNANT_MARGIN * height, _REMNANT_MARGIN * width
    return (
        parts[run, _BOTTOM] <= deep_y
        or parts[run, _TOP] >= height - deep_y
        or parts[run, _RIGHT] <= deep_x
        or parts[run, _LEFT] >= width - deep_x
    )


@kernel
def distance(parts: Table, one: int, other: int) -> float:
    """Gap between the bounding boxes of two components, in pixels."""
    gap_x = max(
        parts[one, _LEFT] - parts[other, _RIGHT], parts[other, _LEFT] - parts[one, _RIGHT], 0
    )
    gap_y = max(
        parts[one, _TOP] - parts[other, _BOTTOM], parts[other, _TOP] - parts[one, _BOTTOM], 0
    )
    return math.sqrt(gap_x * gap_x + gap_y * gap_y)


@kernel
def judge_fill(filled: int, height: int, width: int) -> int:
    """What the filled area alone tells of a blot."""
    longest = max(height, width)
    if min(height, width) < _COMPACT_RATIO * longest:
        return CHARACTER
    if filled / (height * width) > _BLOT_FILL:
        return BLOT
    return CHARACTER if filled < _BLOT_AREA * longest * longest else MAYBE_BLOT
