"""Ways round that save time give what the plain way gives, to the last bit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vin_batch.preprocess import frame, ink, strokes

Ink = NDArray[np.uint8]

CROPS = st.tuples(st.integers(6, 64), st.integers(6, 64)).flatmap(lambda s: arrays(np.uint8, s))
LONGEST = 64
"""Longest side of a working image, in pixels."""


@given(CROPS, st.integers(0, 3))
def test_turned_views_are_those_of_numpy(crop: Ink, side: int) -> None:
    turned = frame._turned(crop, side)
    assert np.array_equal(turned, np.rot90(crop, side))
    assert np.shares_memory(turned, crop)


@given(CROPS, st.integers(0, 3), st.floats(8, 300))
def test_margins_with_ink_are_found_without_turning(crop: Ink, side: int, threshold: float) -> None:
    turned = np.rot90(crop, side)
    depth = max(3, round(frame.SEARCH_SHARE * turned.shape[0]))
    dark = np.count_nonzero((turned[:depth] > threshold).any(axis=0))
    expected = dark >= frame.STRICT.coverage * turned.shape[1]
    assert frame._may_have_line(crop, side, threshold, frame.STRICT) is bool(expected)


@given(CROPS, st.floats(8, 300), st.integers(1, 9), st.data())
def test_a_straightened_margin_repeats_its_outermost_rows(
    margin: Ink, threshold: float, reach: int, data: st.DataObject
) -> None:
    rows, width = margin.shape
    paths = frame._paths(width, rows, rows)
    flat = paths[data.draw(st.integers(0, len(paths) - 1))]
    path = frame._Path(flat=flat, rows=flat // width, coverage=1.0)
    dark = margin > threshold
    around = frame._straighten(margin, dark, path, reach)
    wanted = path.rows + np.arange(-reach, reach + 1)[:, None]
    inside = (wanted >= 0) & (wanted < rows)
    nearest = np.clip(wanted, 0, rows - 1), np.arange(width)
    assert np.array_equal(around.ink, margin[nearest])
    assert np.array_equal(around.dark.astype(bool), dark[nearest] & inside)


@given(arrays(np.uint8, st.integers(1, 300)), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_level_that_holds_it(values: Ink, share: float) -> None:
    (found,) = ink._quantiles(values, (share,))
    level = int(np.sort(values)[int(np.ceil(share * values.size)) - 1])
    assert max(level - 0.5, 0) <= found <= level + 0.5


@pytest.mark.parametrize("longest", range(1, LONGEST + 1))
def test_what_fills_less_than_a_disc_is_no_blot(longest: int) -> None:
    """Nearer to a blot's centre than its radius, every pixel is filled."""
    field = np.ones((LONGEST + 1, LONGEST + 1), np.uint8)
    field[LONGEST // 2, LONGEST // 2] = 0
    distance = cv2.distanceTransform(field, cv2.DIST_L2, 3)
    disc = np.count_nonzero(distance <= strokes.BLOT_PEN * longest + 0.5)
    assert disc > strokes.BLOT_AREA * longest**2
