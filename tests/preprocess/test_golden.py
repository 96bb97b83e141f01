"""A picture of what the preprocessing makes of two boxes of every sample card.

It says when results move, and lets a person see how. After a wanted change draw it again:
``python tests/preprocess/test_golden.py``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vin_batch.archive.names import is_image_name
from vin_batch.preprocess import IMAGE_SIDE, preprocess_bytes

SAMPLES = Path(__file__).parents[2] / "sample_cards"
GOLDEN = Path(__file__).with_suffix(".png")
COLUMNS = 16
TOLERANCE = 4.0
"""Mean difference in grey levels that other versions of OpenCV may cause in one image. One
pixel of shift makes about 20, a lost bar 10 and more."""

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="no sample cards here")


def boxes() -> list[Path]:
    """The second and the eleventh image of every card, in order."""
    folders = sorted({path.parent for path in SAMPLES.rglob("*") if path.parent != SAMPLES})
    chosen = []
    for folder in folders:
        images = sorted(p for p in folder.iterdir() if p.is_file() and is_image_name(bytes(p)))
        chosen += images[1:2] + images[10:11]
    return chosen


def drawn() -> list[NDArray[np.uint8]]:
    return [preprocess_bytes(path.read_bytes())[0] for path in boxes()]


def sheet(images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    blank = np.zeros((IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    padded = images + [blank] * (-len(images) % COLUMNS)
    rows = [np.hstack(padded[i : i + COLUMNS]) for i in range(0, len(padded), COLUMNS)]
    return np.vstack(rows)


def test_sample_boxes_look_as_they_did() -> None:
    golden = cv2.imdecode(np.fromfile(GOLDEN, np.uint8), cv2.IMREAD_GRAYSCALE)
    images = drawn()
    assert len(images) >= 40
    now = sheet(images)
    assert golden is not None
    assert now.shape == golden.shape
    for number, path in enumerate(boxes()):
        row, column = divmod(number, COLUMNS)
        place = np.s_[
            row * IMAGE_SIDE : (row + 1) * IMAGE_SIDE,
            column * IMAGE_SIDE : (column + 1) * IMAGE_SIDE,
        ]
        difference = np.abs(now[place].astype(int) - golden[place].astype(int)).mean()
        assert difference < TOLERANCE, f"{path.relative_to(SAMPLES)} moved by {difference:.1f}"


if __name__ == "__main__":
    cv2.imwrite(str(GOLDEN), sheet(drawn()))
