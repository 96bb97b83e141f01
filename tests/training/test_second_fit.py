"""Fitting two readers: known answers come back, and shared errors cost weight."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vin_batch.second_reader.evidence import fuse, normalised, second_log_probs
from vin_batch.training.minimise import minimise
from vin_batch.training.second_fit import (
    RAREST,
    Boxes,
    even_weights,
    fit_calibration,
    fit_fusion,
    other_glyphs_log_probs,
)

CLASSES = 6
COUNT = 6000


def test_quadratic_and_banana_are_minimised() -> None:
    scales = np.array([1.0, 100.0, 0.01])

    def bowl(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        return float((scales * (x - 3) ** 2).sum()), 2 * scales * (x - 3)

    def banana(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        a, b = 1 - x[0], x[1] - x[0] ** 2
        return float(a * a + 100 * b * b), np.array([-2 * a - 400 * x[0] * b, 200 * b])

    assert minimise(bowl, np.zeros(3), tolerance=0) == pytest.approx(3, abs=1e-4)
    assert minimise(banana, np.array([-1.2, 1.0]), 500, tolerance=0) == pytest.approx(1, abs=1e-4)


def test_minimum_as_start_stays() -> None:
    def flat(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        return float((x * x).sum()), 2 * x

    assert minimise(flat, np.zeros(4)) == pytest.approx(0)


def evidence(
    rng: np.random.Generator, truth: NDArray[np.int64], noise: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Log-probabilities of a calibrated reader that sees the truth in Gaussian noise.

    With unit noise on each class and a signal ``s`` on the true one, the logits of the exact
    posterior are ``s`` times what was seen.
    """
    signal = 2.0
    seen = noise.copy()
    seen[np.arange(len(truth)), truth] += signal
    return normalised(signal * seen).astype(np.float32)


def loss(log_probs: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    return float(-log_probs[np.arange(len(truth)), truth].mean())


def test_independent_readers_both_count_in_full() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, CLASSES, COUNT)
    first, second = (
        evidence(rng, truth, rng.normal(size=(COUNT, CLASSES))) for _ in ("first", "second")
    )
    fusion = fit_fusion(first, second, truth)
    for weights in (fusion.agreeing, fusion.differing):
        assert weights.first + weights.second == pytest.approx(2, abs=0.3)
        assert min(weights.first, weights.second) > 0.75


def test_readers_that_err_together_count_once() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, CLASSES, COUNT)
    shared = rng.normal(size=(COUNT, CLASSES))
    own = [rng.normal(size=(COUNT, CLASSES)) for _ in range(2)]
    first, second = (
        evidence(rng, truth, np.sqrt(0.8) * shared + np.sqrt(0.2) * noise) for noise in own
    )
    fusion = fit_fusion(first, second, truth)
    total = fusion.differing.first + fusion.differing.second
    assert total == pytest.approx(2 / 1.8, abs=0.15), "noise correlated by 0.8 is worth 2 / 1.8"
    both = fuse(first, second, fusion)
    naive = normalised(first.astype(np.float64) + second).astype(np.float32)
    assert loss(both, truth) < min(loss(first, truth), loss(naive, truth))


def test_calibration_finds_how_scores_were_made() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(0, 4, (COUNT, 8)).astype(np.float32)
    true_weights = rng.normal(0, 0.4, (8, CLASSES))
    probs = np.exp(normalised(scores @ true_weights + 0.3))
    truth = np.array([rng.choice(CLASSES, p=row) for row in probs])
    fitted = fit_calibration(scores, truth, CLASSES)
    expected = true_weights - true_weights.mean(axis=1, keepdims=True)
    found = fitted.coefficients - fitted.coefficients.mean(axis=1, keepdims=True)
    assert found == pytest.approx(expected, abs=0.05)
    assert loss(second_log_probs(scores, fitted), truth) == pytest.approx(
        loss(np.log(probs).astype(np.float32), truth), abs=0.02
    )


def test_frequent_characters_are_not_believed_more() -> None:
    """Half of all boxes show one character: that is for the decoder to know, not for the ink."""
    rng = np.random.default_rng(5)
    truth = np.where(rng.random(COUNT) < 0.5, 0, rng.integers(1, CLASSES, COUNT))
    first, second = (evidence(rng, truth, rng.normal(size=(COUNT, CLASSES))) for _ in range(2))
    fusion = fit_fusion(first, second, truth)
    assert fusion.bias == pytest.approx(fusion.bias.mean(), abs=0.25)
    scores = np.log(np.maximum(rng.random((COUNT, 3)), 0.01)).astype(np.float32)
    blind = fit_calibration(scores, truth, CLASSES)
    assert np.exp(second_log_probs(scores, blind)).max() < 0.25, "noise says nothing"


def test_weights_are_even_and_bounded() -> None:
    truth = np.array([0] * 60 + [1] * 30 + [2] * 10)
    weights = even_weights(truth, 3)
    sums = np.bincount(truth, weights=weights)
    assert weights.mean() == pytest.approx(1)
    assert sums == pytest.approx(sums[0])
    rare = even_weights(np.array([0] * 999 + [1]), 2)
    assert rare[-1] / rare[0] == pytest.approx(RAREST / (1000 / (2 * 999)))


def test_no_glyph_is_read_by_a_calibration_that_knows_it() -> None:
    """Labels that follow the glyph and not the scores can be learned by heart, but not here."""
    rng = np.random.default_rng(4)
    glyphs = np.repeat(np.arange(30), 20)
    label = rng.integers(0, CLASSES, 30)
    mark = rng.normal(0, 3, (30, 40))
    boxes = Boxes(
        first=np.full((600, CLASSES), -np.log(CLASSES), np.float32),
        scores=mark[glyphs].astype(np.float32),
        truth=label[glyphs],
        glyphs=glyphs,
    )
    by_heart = second_log_probs(boxes.scores, fit_calibration(boxes.scores, boxes.truth, CLASSES))
    assert (by_heart.argmax(axis=1) == boxes.truth).all()
    honest = other_glyphs_log_probs(boxes)
    assert (honest.argmax(axis=1) == boxes.truth).mean() < 0.6


def test_a_second_look_is_not_the_easier_way_to_be_accepted() -> None:
    from vin_batch.records import DecisionPolicy
    from vin_batch.training.second import as_sure_as

    first = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=0.995)
    eager = DecisionPolicy(slope=0.9, intercept=0.1, accept_confidence=0.99)
    strict = DecisionPolicy(slope=0.9, intercept=0.1, accept_confidence=0.999)
    assert as_sure_as(first, eager) == DecisionPolicy(0.9, 0.1, 0.995)
    assert as_sure_as(first, strict) == strict
