from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vin_batch.second_reader.ctc import single_character_scores

BLANK = 0


def said(path: tuple[int, ...]) -> tuple[int, ...]:
    """The text of a path: repetitions merged, blanks left out."""
    merged = [one for place, one in enumerate(path) if place == 0 or path[place - 1] != one]
    return tuple(symbol for symbol in merged if symbol != BLANK)


@given(arrays(np.float64, st.tuples(st.integers(1, 5), st.just(4)), elements=st.floats(0.01, 1)))
def test_scores_are_the_sum_over_all_paths(raw: np.ndarray) -> None:
    frames = raw / raw.sum(axis=1, keepdims=True)
    expected = np.zeros(3)
    for path in product(range(4), repeat=len(frames)):
        text = said(path)
        if len(text) == 1:
            expected[text[0] - 1] += np.prod([frames[t, s] for t, s in enumerate(path)])
    scores = single_character_scores(
        frames[None, :, 0].astype(np.float32), frames[None, :, 1:].astype(np.float32)
    )
    assert np.exp(scores[0]) == pytest.approx(expected, rel=1e-4)


def test_impossible_characters_stay_finite() -> None:
    blank = np.ones((1, 4), np.float32)
    scores = single_character_scores(blank, np.zeros((1, 4, 2), np.float32))
    assert np.isfinite(scores).all()
    assert (scores < -20).all()
