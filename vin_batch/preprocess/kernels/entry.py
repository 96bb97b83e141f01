"""The functions that Python calls, as C functions over rooms that the caller provides.

A room is memory of a fixed size, large enough for every working image; ``compiled`` makes them.
"""

from __future__ import annotations

from typing import Any, Final

from numba import carray, types

from vin_batch.preprocess.kernels import LONGEST, centre, frame, ink, strokes
from vin_batch.preprocess.pipeline import LINE_OVER_NOISE, MIN_LINE_CONTRAST

_BYTES: Final = types.CPointer(types.uint8)
_SHORTS: Final = types.CPointer(types.uint16)
_WORDS: Final = types.CPointer(types.uint64)
_NUMBERS: Final = types.CPointer(types.int64)
_REALS: Final = types.CPointer(types.float64)


def bare_ink(
    grey: Any,
    strength: Any,
    smooth: Any,
    one: Any,
    other: Any,
    along: Any,
    numbers: Any,
    levels: Any,
    reals: Any,
    drifts: Any,
    noise: Any,
    height: int,
    width: int,
) -> int:
    """Fill ``strength`` with ink less its frame, cut at its peak, and give the peak.

    Returns:
        0 where there is too little ink. ``noise[0]`` becomes the paper's deviation.
    """
    shape = (height, width)
    found, spare, room = carray(strength, shape), carray(smooth, shape), carray(numbers, 2048)
    tables, counts, inner = room[:1024], room[1024:1280], room[1280:1536]
    sensor, uneven = ink.map_ink(
        carray(grey, shape), found, spare, carray(one, 9216), carray(other, 9216),
        carray(along, shape), tables, counts, inner, carray(levels, 1024),
    )  # fmt: skip
    threshold = max(LINE_OVER_NOISE * sensor, MIN_LINE_CONTRAST)
    frame.remove_frame(
        found, threshold, carray(drifts, (65, 11, 5)), spare, carray(one, (LONGEST, LONGEST)),
        tables, carray(reals, 128),
    )  # fmt: skip
    carray(noise, 1)[0] = uneven
    return strokes.cut_peak(found, uneven, tables, counts)


def character(
    strength: Any,
    cover: Any,
    solid: Any,
    inked: Any,
    runs: Any,
    parts: Any,
    wanted: Any,
    seen: Any,
    noise: Any,
    otsu: float,
    peak: int,
    height: int,
    width: int,
) -> int:
    """Fill ``cover`` and ``seen[:3]``: rows, columns, side of the brush; tell what it is."""
    found, covered = carray(strength, (height, width)), carray(cover, (LONGEST, LONGEST))
    verdict, rows, columns = strokes.select_strokes(
        found, peak, carray(noise, 1)[0], otsu, covered, carray(solid, (66, 66)),
        carray(runs, (2048, 4)), carray(parts, (2048, 7)), carray(wanted, 2048),
    )  # fmt: skip
    results = carray(seen, 3)
    results[0], results[1], results[2] = rows, columns, 1
    if rows > 0:
        results[2] = centre.brush(covered, rows, columns, carray(inked, (LONGEST, LONGEST)))
    return verdict


def place(small: Any, image: Any, tones: Any, numbers: Any, height: int, width: int) -> None:
    """Fill ``image``, ``uint8[28, 28]``, with scaled ink of at most 20 pixels a side."""
    ink_rows = carray(small, (height, width))
    centre.place(ink_rows, carray(image, (28, 28)), carray(tones, 256), carray(numbers, 256))


SIGNATURES: Final = {
    bare_ink: types.int64(
        *(_BYTES,) * 5, _SHORTS, _NUMBERS, _NUMBERS, _REALS, _WORDS, _REALS,
        types.int64, types.int64,
    ),
    character: types.int64(
        *(_BYTES,) * 4, _NUMBERS, _NUMBERS, _BYTES, _NUMBERS, _REALS,
        types.float64, types.int64, types.int64, types.int64,
    ),
    place: types.void(_BYTES, _BYTES, _BYTES, _NUMBERS, types.int64, types.int64),
}  # fmt: skip
