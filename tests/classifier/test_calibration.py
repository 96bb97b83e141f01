"""Logits become the same log-probabilities whoever computed them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vin_batch.classifier.calibration import (
    FLOOR,
    LOG_PROB_STEP,
    Calibration,
    calibrate_logits,
    calibration_of,
)
from vin_batch.classifier.keras_classifier import KerasClassifier
from vin_batch.classifier.model_card import load_model_card
from vin_batch.classifier.tail import Tail

LOGITS = arrays(
    np.float32,
    st.tuples(st.integers(0, 9), st.just(5)),
    elements=st.floats(-60, 60, width=32),
)
CALIBRATIONS = st.builds(
    Calibration,
    st.floats(0.3, 5.0),
    st.tuples(*[st.floats(-2, 2)] * 5),
    st.builds(Tail, st.floats(1, 5), st.sampled_from((0.0, 0.5, 2.0))),
)


@given(LOGITS, CALIBRATIONS)
def test_rows_are_log_probabilities_on_a_grid_and_know_nothing_of_each_other(
    logits: np.ndarray, calibration: Calibration
) -> None:
    found = calibrate_logits(logits, calibration)
    assert found.shape == logits.shape
    assert found.dtype == np.float32
    assert np.array_equal(np.rint(found / LOG_PROB_STEP) * np.float32(LOG_PROB_STEP), found)
    for row in range(len(logits)):
        assert FLOOR <= found[row].min() <= found[row].max() <= 0
        assert abs(np.logaddexp.reduce(found[row].astype(np.float64))) < 5 * LOG_PROB_STEP
        assert np.array_equal(calibrate_logits(logits[row : row + 1], calibration)[0], found[row])


@given(LOGITS, CALIBRATIONS)
def test_a_flat_shift_of_the_logits_says_nothing(
    logits: np.ndarray, calibration: Calibration
) -> None:
    shifted = calibrate_logits((logits + np.float32(4)), calibration)
    assert np.abs(shifted - calibrate_logits(logits, calibration)).max(initial=0) <= LOG_PROB_STEP


def test_the_reference_calibrates_alike(tiny_model: Path, tiny_classifier: KerasClassifier) -> None:
    card = load_model_card(tiny_model)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)
    logits = tiny_classifier.network(pixels[..., None], training=False).numpy()
    ours = calibrate_logits(logits, calibration_of(card))
    theirs = tiny_classifier.log_probs(pixels)
    assert np.abs(ours - theirs).max() <= LOG_PROB_STEP
    assert np.mean(ours == theirs) > 0.99
    assert ours.argmax(axis=1) == pytest.approx(theirs.argmax(axis=1))
