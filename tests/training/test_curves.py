"""Intervals, risk-coverage curves and reliability, against hand counts and definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vin_batch.training.curves import (
    MAX_POINTS,
    expected_calibration_error,
    reliability,
    risk_curve,
)
from vin_batch.training.intervals import cards_without_error, share_text, wilson

cards = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.9, 0.99, 1.0]), st.booleans(), st.booleans()),
    max_size=40,
)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 1000, 0.0002, 0.0056),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_intervals_of_the_literature(
    count: int, total: int, low: float, high: float
) -> None:
    assert wilson(count, total) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_a_share_lies_in_its_interval(total: int, part: float) -> None:
    count = round(part * total)
    low, high = wilson(count, total)
    assert 0 <= low <= count / total <= high <= 1
    assert (low, high) == pytest.approx(tuple(1 - b for b in wilson(total - count, total)[::-1]))


def test_shares_in_words() -> None:
    assert share_text(3, 7) == " 42.86 % [15.82, 74.95]"
    assert share_text(0, 0).strip() == "none"


@pytest.mark.parametrize(("share", "needed"), [(1e-3, 3000), (0.006, 500), (0.01, 300)])
def test_the_rule_of_three(share: float, needed: int) -> None:
    assert cards_without_error(share) == needed
    assert (1 - share) ** needed == pytest.approx(0.05, rel=0.03), "what 95 % means"


def test_a_curve_by_hand() -> None:
    score = np.array([0.9, 0.9, 0.8, 0.7, 0.6])
    right = np.array([True, True, False, True, True])
    curve = risk_curve(score, right)
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curve.accepted.tolist() == [2, 3, 4, 5]
    assert curve.wrong.tolist() == [0, 1, 1, 1]
    assert curve.coverage == pytest.approx([0.4, 0.6, 0.8, 1.0])
    assert curve.risk == pytest.approx([0, 1 / 3, 1 / 4, 1 / 5])
    assert curve.at_most(0) == (2, 0)
    assert curve.at_most(0.2) == (5, 1), "a later threshold may be pure enough again"
    assert curve.at_most(0.19) == (2, 0)


def test_only_eligible_cards_are_accepted_but_all_count() -> None:
    score, right = np.array([0.9, 0.8, 0.7]), np.array([False, True, True])
    curve = risk_curve(score, right, np.array([False, True, True]))
    assert curve.total == 3
    assert curve.at_most(0) == (2, 0)
    assert curve.coverage[-1] == pytest.approx(2 / 3)


def test_nothing_gives_nothing() -> None:
    empty = risk_curve(np.empty(0), np.empty(0, bool))
    assert empty.at_most(1) == (0, 0)
    assert empty.points() == []
    none = risk_curve(np.ones(3), np.ones(3, bool), np.zeros(3, bool))
    assert none.at_most(1) == (0, 0)
    wrong = risk_curve(np.ones(3), np.zeros(3, bool))
    assert wrong.at_most(0.5) == (0, 0)


@given(cards)
def test_a_curve_is_what_thresholds_would_do(rows: list[tuple[float, bool, bool]]) -> None:
    score = np.array([row[0] for row in rows], float)
    right = np.array([row[1] for row in rows], bool)
    eligible = np.array([row[2] for row in rows], bool)
    curve = risk_curve(score, right, eligible)
    assert len(curve.thresholds) == len(set(score[eligible].tolist()))
    for threshold, accepted, wrong in curve.points():
        chosen = eligible & (score >= threshold)
        assert (accepted, wrong) == (chosen.sum(), (chosen & ~right).sum())
    for risk in (0.0, 0.1, 0.5, 1.0):
        accepted, wrong = curve.at_most(risk)
        assert wrong <= risk * accepted
        better = (curve.accepted > accepted) & (curve.wrong <= risk * curve.accepted)
        assert not better.any(), "no threshold would accept more"


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    score = np.linspace(0, 1, 5000)
    curve = risk_curve(score, score > 0.3)
    points = curve.points()
    assert len(points) == MAX_POINTS
    assert (points[0][0], points[-1][0]) == (1.0, 0.0)
    assert points[-1][1:] == (5000, int((score <= 0.3).sum()))


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.25] * 4 + [0.75] * 4)
    right = np.array([True, False, False, False, True, True, True, False])
    assert expected_calibration_error(confidence, right, bins=2) == pytest.approx(0)
    assert expected_calibration_error(confidence, ~right, bins=2) == pytest.approx(0.5)
    assert expected_calibration_error(np.ones(5), np.zeros(5, bool)) == 1
    assert expected_calibration_error(np.empty(0), np.empty(0, bool)) == 0
    rng = np.random.default_rng(0)
    honest = rng.random(20_000)
    assert expected_calibration_error(honest, rng.random(20_000) < honest) < 0.02
    assert expected_calibration_error(honest, rng.random(20_000) < honest**3) > 0.15


def test_reliability_bins_hold_every_answer_once() -> None:
    rng = np.random.default_rng(1)
    confidence, right = rng.random(103), rng.random(103) < 0.5
    bins = reliability(confidence, right)
    assert sum(part.count for part in bins) == 103
    assert sum(part.right for part in bins) == right.sum()
    means = [part.confidence for part in bins]
    assert means == sorted(means)
    assert len(reliability(confidence[:3], right[:3])) == 3, "no empty bins"
