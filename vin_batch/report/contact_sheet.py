"""Contact sheets: crops beside what the preprocessing made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess.decode import decode_grey
from vin_batch.preprocess.pipeline import preprocess_image
from vin_batch.records import BoxIssue

TILE: Final = 56
"""Side of one picture, in pixels."""
COLUMNS: Final = 17
_ISSUE_TONE: Final = 90
_ISSUE_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


def contact_sheet(files: Sequence[bytes | BoxIssue], columns: int = COLUMNS) -> NDArray[np.uint8]:
    """Draw a sheet: a row of crops, below it the row of results, and so on.

    Args:
        files: Bytes of every crop, or why there are none, in order; at least one.
        columns: Crops of a row.

    Returns:
        ``uint8[h, w]``; crops without a result show the issue's code instead.
    """
    pairs = [_pair(data) for data in files]
    blank = (np.full((TILE, TILE), 255, np.uint8),) * 2
    pairs += [blank] * (-len(pairs) % columns)
    rows = []
    for start in range(0, len(pairs), columns):
        row = pairs[start : start + columns]
        rows += [np.hstack([pair[0] for pair in row]), np.hstack([pair[1] for pair in row])]
    return np.vstack(rows)


def _pair(data: bytes | BoxIssue) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    grey = data if isinstance(data, BoxIssue) else decode_grey(data)
    if isinstance(grey, BoxIssue):
        return np.full((TILE, TILE), _ISSUE_TONE, np.uint8), _issue_tile(grey)
    before = _fit(grey)
    image, issue = preprocess_image(grey)
    if issue is not BoxIssue.NONE:
        return before, _issue_tile(issue)
    return before, cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def _fit(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale into a tile without changing the proportions."""
    scale = TILE / max(grey.shape)
    size = tuple(max(1, round(side * scale)) for side in (grey.shape[1], grey.shape[0]))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    tile = np.full((TILE, TILE), 128, np.uint8)
    tile[: size[1], : size[0]] = cv2.resize(grey, size, interpolation=method)
    return tile


def _issue_tile(issue: BoxIssue) -> NDArray[np.uint8]:
    tile = np.full((TILE, TILE), _ISSUE_TONE, np.uint8)
    for line, word in enumerate(issue.code.split("_")):
        place = (2, 22 + 14 * line)
        cv2.putText(tile, word, place, _ISSUE_FONT, 0.3, (255,), 1, cv2.LINE_AA)
    return tile
