from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from second_fakes import plain_calibration, plain_fusion
from vin_batch.second_reader.evidence import (
    FLOOR,
    LOG_PROB_STEP,
    Fusion,
    Weights,
    fuse,
    second_log_probs,
)
from vin_batch.second_reader.recogniser import SYMBOLS
from vin_batch.vin.alphabet import ALPHABET

CLASSES = len(ALPHABET)
log_prob_rows = arrays(
    np.float32, st.tuples(st.integers(1, 6), st.just(CLASSES)), elements=st.floats(-9, 0, width=32)
)


def normal(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return (rows - np.logaddexp.reduce(rows, axis=1, keepdims=True)).astype(np.float32)


def constant(first: float, second: float) -> Fusion:
    return Fusion(Weights(first, second), Weights(first, second), np.zeros(CLASSES))


@given(log_prob_rows, st.integers(0, 2**31))
def test_fused_rows_are_probabilities_in_whole_steps(rows: NDArray[np.float32], seed: int) -> None:
    other = normal(np.random.default_rng(seed).normal(0, 3, rows.shape).astype(np.float32))
    fused = fuse(normal(rows), other, plain_fusion())
    assert fused.dtype == np.float32
    assert np.exp(fused.astype(np.float64)).sum(axis=1) == pytest.approx(1, abs=0.01)
    assert fused.min() >= FLOOR
    steps = fused / np.float32(LOG_PROB_STEP)
    assert (steps == np.rint(steps)).all()


@given(log_prob_rows)
def test_a_reader_without_weight_says_nothing(rows: NDArray[np.float32]) -> None:
    first = normal(rows)
    other = normal(rows[:, ::-1])
    assert fuse(first, other, constant(1, 0)) == pytest.approx(first, abs=LOG_PROB_STEP)
    assert fuse(first, other, constant(0, 1)) == pytest.approx(other, abs=LOG_PROB_STEP)


def test_rows_do_not_depend_on_each_other() -> None:
    rng = np.random.default_rng(3)
    first, second = (normal(rng.normal(0, 3, (50, CLASSES)).astype(np.float32)) for _ in "12")
    together = fuse(first, second, plain_fusion())
    for row in range(50):
        alone = fuse(first[row : row + 1], second[row : row + 1], plain_fusion())
        assert np.array_equal(alone[0], together[row])


def test_agreement_has_weights_of_its_own() -> None:
    fusion = Fusion(Weights(1, 1), Weights(0, 1), np.zeros(CLASSES))
    sure = np.full((2, CLASSES), -8, np.float32)
    sure[0, 3] = sure[1, 4] = 0
    first, second = normal(sure), normal(sure[[0, 0]])
    fused = fuse(first, second, fusion)
    assert fused[0, 3] > first[0, 3], "both say 3: surer than either"
    assert fused[1].argmax() == 3, "they differ: the second alone counts here"
    assert fused[1] == pytest.approx(second[1], abs=LOG_PROB_STEP)


def test_bias_moves_a_character() -> None:
    bias = np.zeros(CLASSES)
    bias[7] = 5.0
    flat = normal(np.zeros((1, CLASSES), np.float32))
    fused = fuse(flat, flat, Fusion(Weights(1, 1), Weights(1, 1), bias))
    assert fused[0].argmax() == 7


def test_calibration_turns_symbols_into_characters() -> None:
    scores = np.full((2, len(SYMBOLS)), -12, np.float32)
    scores[0, SYMBOLS.index("K")] = 0
    scores[1, SYMBOLS.index("O")] = 0
    log_probs = second_log_probs(scores, plain_calibration())
    assert [ALPHABET[best] for best in log_probs.argmax(axis=1)] == ["K", "0"]
    assert np.exp(log_probs.astype(np.float64)).sum(axis=1) == pytest.approx(1, abs=0.01)
