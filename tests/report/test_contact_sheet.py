"""Every crop has its tile, above what became of it."""

import cv2
import numpy as np
import pytest

from box_crops import ink_of, plain_crop
from vin_batch.preprocess import preprocess_image
from vin_batch.records import BoxIssue
from vin_batch.report.contact_sheet import TILE, contact_sheet

CROP = plain_crop(ink_of("K"))
FILE = cv2.imencode(".png", CROP)[1].tobytes()
BLANK = cv2.imencode(".png", np.full((40, 30), 230, np.uint8))[1].tobytes()


def tiles(picture: np.ndarray, column: int, row: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The crop's and the result's tile."""
    x, y = column * TILE, 2 * row * TILE
    return picture[y : y + TILE, x : x + TILE], picture[y + TILE : y + 2 * TILE, x : x + TILE]


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (4, 1), (5, 2), (9, 3)])
def test_size_and_padding(count: int, rows: int) -> None:
    picture = contact_sheet([FILE] * count, columns=4)
    assert picture.shape == (rows * 2 * TILE, 4 * TILE)
    assert picture.dtype == np.uint8
    unused = rows * 4 - count
    for column in range(4 - unused, 4):
        for tile in tiles(picture, column, rows - 1):
            assert (tile == 255).all()


def test_crop_and_result_stand_below_each_other() -> None:
    before, after = tiles(contact_sheet([BLANK, FILE], columns=2), 1)
    height, width = CROP.shape
    shown = before[:TILE, : round(width * TILE / height)]
    expected = cv2.resize(CROP, (shown.shape[1], TILE), interpolation=cv2.INTER_AREA)
    assert np.array_equal(shown, expected)
    assert (before[:, shown.shape[1] :] == 128).all()
    image, _ = preprocess_image(CROP)
    assert np.array_equal(after[::2, ::2], image)
    assert np.array_equal(after[1::2, 1::2], image)


def test_what_gave_nothing_shows_why() -> None:
    picture = contact_sheet([BLANK, b"torn", b"", BoxIssue.UNREADABLE_FILE], columns=4)
    results = [tiles(picture, column)[1] for column in range(4)]
    assert len({tile.tobytes() for tile in results}) == 4, "every issue has its own words"
    for tile in results:
        assert np.median(tile) == 90
        assert tile.max() > 220
    assert tiles(picture, 0)[0].max() == 230, "a blank crop itself is shown"
    for column in (1, 2, 3):
        assert (tiles(picture, column)[0] == 90).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (500, 400), (8, 6)])
def test_crops_of_any_size_fit(shape: tuple[int, int]) -> None:
    data = cv2.imencode(".png", np.full(shape, 7, np.uint8))[1].tobytes()
    before, _ = tiles(contact_sheet([data], columns=1), 0)
    height, width = (max(1, round(side * TILE / max(shape))) for side in shape)
    assert (before[:height, :width] == 7).all()
    assert np.count_nonzero(before == 7) == height * width
