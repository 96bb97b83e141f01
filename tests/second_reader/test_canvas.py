from __future__ import annotations

import cv2
import numpy as np
import pytest

from tiny_model import drawn_box
from vin_batch.second_reader.canvas import EMPTY, canvas_from_bytes, canvas_from_crop
from vin_batch.second_reader.shape import HEIGHT, WIDTH


def test_crop_lies_left_and_the_rest_is_empty() -> None:
    crop = drawn_box("A")
    height, width = crop.shape
    fitted = round(HEIGHT * width / height)
    canvas = canvas_from_crop(crop)
    assert canvas.shape == (HEIGHT, WIDTH)
    assert (canvas[:, fitted:] == EMPTY).all()
    ink = canvas[:, :fitted]
    assert ink.min() < 100 < 200 < ink.max()


@pytest.mark.parametrize("character", "0X7")
def test_light_ink_on_dark_gives_the_same_canvas(character: str) -> None:
    crop = drawn_box(character)
    dark = cv2.bitwise_not(crop).astype(np.uint8)
    assert np.array_equal(canvas_from_crop(dark), canvas_from_crop(crop))


def test_wide_crops_are_squeezed() -> None:
    wide = np.tile(drawn_box("W"), (1, 4))
    canvas = canvas_from_crop(wide)
    assert (canvas[:, -1] != EMPTY).all(), "paper reaches the right edge"


def test_bytes_that_are_no_image_give_nothing() -> None:
    for data in (b"", b"torn", cv2.imencode(".png", np.zeros((1, 9), np.uint8))[1].tobytes()):
        assert canvas_from_bytes(data) is None
    crop = drawn_box("K")
    data = cv2.imencode(".png", crop)[1].tobytes()
    found = canvas_from_bytes(data)
    assert found is not None
    assert np.array_equal(found, canvas_from_crop(crop))
