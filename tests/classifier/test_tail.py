"""Stretching the tail moves nearly sure answers and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vin_batch.classifier.tail import Tail, stretch_tail

Rows = NDArray[np.float32]
TAIL = Tail(knee=3.0, gain=1.5)


def normalised(logits: NDArray[np.floating]) -> Rows:
    shifted = logits.astype(np.float64)
    total = np.logaddexp.reduce(shifted, axis=1, keepdims=True)
    return np.asarray(shifted - total, np.float32)


def odds(log_probs: Rows) -> NDArray[np.float64]:
    """Log odds of the first class of every row."""
    ordered = np.sort(log_probs.astype(np.float64), axis=1)
    return np.asarray(ordered[:, -1] - np.logaddexp.reduce(ordered[:, :-1], axis=1))


@given(
    arrays(np.float32, (4, 6), elements=st.floats(-15, 15, width=32)),
    st.floats(0, 6), st.floats(0, 3),
)  # fmt: skip
def test_order_and_total_stay(logits: Rows, knee: float, gain: float) -> None:
    rows = normalised(logits)
    stretched = stretch_tail(rows, Tail(knee, gain))
    assert stretched.dtype == np.float32
    assert np.abs(np.logaddexp.reduce(stretched.astype(np.float64), axis=1)).max() < 1e-5
    for before, after in zip(rows, stretched, strict=True):
        gaps = before[:, None] - before[None, :]
        assert ((after[:, None] - after[None, :])[gaps > 1e-3] > 0).all()


def test_log_odds_above_the_knee_grow_by_the_gain() -> None:
    rows = normalised(np.array([[1.0, 0, 0], [3.5, 0, 0], [6.0, 0, 0], [12.0, 1, 0]]))
    before, after = odds(rows), odds(stretch_tail(rows, TAIL))
    expected = before + 1.5 * np.maximum(before - 3.0, 0)
    assert after == pytest.approx(expected, abs=1e-3)
    assert before[0] < 3 < before[2], "both sides of the knee are tried"


def test_the_others_share_the_rest_as_before() -> None:
    rows = normalised(np.array([[9.0, 2.0, 1.0, -1.0]]))
    stretched = stretch_tail(rows, TAIL)
    assert np.diff(stretched[0, 1:]) == pytest.approx(np.diff(rows[0, 1:]), abs=1e-4)


def test_no_gain_changes_nothing() -> None:
    rows = normalised(np.random.default_rng(0).normal(0, 4, (30, 9)))
    assert np.array_equal(stretch_tail(rows, Tail()), rows)
    assert stretch_tail(rows[:0], TAIL).shape == (0, 9)


def test_a_row_does_not_depend_on_the_others_and_the_input_stays() -> None:
    rows = normalised(np.random.default_rng(1).normal(0, 4, (30, 9)))
    before = rows.copy()
    stretched = stretch_tail(rows, TAIL)
    assert np.array_equal(rows, before)
    assert np.array_equal(stretch_tail(rows[7:8], TAIL)[0], stretched[7])


def test_certainty_stays_finite() -> None:
    rows = np.array([[0.0, -80.0, -90.0], [-1e-7, -16.0, -100.0]], np.float32)
    stretched = stretch_tail(rows, Tail(knee=2.5, gain=2.0))
    assert np.isfinite(stretched).all()
    assert (stretched[:, 0] <= 0).all()
    assert (stretched[:, 1] < rows[:, 1]).all()
