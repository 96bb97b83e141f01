"""Temperature, recalibration and threshold find what is true, and promise nothing more."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vin_batch.records import DecisionPolicy
from vin_batch.training.calibrate import (
    MAX_WRONG_SHARE,
    NEVER,
    SAFETY,
    Outcomes,
    Settled,
    calibrated,
    fit_characters,
    fit_policy,
)
from vin_batch.training.curves import expected_calibration_error
from vin_batch.vin.verdict import MAX_LOG_ODDS, confidences, log_odds

Reals = NDArray[np.float64]


def labelled_logits(
    temperature: float, count: int = 3000
) -> tuple[NDArray[np.float32], NDArray[np.int16], Reals]:
    """Logits, labels drawn from them once divided by ``temperature``, and true chances."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2.5, (count, 12))
    probs = np.exp(true - np.logaddexp.reduce(true, axis=1, keepdims=True))
    labels = (probs.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
    return (
        (true * temperature).astype(np.float32),
        np.minimum(labels, 11).astype(np.int16),
        probs,
    )


@pytest.mark.parametrize("temperature", [0.5, 2.5])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    logits, labels, probs = labelled_logits(temperature)
    found = fit_characters(logits, labels)
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert np.abs(found.class_bias).max() < 0.4
    fitted = np.exp(calibrated(logits, found.temperature, found.tail))
    assert float(np.abs(fitted - probs).max(axis=1).mean()) < 0.03
    assert expected_calibration_error(fitted.max(axis=1), fitted.argmax(axis=1) == labels) < 0.03


def test_a_temperature_stays_within_reason() -> None:
    logits = np.eye(5, dtype=np.float32)[np.arange(50) % 5] * 4
    wrong = (np.arange(50) + 1) % 5
    sure = fit_characters(logits, (np.arange(50) % 5).astype(np.int16))
    unsure = fit_characters(logits, wrong.astype(np.int16))
    assert 0.29 < sure.temperature < 0.6
    assert 4.5 < unsure.temperature < 5.1


def test_a_network_that_prefers_classes_is_corrected_for_an_even_population() -> None:
    """Six in seven labels are of class 0, and the network has learned to expect them."""
    rng = np.random.default_rng(8)
    labels = np.where(rng.random(6000) < 0.75, 0, rng.integers(1, 4, 6000)).astype(np.int16)
    logits = rng.normal(0, 1, (6000, 4)).astype(np.float32)
    logits[np.arange(6000), labels] += 1.0
    even = fit_characters(logits, labels).class_bias
    expecting = logits + np.log([9.0, 1.0, 1.0, 1.0], dtype=np.float32)
    corrected = fit_characters(expecting, labels).class_bias
    assert corrected[1:].mean() - corrected[0] - (even[1:].mean() - even[0]) == pytest.approx(
        math.log(9), abs=0.1
    )


def test_a_few_wrong_labels_do_not_make_it_unsure() -> None:
    """Among clear answers, two labels in a thousand are wrong; that is not the network's doubt."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 12, 2000)
    logits = rng.normal(0, 0.3, (2000, 12)).astype(np.float32)
    logits[np.arange(2000), labels] += 9
    noisy = labels.copy()
    noisy[::500] = (labels[::500] + 1) % 12
    clean, noised = (
        calibrated(logits + found.class_bias.astype(np.float32), found.temperature, found.tail).max(
            axis=1
        )
        for found in (fit_characters(logits, given.astype(np.int16)) for given in (labels, noisy))
    )
    assert float(np.median(-np.expm1(noised))) < 1e-3
    assert float(np.median(noised)) <= float(np.median(clean))


def test_log_odds_are_limited_and_symmetric() -> None:
    posterior = np.array([0.0, 1e-300, 0.25, 0.5, 0.75, 1 - 1e-16, 1.0])
    odds = log_odds(posterior)
    assert odds[[0, 1]] == pytest.approx([-MAX_LOG_ODDS] * 2)
    assert odds[[5, 6]] == pytest.approx([MAX_LOG_ODDS] * 2)
    assert odds[2:5] == pytest.approx([-math.log(3), 0, math.log(3)])


def outcomes(posterior: Reals, correct: NDArray[np.bool_]) -> Outcomes:
    return Outcomes(posterior, correct, np.ones(len(posterior), bool))


def sigmoid(x: Reals) -> Reals:
    return 0.5 + 0.5 * np.tanh(x / 2)


def answered(slope: float, intercept: float, count: int = 20_000) -> Outcomes:
    """Cards whose true chance is ``sigmoid(slope * log odds + intercept)``."""
    rng = np.random.default_rng(1)
    odds = rng.normal(6, 4, count)
    chance = sigmoid(slope * odds + intercept)
    return outcomes(sigmoid(odds), rng.random(count) < chance)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.6, -0.5), (1.4, 0.4), (0.1, 2.0)])
def test_a_known_miscalibration_is_recovered(slope: float, intercept: float) -> None:
    policy = fit_policy(answered(slope, intercept))
    assert policy.slope == pytest.approx(slope, abs=0.06)
    assert policy.intercept == pytest.approx(intercept, abs=0.15)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.6, -0.5), (1.4, 0.4)])
def test_the_threshold_keeps_the_wrong_share(slope: float, intercept: float) -> None:
    cards = answered(slope, intercept)
    policy = fit_policy(cards)
    accepted = confidences(cards.posterior, policy) >= policy.accept_confidence
    wrong = accepted & ~cards.correct
    assert accepted.sum() > 2000
    assert wrong.sum() <= accepted.sum() * MAX_WRONG_SHARE / SAFETY
    looser = confidences(cards.posterior, policy) >= policy.accept_confidence - 0.005
    assert (looser & ~cards.correct).sum() > looser.sum() * MAX_WRONG_SHARE / SAFETY


def test_cards_that_something_else_holds_back_do_not_move_the_threshold() -> None:
    cards = answered(1.0, 0.0)
    kept_back = np.zeros(len(cards.posterior), bool)
    kept_back[~cards.correct] = True
    clean = fit_policy(Outcomes(cards.posterior, cards.correct, ~kept_back))
    assert clean.accept_confidence < 0.2
    assert clean.slope == fit_policy(cards).slope


@pytest.mark.parametrize("wrong", [0, 3, 10])
def test_cards_that_were_accepted_before_count_too(wrong: int) -> None:
    """300 cards alone are too few for any threshold; beside others they are not."""
    posterior = np.linspace(0.9, 0.99999, 300)
    correct = np.ones(300, bool)
    correct[np.arange(0, 300, 60)] = False
    cards = outcomes(posterior, correct)
    assert fit_policy(cards).accept_confidence == NEVER
    before = Settled(accepted=10_000, wrong=wrong)
    policy = fit_policy(cards, before)
    if wrong > 6:
        assert policy.accept_confidence == NEVER
        return
    accepted = accepts(policy, posterior)
    allowed = (MAX_WRONG_SHARE / SAFETY) * (10_000 + accepted.sum())
    assert accepted.sum() > 0
    assert wrong + (accepted & ~correct).sum() <= allowed
    assert accepted.sum() == 300 or wrong + (accepted & ~correct).sum() + 1 > allowed


def accepts(policy: DecisionPolicy, posterior: Reals) -> NDArray[np.bool_]:
    return np.asarray(confidences(posterior, policy) >= policy.accept_confidence)


def test_nothing_is_accepted_where_nothing_is_pure() -> None:
    rng = np.random.default_rng(2)
    for posterior in (
        rng.uniform(0.5, 1, 3000),
        np.ones(3000),
        1 - 10 ** -rng.uniform(1, 12, 3000),
    ):
        policy = fit_policy(outcomes(posterior, np.arange(3000) % 20 > 0))
        if policy.accept_confidence != NEVER:
            # A pure run by chance at the top is all that may be accepted.
            assert accepts(policy, posterior).sum() < 200
    worst = fit_policy(outcomes(np.ones(3000), np.arange(3000) % 2 > 0))
    assert worst.accept_confidence == NEVER > 1
    assert not accepts(worst, np.array([0.5, 1.0])).any()
    saturated = DecisionPolicy(slope=50.0, intercept=0.0, accept_confidence=NEVER)
    assert not accepts(saturated, np.array([1.0])).any(), "a confidence may be 1 to the last bit"


def test_the_threshold_for_never_survives_json() -> None:
    assert json.loads(json.dumps(NEVER)) == NEVER > 1


def test_equal_confidences_are_accepted_together_or_not_at_all() -> None:
    posterior = np.full(4000, 1 - 1e-5)
    correct = np.arange(4000) < 3980
    policy = fit_policy(outcomes(posterior, correct))
    assert not accepts(policy, posterior).any()
    for order in (correct, correct[::-1]):
        assert fit_policy(outcomes(posterior, order)).accept_confidence == NEVER


@pytest.mark.parametrize(
    "case", ["too sure", "all right", "all wrong", "all certain", "worse is surer", "two", "none"]
)
def test_odd_samples_give_a_finite_policy(case: str) -> None:
    rng = np.random.default_rng(3)
    sure = 1 - 10 ** -rng.uniform(1, 12, 4000)
    posterior, correct = {
        "too sure": (sure, rng.random(4000) < 0.95),
        "all right": (sure, np.ones(4000, bool)),
        "all wrong": (sure, np.zeros(4000, bool)),
        "all certain": (np.ones(4000), np.ones(4000, bool)),
        "worse is surer": (sure, sure < 1 - 1e-6),
        "two": (np.array([0.9, 0.99]), np.array([True, False])),
        "none": (np.empty(0), np.empty(0, bool)),
    }[case]
    with np.errstate(all="raise", under="ignore"):
        policy = fit_policy(outcomes(posterior, correct))
    assert abs(policy.slope) < 50
    assert abs(policy.intercept) < 300
    assert 0 < policy.accept_confidence <= NEVER
    if case == "too sure":
        confidence = confidences(posterior, policy)
        assert float(np.abs(confidence - 0.95).mean()) < 0.02, "honest about being too sure"


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40),
)
def test_what_is_accepted_in_the_sample_is_pure(cards: list[tuple[float, bool]]) -> None:
    posterior = np.array([posterior for posterior, _ in cards])
    correct = np.array([right for _, right in cards], bool)
    policy = fit_policy(outcomes(posterior, correct))
    accepted = accepts(policy, posterior)
    assert (accepted & ~correct).sum() <= accepted.sum() * MAX_WRONG_SHARE / SAFETY
