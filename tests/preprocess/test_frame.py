"""What is a printed line goes; what is written stays, even where it touches the line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vin_batch.preprocess.frame import remove_frame

Ink = NDArray[np.uint8]
THRESHOLD = 20.0
SIDE = 60


def middle_stroke() -> Ink:
    ink = np.zeros((SIDE, SIDE), np.uint8)
    ink[18:44, 28:32] = 180
    return ink


def lined(ink: Ink, side: int, offset: int = 2, width: int = 2, tone: int = 140) -> Ink:
    """Draw a line parallel to a side (quarter turns from the top)."""
    copy = ink.copy()
    np.rot90(copy, side)[offset : offset + width] = np.maximum(
        np.rot90(copy, side)[offset : offset + width], tone
    )
    return copy


@pytest.mark.parametrize("offset", [0, 1, 3, 7])
@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("side", range(4))
def test_a_line_along_a_side_is_removed(side: int, width: int, offset: int) -> None:
    ink = middle_stroke()
    assert np.array_equal(remove_frame(lined(ink, side, offset, width), THRESHOLD), ink)


@pytest.mark.parametrize("tone", [25, 60, 255])
def test_all_four_lines_are_removed_whatever_their_tone(tone: int) -> None:
    framed = ink = middle_stroke()
    for side in range(4):
        framed = lined(framed, side, tone=tone)
    assert np.array_equal(remove_frame(framed, THRESHOLD), ink)


def test_an_image_without_a_line_is_given_back() -> None:
    ink = middle_stroke()
    assert remove_frame(ink, THRESHOLD) is ink
    blank = np.zeros((SIDE, SIDE), np.uint8)
    assert remove_frame(blank, THRESHOLD) is blank


def test_the_input_is_not_changed() -> None:
    framed = lined(middle_stroke(), 0)
    before = framed.copy()
    remove_frame(framed, THRESHOLD)
    assert np.array_equal(framed, before)


@pytest.mark.parametrize("side", range(4))
def test_a_drifting_line_is_removed(side: int) -> None:
    ink = middle_stroke()
    drifting = ink.copy()
    for column in range(SIDE):
        row = 2 + round(3 * column / SIDE)
        np.rot90(drifting, side)[row : row + 2, column] = 140
    cleaned = remove_frame(drifting, THRESHOLD)
    assert np.array_equal(cleaned[16:46, 16:46], ink[16:46, 16:46])
    assert np.count_nonzero(cleaned) <= np.count_nonzero(ink) + 6


def test_a_line_with_gaps_is_removed() -> None:
    ink = middle_stroke()
    gapped = lined(ink, 0)
    gapped[2:4, 12:19] = 0
    gapped[2:4, 40:46] = 0
    assert np.array_equal(remove_frame(gapped, THRESHOLD), ink)


def test_a_worn_line_is_believed_only_beside_certain_ones() -> None:
    worn = middle_stroke()
    worn[2:4, ::2] = 120
    assert np.array_equal(remove_frame(worn, THRESHOLD), worn)
    beside = remove_frame(lined(lined(worn, 1), 3), THRESHOLD)
    assert np.array_equal(beside, middle_stroke())


def test_a_stroke_that_crosses_the_line_keeps_its_own_tone() -> None:
    ink = np.zeros((SIDE, SIDE), np.uint8)
    ink[0:40, 28:32] = 90
    cleaned = remove_frame(lined(ink, 0, tone=200), THRESHOLD)
    assert (cleaned[0:40, 28:32] >= 80).all()
    assert (cleaned[0:4, 28:32] <= 90).all()
    assert not cleaned[0:4, :24].any()
    assert not cleaned[0:4, 36:].any()


@pytest.mark.parametrize("side", range(4))
def test_written_bars_are_no_lines(side: int) -> None:
    short = np.zeros((SIDE, SIDE), np.uint8)
    short[3:7, 16:44] = 180
    short[3:40, 28:32] = 180
    thick = np.zeros((SIDE, SIDE), np.uint8)
    thick[2:14, :] = 180
    wavy = np.zeros((SIDE, SIDE), np.uint8)
    for column in range(SIDE):
        row = 5 + round(2.5 * np.sin(column / 7))
        wavy[row : row + 3, column] = 180
    wavy[8:50, 40:44] = 180
    inside = np.zeros((SIDE, SIDE), np.uint8)
    inside[16:18, :] = 180
    for ink in (short, thick, wavy, inside):
        turned = np.ascontiguousarray(np.rot90(ink, side))
        assert np.array_equal(remove_frame(turned, THRESHOLD), turned)


def test_faint_paper_texture_is_no_line() -> None:
    grain = np.random.default_rng(0).integers(0, 18, (SIDE, SIDE), dtype=np.uint8)
    assert remove_frame(grain, THRESHOLD) is grain


@given(
    st.tuples(st.integers(6, 64), st.integers(6, 64)).flatmap(lambda s: arrays(np.uint8, s)),
    st.floats(8, 60),
)
def test_nothing_is_ever_added(ink: Ink, threshold: float) -> None:
    cleaned = remove_frame(ink, threshold)
    assert cleaned.shape == ink.shape
    assert cleaned.dtype == np.uint8
    assert (cleaned <= ink).all()
    deep = [round(0.2 * side) + 14 for side in ink.shape]
    inner = np.s_[deep[0] : -deep[0], deep[1] : -deep[1]]
    assert np.array_equal(cleaned[inner], ink[inner])
