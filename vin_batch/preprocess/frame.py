"""Printed box lines that the cutting left at the edges of a crop.

A printed line is thin, straight to a fraction of a pixel and runs from one end of the side
to the other; a stroke that touches the border is not. Each side is searched for the
straight path that collects most ink, and a path is a line only if it passes all tests. A
single line in a crop whose ink reaches other sides too is a stroke of a crop cut to its ink.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SEARCH_SHARE: Final = 0.2
"""Depth of the searched margin over the crop's side."""
MAX_DRIFT_SHARE: Final = 0.08
"""Largest drift of a line from one end to the other, over the searched side's length."""

PATH_REACH: Final = 2
"""Largest distance of a path from its middle in a working image, in rows."""


@dataclass(frozen=True, slots=True)
class LineTests:
    """What a path must show to be called a printed line.

    Attributes:
        coverage: Smallest share of the path that is dark.
        end_coverage: The same over the first and over the last sixth of the path.
        thickness: Largest thickness over the crop's side.
        roughness: Largest deviation of the line's centre from straight, in pixels.
        attached: Largest share of the path whose inner neighbour is ink: a letter hangs on
            its bar, a frame stands alone.
    """

    coverage: float
    end_coverage: float
    thickness: float
    roughness: float
    attached: float


STRICT: Final = LineTests(0.62, 0.4, 0.11, 0.75, 0.42)
RELAXED: Final = LineTests(0.36, 0.15, 0.17, 1.2, 0.5)
"""Once two sides are certain the box was printed, and worn lines may be believed too."""
SIDES_THAT_CONVINCE: Final = 2
EDGE_TONE: Final = 0.4
"""A stroke reaches the edge when it is there at least this strong, over the strongest ink."""
MAX_TOUCHING: Final = 0.35
"""Ink along more of a side than this is a worn line rather than the ends of strokes."""
CORE_SHARE: Final = 0.75
"""A row belongs to a line where it is dark along this much of what the line covers: a bar of
a character that rests on the line is shorter."""
SHADOW_SHARE: Final = 0.5
SHADOW_ROWS: Final = 1
"""Rows on either side that may be dark along less: the blurred border of the line."""
UNEVEN_PRINT: Final = 1.2
"""A line is nowhere stronger than this over its median; what is, was written."""


class _Path(NamedTuple):
    """A straight path from the left end of a margin to its right end.

    Attributes:
        flat: Index into the flat margin, of every column.
        rows: Row of every column.
        coverage: Share of the path that is dark.
    """

    flat: NDArray[np.intp]
    rows: NDArray[np.intp]
    coverage: float


class _Surroundings(NamedTuple):
    """A margin straightened along a path: row ``reach + n`` lies ``n`` rows inside the path.

    Attributes:
        ink: ``uint8[2 * reach + 1, width]``; rows beyond the crop repeat its outermost row.
        dark: Where ink may belong to a line, 1 or 0; 0 beyond the crop.
        reach: Rows on either side of the path.
    """

    ink: NDArray[np.uint8]
    dark: NDArray[np.uint8]
    reach: int

    def between(self, first: int, last: int) -> NDArray[np.uint8]:
        """Ink of the rows from ``first`` to ``last``, relative to the path."""
        return self.ink[self.reach + first : self.reach + last + 1]


def remove_frame(ink: NDArray[np.uint8], threshold: float) -> NDArray[np.uint8]:
    """Erase printed lines near the edges.

    Args:
        ink: ``uint8[h, w]`` ink strength.
        threshold: Ink strength above which a pixel may belong to a line.

    Returns:
        A copy without the lines, or ``ink`` itself where there is none. Strokes that meet or
        cross a line keep their pixels.
    """
    cleaned = ink.copy()
    found = _erase_sides(cleaned, threshold, STRICT, (0, 1, 2, 3))
    if not found or (len(found) == 1 and _is_cut_to_ink(cleaned, threshold, found[0])):
        return ink
    if SIDES_THAT_CONVINCE <= len(found) < 4:
        rest = tuple(side for side in range(4) if side not in found)
        _erase_sides(cleaned, threshold, RELAXED, rest)
    return cleaned


def _is_cut_to_ink(ink: NDArray[np.uint8], threshold: float, found: int) -> bool:
    """Tell that a crop ends where the character does, so that its only "line" is a stroke.

    Inside a frame a character keeps clear of the sides; cut to its ink, it reaches the other
    sides too, in a few places.
    """
    tone = int(max(threshold, EDGE_TONE * float(ink.max())))
    for side in range(4):
        edge = _turned(ink, side)[0]
        touching = np.count_nonzero(edge > tone)
        if side != found and 2 <= touching <= MAX_TOUCHING * edge.size:
            return True
    return False


def _turned(ink: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The same pixels with another side on top, as ``np.rot90`` turns, at a tenth of its cost."""
    if side == 0:
        return ink
    if side == 1:
        return ink[:, ::-1].T
    return ink[::-1, ::-1] if side == 2 else ink.T[:, ::-1]


def _erase_sides(
    ink: NDArray[np.uint8], threshold: float, tests: LineTests, sides: tuple[int, ...]
) -> tuple[int, ...]:
    """Erase the lines of the given sides (quarter turns) in place; tell which were found."""
    return tuple(
        side
        for side in sides
        if _may_have_line(ink, side, threshold, tests)
        and _erase_top_line(_turned(ink, side), threshold, tests)
    )


def _may_have_line(ink: NDArray[np.uint8], side: int, threshold: float, tests: LineTests) -> bool:
    """Tell cheaply that a margin is not too empty: most sides of most crops are."""
    across = side % 2
    depth = _search_depth(ink.shape[across])
    margins = (ink[:depth], ink[:, -depth:], ink[-depth:], ink[:, :depth])
    strongest = cv2.reduce(margins[side], across, cv2.REDUCE_MAX)
    dark = np.count_nonzero(strongest > int(threshold))
    return bool(dark >= tests.coverage * strongest.size)


def _search_depth(height: int) -> int:
    return max(3, round(SEARCH_SHARE * height))


def _erase_top_line(ink: NDArray[np.uint8], threshold: float, tests: LineTests) -> bool:
    """Erase the line at the top in place; tell whether there was one."""
    height, width = ink.shape
    depth = _search_depth(height)
    # Whole levels compare like the fractions above them, at a third of the cost.
    tone = int(threshold)
    margin = np.ascontiguousarray(ink[: depth + 4])
    dark = margin > tone
    path = _straightest_path(dark, depth)
    if path.coverage < tests.coverage or _end_coverage(dark, path) < tests.end_coverage:
        return False
    thickest = max(3, round(tests.thickness * height) + 1)
    around = _straighten(margin, dark, path, thickest + 1)
    top, bottom = _extent(around, path.coverage)
    if bottom - top + 1 > thickest:
        return False
    # Strokes that meet the line: ink just inside it.
    crossing = around.between(bottom + 2, bottom + 2)[0]
    attached = crossing > tone
    if np.count_nonzero(attached) > tests.attached * width:
        return False
    if _roughness(around, path, top, bottom) > tests.roughness:
        return False
    printed = UNEVEN_PRINT * _printed_tone(around.between(top, bottom), ~attached, tone) + threshold
    _erase(ink, path, bottom + 1, crossing * attached, printed)
    return True


def path_offsets(width: int) -> NDArray[np.intp]:
    """Rows ``[drifts, width]`` of the tried paths from their middle; the straight one first."""
    largest = max(1, round(MAX_DRIFT_SHARE * width))
    drifts = np.array(sorted(range(-largest, largest + 1), key=abs))
    places = np.linspace(-0.5, 0.5, width)
    return np.rint(drifts[:, None] * places[None, :]).astype(np.intp)


def path_words(longest: int) -> NDArray[np.uint64]:
    """The tried paths as the compiled kernels take them.

    Args:
        longest: Largest width; at most 64.

    Returns:
        ``uint64[longest + 1, drifts, 2 * PATH_REACH + 1]``: by width, number of the path and
        row from its middle, the columns in which the path is in that row, as bits.
    """
    largest = max(1, round(MAX_DRIFT_SHARE * longest))
    words = np.zeros((longest + 1, 2 * largest + 1, 2 * PATH_REACH + 1), np.uint64)
    for width in range(1, longest + 1):
        columns = np.left_shift(np.uint64(1), np.arange(width, dtype=np.uint64))
        for number, offsets in enumerate(path_offsets(width)):
            for offset in range(-PATH_REACH, PATH_REACH + 1):
                words[width, number, offset + PATH_REACH] = columns[offsets == offset].sum()
    return words


@lru_cache(maxsize=512)
def _paths(width: int, depth: int, rows: int) -> NDArray[np.intp]:
    """Flat indices ``[depth * drifts, width]`` of the straight paths that are tried.

    Outer rows come first, and straight before drifting, so that the first of equals is the
    outermost and straightest.
    """
    offsets = path_offsets(width)
    path_rows = np.clip(np.arange(depth)[:, None, None] + offsets[None], 0, rows - 1)
    flat: NDArray[np.intp] = (path_rows * width + np.arange(width)).reshape(-1, width)
    return flat


def _straightest_path(dark: NDArray[np.bool_], depth: int) -> _Path:
    """Find the path whose covered share is largest; the outermost of equals."""
    rows, width = dark.shape
    paths = _paths(width, depth, rows)
    on_paths = dark.view(np.uint8).ravel().take(paths)
    covered = cv2.reduce(on_paths, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    best = int(covered.argmax())
    flat = paths[best]
    return _Path(flat=flat, rows=flat // width, coverage=float(covered[best, 0]) / width)


def _end_coverage(dark: NDArray[np.bool_], path: _Path) -> float:
    """Covered share of the path's worse end."""
    end = max(2, dark.shape[1] // 6)
    covered = dark.ravel().take(path.flat)
    return float(min(np.count_nonzero(covered[:end]), np.count_nonzero(covered[-end:])) / end)


def _straighten(
    margin: NDArray[np.uint8], dark: NDArray[np.bool_], path: _Path, reach: int
) -> _Surroundings:
    width = margin.shape[1]
    indices = path.flat + np.arange(0, (2 * reach + 1) * width, width)[:, None]
    ink = cv2.copyMakeBorder(margin, reach, reach, 0, 0, cv2.BORDER_REPLICATE)
    beyond = cv2.copyMakeBorder(dark.view(np.uint8), reach, reach, 0, 0, cv2.BORDER_CONSTANT)
    return _Surroundings(ink.ravel().take(indices), beyond.ravel().take(indices), reach)


def _extent(around: _Surroundings, coverage: float) -> tuple[int, int]:
    """First and last row, relative to the path, that still belong to the line."""
    width = around.dark.shape[1]
    covered = cv2.reduce(around.dark, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    shares = (covered.ravel() / (coverage * width)).tolist()
    outer = _rows_around(shares, SHADOW_SHARE)
    core = _rows_around(shares, CORE_SHARE)
    return max(outer[0], core[0] - SHADOW_ROWS), min(outer[1], core[1] + SHADOW_ROWS)


def _rows_around(shares: list[float], least: float) -> tuple[int, int]:
    """First and last offset of the unbroken run of covered rows around the middle one."""
    middle = len(shares) // 2
    top = bottom = 0
    while top > -middle and shares[middle + top - 1] > least:
        top -= 1
    while bottom < middle and shares[middle + bottom + 1] > least:
        bottom += 1
    return top, bottom


def _roughness(around: _Surroundings, path: _Path, top: int, bottom: int) -> float:
    """Standard deviation of the line's centre of ink around a straight line, in pixels."""
    weights = around.between(top - 1, bottom + 1).astype(np.float32)
    total, moment = _orders(top - 1, bottom + 1) @ weights
    inked = np.flatnonzero(total > 0.6 * np.add.reduce(total) / total.size)
    if inked.size < 4:
        return np.inf
    centre = moment.take(inked) / total.take(inked) + path.rows.take(inked)
    x = inked - _sum(inked) / inked.size
    centre -= _sum(centre) / inked.size
    residual = centre - x * (_sum(x * centre) / _sum(x * x))
    return math.sqrt(_sum(residual * residual) / inked.size)


def _sum(values: NDArray[np.floating] | NDArray[np.integer]) -> float:
    """Sum from the first to the last, as the compiled kernels take it."""
    return float(np.add.accumulate(values)[-1])


@lru_cache(maxsize=256)
def _orders(first: int, last: int) -> NDArray[np.float32]:
    """Weights ``[2, rows]`` that sum rows up, and that take their moment."""
    offsets = np.arange(first, last + 1, dtype=np.float32)
    return np.stack([np.ones_like(offsets), offsets])


def _printed_tone(line: NDArray[np.uint8], alone: NDArray[np.bool_], tone: int) -> float:
    """Median strength of the line, in grey levels, where it is alone; 255 if it never is."""
    darkest = np.maximum.reduce(line)
    tones = darkest[(darkest > tone) & alone]
    tones.sort()
    return float(tones[tones.size // 2]) if tones.size else 255.0


def _erase(
    ink: NDArray[np.uint8], path: _Path, last: int, crossing: NDArray[np.uint8], printed: float
) -> None:
    """Blank everything from the edge to the line, but for strokes.

    A stroke that crosses the line keeps its own tone, not the line's, which may be much
    darker; ink stronger than ``printed`` is a stroke that runs along the line.
    """
    ends = path.rows + last
    band = ink[: max(ends[0], ends[-1]) + 1]
    outside = np.arange(band.shape[0])[:, None] <= ends
    outside &= band <= int(printed)
    np.copyto(band, np.minimum(band, crossing), where=outside)
