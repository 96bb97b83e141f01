"""Printed box lines that the cutting left at the edges of a crop.

A printed line is thin, straight to a fraction of a pixel and runs from one end of the side
to the other; a stroke that touches the border is not. Each side is searched for the
straight path that collects most ink, and a path is a line only if it passes all tests. A
single line in a crop whose ink reaches other sides too is a stroke of a crop cut to its ink.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

SEARCH_SHARE: Final = 0.2
"""Depth of the searched margin over the crop's side."""
MAX_DRIFT_SHARE: Final = 0.08
"""Largest drift of a line from one end to the other, over the searched side's length."""


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


@dataclass(frozen=True, slots=True)
class _Path:
    rows: NDArray[np.intp]
    """Centre row of every column."""
    coverage: float


def remove_frame(ink: NDArray[np.uint8], threshold: float) -> NDArray[np.uint8]:
    """Erase printed lines near the edges.

    Args:
        ink: ``uint8[h, w]`` ink strength.
        threshold: Ink strength above which a pixel may belong to a line.

    Returns:
        A copy without the lines, or ``ink`` itself where there is none. Strokes that meet or
        cross a line keep their pixels.
    """
    cleaned, found = _erase_sides(ink, threshold, STRICT, (0, 1, 2, 3))
    if len(found) == 1 and _is_cut_to_ink(cleaned, threshold, found[0]):
        return ink
    if SIDES_THAT_CONVINCE <= len(found) < 4:
        rest = tuple(side for side in range(4) if side not in found)
        cleaned, _ = _erase_sides(cleaned, threshold, RELAXED, rest)
    return ink if cleaned is ink else np.ascontiguousarray(cleaned)


def _is_cut_to_ink(ink: NDArray[np.uint8], threshold: float, found: int) -> bool:
    """Tell that a crop ends where the character does, so that its only "line" is a stroke.

    Inside a frame a character keeps clear of the sides; cut to its ink, it reaches the other
    sides too, in a few places.
    """
    for side in range(4):
        edge = np.rot90(ink, side)[0]
        touching = np.count_nonzero(edge > max(threshold, EDGE_TONE * float(ink.max())))
        if side != found and 2 <= touching <= MAX_TOUCHING * edge.size:
            return True
    return False


def _erase_sides(
    ink: NDArray[np.uint8], threshold: float, tests: LineTests, sides: tuple[int, ...]
) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """Erase the lines of the given sides (quarter turns); also tell which were found."""
    found = []
    for side in sides:
        erased = _erase_top_line(np.rot90(ink, side), threshold, tests)
        if erased is not None:
            ink = np.rot90(erased, -side)
            found.append(side)
    return ink, tuple(found)


def _erase_top_line(
    ink: NDArray[np.uint8], threshold: float, tests: LineTests
) -> NDArray[np.uint8] | None:
    height, width = ink.shape
    depth = max(3, round(SEARCH_SHARE * height))
    margin = np.ascontiguousarray(ink[: depth + 4])
    dark = (margin > threshold).view(np.uint8)
    if np.count_nonzero(dark[:depth].max(axis=0)) < tests.coverage * width:
        return None
    path = _straightest_path(dark, depth)
    if path.coverage < tests.coverage or _end_coverage(dark, path) < tests.end_coverage:
        return None
    thickest = max(3, round(tests.thickness * height) + 1)
    top, bottom = _extent(dark, path, thickest)
    if bottom - top + 1 > thickest or _roughness(margin, path, top, bottom) > tests.roughness:
        return None
    crossing = _inner_ink(margin, path, bottom + 2)
    attached = crossing > threshold
    if np.count_nonzero(attached) > tests.attached * width:
        return None
    tone = _printed_tone(margin, path, (top, bottom), ~attached, threshold)
    printed = UNEVEN_PRINT * tone + threshold
    return _erase(ink, path, bottom + 1, np.where(attached, crossing, 0), printed)


@lru_cache(maxsize=512)
def _paths(width: int, depth: int, rows: int) -> NDArray[np.intp]:
    """Flat indices ``[depth * drifts, width]`` of the straight paths that are tried.

    Outer rows come first, and straight before drifting, so that the first of equals is the
    outermost and straightest.
    """
    largest = max(1, round(MAX_DRIFT_SHARE * width))
    drifts = np.array(sorted(range(-largest, largest + 1), key=abs))
    offsets = np.rint(drifts[:, None] * np.linspace(-0.5, 0.5, width)[None, :]).astype(np.intp)
    path_rows = np.clip(np.arange(depth)[:, None, None] + offsets[None], 0, rows - 1)
    flat: NDArray[np.intp] = (path_rows * width + np.arange(width)).reshape(-1, width)
    return flat


def _straightest_path(dark: NDArray[np.uint8], depth: int) -> _Path:
    """Find the path whose covered share is largest; the outermost of equals."""
    rows, width = dark.shape
    paths = _paths(width, depth, rows)
    covered = dark.ravel().take(paths).sum(axis=1, dtype=np.uint16)
    best = int(covered.argmax())
    return _Path(rows=paths[best] // width, coverage=float(covered[best]) / width)


def _end_coverage(dark: NDArray[np.uint8], path: _Path) -> float:
    """Covered share of the path's worse end."""
    width = dark.shape[1]
    end = max(2, width // 6)
    covered = dark[path.rows, np.arange(width)]
    return float(min(covered[:end].mean(), covered[-end:].mean()))


def _extent(dark: NDArray[np.uint8], path: _Path, limit: int) -> tuple[int, int]:
    """First and last row offset, relative to the path, that still belong to the line."""
    rows, width = dark.shape
    offsets = np.arange(-limit - 1, limit + 2)
    wanted = path.rows[None, :] + offsets[:, None]
    found = dark[np.clip(wanted, 0, rows - 1), np.arange(width)]
    found &= ((wanted >= 0) & (wanted < rows)).view(np.uint8)
    covered = found.sum(axis=1, dtype=np.int32) / (path.coverage * width)
    outer = _rows_around(covered > SHADOW_SHARE, limit + 1)
    core = _rows_around(covered > CORE_SHARE, limit + 1)
    return max(outer[0], core[0] - SHADOW_ROWS), min(outer[1], core[1] + SHADOW_ROWS)


def _rows_around(solid: NDArray[np.bool_], centre: int) -> tuple[int, int]:
    """First and last offset of the unbroken run of solid rows around the centre."""
    above = np.flatnonzero(~solid[:centre])
    below = np.flatnonzero(~solid[centre + 1 :])
    top = int(above[-1]) + 1 - centre if above.size else -centre
    bottom = int(below[0]) if below.size else centre
    return top, bottom


def _roughness(margin: NDArray[np.uint8], path: _Path, top: int, bottom: int) -> float:
    """Standard deviation of the line's centre of ink around a straight line, in pixels."""
    rows, width = margin.shape
    offsets = np.arange(top - 1, bottom + 2)
    wanted = np.clip(path.rows[None, :] + offsets[:, None], 0, rows - 1)
    weights = margin[wanted, np.arange(width)].astype(np.float32)
    total = weights.sum(axis=0)
    inked = np.flatnonzero(total > 0.6 * total.sum() / width)
    if inked.size < 4:
        return np.inf
    centre = (offsets.astype(np.float32) @ weights)[inked] / total[inked] + path.rows[inked]
    x = inked - inked.sum() / inked.size
    centre -= centre.sum() / inked.size
    residual = centre - x * (float(x @ centre) / float(x @ x))
    return float(np.sqrt(residual @ residual / inked.size))


def _inner_ink(margin: NDArray[np.uint8], path: _Path, offset: int) -> NDArray[np.uint8]:
    """Ink of every column just inside the line: strokes that meet the line."""
    rows = np.minimum(path.rows + offset, margin.shape[0] - 1)
    inner: NDArray[np.uint8] = margin[rows, np.arange(margin.shape[1])]
    return inner


def _printed_tone(
    margin: NDArray[np.uint8],
    path: _Path,
    extent: tuple[int, int],
    alone: NDArray[np.bool_],
    threshold: float,
) -> float:
    """Median strength of the line, in grey levels, where it is alone; 255 if it never is."""
    rows, width = margin.shape
    offsets = np.arange(extent[0], extent[1] + 1)
    wanted = np.clip(path.rows[None, :] + offsets[:, None], 0, rows - 1)
    darkest = margin[wanted, np.arange(width)].max(axis=0)
    tones = darkest[(darkest > threshold) & alone]
    return float(np.partition(tones, tones.size // 2)[tones.size // 2]) if tones.size else 255.0


def _erase(
    ink: NDArray[np.uint8], path: _Path, last: int, crossing: NDArray[np.uint8], printed: float
) -> NDArray[np.uint8]:
    """Blank everything from the edge to the line, but for strokes.

    A stroke that crosses the line keeps its own tone, not the line's, which may be much
    darker; ink stronger than ``printed`` is a stroke that runs along the line.
    """
    depth = int(path.rows.max()) + last + 1
    erased = ink.copy()
    band = erased[:depth]
    outside = np.arange(band.shape[0])[:, None] <= (path.rows + last)[None, :]
    outside &= band <= printed
    np.copyto(band, np.minimum(band, crossing[None, :]), where=outside)
    return erased
