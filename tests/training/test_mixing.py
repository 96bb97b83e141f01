"""Mixup mixes what it says, and images and targets alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vin_batch.training.mixing import mixup


def batch(count: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Image k is 255 at pixel k and 0 elsewhere, its target class k: the same weights mix both."""
    eye = np.eye(count, dtype=np.float32)
    return (eye * 255).astype(np.uint8).reshape(count, 1, count, 1), eye


@settings(max_examples=50)
@given(
    count=st.integers(1, 20),
    alpha=st.floats(0.05, 5),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_images_and_targets_are_mixed_with_the_same_weights(
    count: int, alpha: float, share: float, seed: int
) -> None:
    images, targets = batch(count)
    mixed, soft = mixup(images, targets, alpha, share, np.random.default_rng(seed))
    assert mixed.shape == images.shape
    assert mixed.dtype == np.uint8
    assert soft.dtype == np.float32
    assert np.abs(mixed.reshape(count, count) - soft * 255.0).max() <= 0.5 + 1e-3, "rounded"
    assert np.allclose(soft.sum(axis=1), 1, atol=1e-5)
    assert (np.count_nonzero(soft > 1e-6, axis=1) <= 2).all(), "of two images at most"
    changed = (soft != targets).any(axis=1)
    assert changed.sum() <= round(share * count)
    assert np.array_equal(mixed[~changed], images[~changed])
    before_images, before_targets = batch(count)
    assert np.array_equal(images, before_images), "the given batch is not changed"
    assert np.array_equal(targets, before_targets)


def test_the_same_seed_mixes_the_same() -> None:
    images, targets = batch(12)
    one, two, other = (
        mixup(images, targets, 0.4, 0.5, np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
    assert not np.array_equal(one[1], other[1])


def test_weights_come_from_the_beta_distribution() -> None:
    """Own weights over many batches have its mean and variance, 1/2 and 1/(4(2a + 1))."""
    rng = np.random.default_rng(3)
    images, targets = batch(500)
    own = []
    for _ in range(20):
        soft = mixup(images, targets, 0.3, 1.0, rng)[1]
        diagonal = np.diag(soft)
        own.append(diagonal[diagonal < 1])
    weights = np.concatenate(own)
    assert len(weights) > 9_000, "few are their own partners"
    assert weights.mean() == pytest.approx(0.5, abs=0.02)
    assert weights.var() == pytest.approx(1 / (4 * 1.6), abs=0.01)


def test_a_share_of_the_batch_is_mixed_wherever_it_stands() -> None:
    images, targets = batch(200)
    rng = np.random.default_rng(4)
    mixed_at = np.zeros(200)
    for _ in range(40):
        changed = (mixup(images, targets, 1.0, 0.25, rng)[1] != targets).any(axis=1)
        assert 45 <= changed.sum() <= 50, "a chosen image may be its own partner"
        mixed_at += changed
    assert mixed_at.min() > 0
    assert mixed_at.max() < 40


def test_equal_images_stay_as_they_are() -> None:
    images = np.full((8, 28, 28, 1), 255, np.uint8)
    targets = np.full((8, 33), 1 / 33, np.float32)
    mixed, soft = mixup(images, targets, 0.5, 1.0, np.random.default_rng(5))
    assert np.array_equal(mixed, images), "full white does not run over"
    assert np.allclose(soft, targets, atol=1e-7)


@pytest.mark.parametrize(
    ("alpha", "share", "match"),
    [(0.0, 0.5, "alpha"), (float("nan"), 0.5, "alpha"), (1.0, 1.1, "share"), (1.0, -0.1, "share")],
)
def test_numbers_out_of_range_are_refused(alpha: float, share: float, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        mixup(*batch(4), alpha, share, np.random.default_rng(0))


def test_unequal_lengths_are_refused() -> None:
    images, targets = batch(4)
    with pytest.raises(ValueError, match="4 images have 3 targets"):
        mixup(images, targets[:3], 1.0, 0.5, np.random.default_rng(0))
