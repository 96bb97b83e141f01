"""The stages from a working image to the 28x28 image, on the compiled kernels."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import machine_code
from vin_batch.preprocess.centre import IMAGE_SIDE, shrink, thicken
from vin_batch.preprocess.frame import path_words
from vin_batch.preprocess.strokes import is_round
from vin_batch.records import BoxIssue

SHORTEST: Final = 6
LONGEST: Final = 64
"""Sides of a working image, in pixels."""
_BLANK, _BLOT, _CHARACTER, _MAYBE_BLOT = range(4)
"""What the kernel ``character`` saw; the last needs the largest radius inside the ink."""
_POINTER: Final = ctypes.c_void_p
_INTEGER: Final = ctypes.c_int64
_REAL: Final = ctypes.c_double
_PATHS: Final = path_words(LONGEST)
_PIXELS: Final = LONGEST * LONGEST
_WITH_MARGIN: Final = (LONGEST + LONGEST // 2) ** 2
_RUNS: Final = _PIXELS // 2
_SHAPES: Final[Mapping[str, tuple[int | tuple[int, int], type[np.generic]]]] = {
    "grey": (_PIXELS, np.uint8), "strength": (_PIXELS, np.uint8), "smooth": (_PIXELS, np.uint8),
    "one": (_WITH_MARGIN, np.uint8), "other": (_WITH_MARGIN, np.uint8),
    "along": (_PIXELS, np.uint16), "numbers": (2048, np.int64), "levels": (1024, np.int64),
    "reals": (128, np.float64), "noise": (1, np.float64), "cover": ((LONGEST, LONGEST), np.uint8),
    "solid": ((LONGEST + 2, LONGEST + 2), np.uint8), "inked": (_PIXELS, np.uint8),
    "runs": ((_RUNS, 4), np.int64), "parts": ((_RUNS, 7), np.int64), "wanted": (_RUNS, np.uint8),
    "seen": (3, np.int64), "image": ((IMAGE_SIDE, IMAGE_SIDE), np.uint8), "tones": (256, np.uint8),
}  # fmt: skip
"""As ``kernels.entry`` takes them."""
_OF_INK: Final = (
    "grey", "strength", "smooth", "one", "other", "along", "numbers", "levels", "reals",
)  # fmt: skip
_OF_CHARACTER: Final = (
    "strength", "cover", "solid", "inked", "runs", "parts", "wanted", "seen", "noise",
)  # fmt: skip


class _Rooms(threading.local):
    """The memory that the kernels work in, for every thread its own."""

    def __init__(self) -> None:
        room = {name: np.zeros(shape, kind) for name, (shape, kind) in _SHAPES.items()}
        place = {name: array.ctypes.data for name, array in room.items()}
        self._owned = room
        self.grey, self.strength, self.image = room["grey"], room["strength"], room["image"]
        self.cover, self.solid, self.seen = room["cover"], room["solid"], room["seen"]
        self.of_ink = (
            *(place[name] for name in _OF_INK), _PATHS.ctypes.data, place["noise"],
        )  # fmt: skip
        self.of_character = tuple(place[name] for name in _OF_CHARACTER)
        self.of_place = tuple(place[name] for name in ("image", "tones", "numbers"))


class CompiledStages:
    """The compiled kernels, with what OpenCV does between them.

    Args:
        addresses: Where the kernels are.
        owner: What keeps them there.
    """

    def __init__(self, addresses: Mapping[str, int], owner: object) -> None:
        self._owner = owner
        self._rooms = _Rooms()
        self._bare_ink = machine_code.function(
            addresses["bare_ink"], _INTEGER, *(_POINTER,) * 11, _INTEGER, _INTEGER
        )
        self._character = machine_code.function(
            addresses["character"], _INTEGER, *(_POINTER,) * 9, _REAL, *(_INTEGER,) * 3
        )
        self._place = machine_code.function(
            addresses["place"], None, *(_POINTER,) * 4, _INTEGER, _INTEGER
        )

    def __call__(self, grey: NDArray[np.uint8]) -> NDArray[np.uint8] | BoxIssue:
        """Do what the reference stages do, to the last bit.

        Args:
            grey: ``uint8[h, w]``, sides of 6 to 64 pixels.

        Returns:
            ``uint8[28, 28]``, or ``BoxIssue.BLANK`` or ``BoxIssue.BLOT``.

        Raises:
            ValueError: The image has no such sides; nothing else keeps the kernels inside
                their rooms.
        """
        rooms = self._rooms
        height, width = grey.shape
        if not (SHORTEST <= height <= LONGEST and SHORTEST <= width <= LONGEST):
            raise ValueError(f"a working image of {height} x {width} pixels")
        size = height * width
        rooms.grey[:size].reshape(height, width)[...] = grey
        peak = self._bare_ink(*rooms.of_ink, height, width)
        if not peak:
            return BoxIssue.BLANK
        strength = rooms.strength[:size].reshape(height, width)
        otsu, _ = cv2.threshold(strength, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        verdict = self._character(*rooms.of_character, otsu, peak, height, width)
        if verdict == _BLANK:
            return BoxIssue.BLANK
        rows, columns, brush = rooms.seen.tolist()
        if verdict == _BLOT or (
            verdict == _MAYBE_BLOT
            and is_round(rooms.solid[: rows + 2, : columns + 2], max(rows, columns))
        ):
            return BoxIssue.BLOT
        cover = rooms.cover[:rows, :columns]
        small = np.ascontiguousarray(shrink(thicken(cover, brush) if brush > 1 else cover))
        self._place(small.ctypes.data, *rooms.of_place, *small.shape)
        return rooms.image.copy()
