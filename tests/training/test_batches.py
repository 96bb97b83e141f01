"""What a training is shown: targets, jitter, order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vin_batch.training.batches import Batches, BatchPlan, jitter_images, soft_targets
from vin_batch.training.pool import REJECT

CLASSES = 5


@given(
    labels=st.lists(st.integers(REJECT, CLASSES - 1), min_size=1, max_size=30),
    smoothing=st.floats(0, 0.5),
    distillation=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_targets_are_distributions(
    labels: list[int], smoothing: float, distillation: float, seed: int
) -> None:
    numbers = np.array(labels, np.int16)
    rng = np.random.default_rng(seed)
    taught = rng.dirichlet(np.ones(CLASSES), len(labels)).astype(np.float32)
    targets = soft_targets(numbers, CLASSES, smoothing, taught, distillation)
    assert targets.dtype == np.float32
    assert (targets >= 0).all()
    assert targets.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert targets[numbers == REJECT] == pytest.approx(1 / CLASSES), "nothing is right"
    known = numbers != REJECT
    label = np.eye(CLASSES)[numbers[known]] * (1 - smoothing) + smoothing / CLASSES
    mixed = (1 - distillation) * label + distillation * taught[known]
    assert targets[known] == pytest.approx(mixed, abs=1e-5)


def test_without_a_teacher_the_labels_alone_count() -> None:
    targets = soft_targets(np.array([2, 0], np.int16), 3, 0.0, None, 0.9)
    assert targets.tolist() == [[0, 0, 1], [1, 0, 0]]


def images(count: int) -> NDArray[np.uint8]:
    """A bar in the middle, another height for every image."""
    found = np.zeros((count, 28, 28), np.uint8)
    for row in range(count):
        found[row, 14 - 4 - row % 6 : 14 + 4 + row % 6, 12:16] = 255
    return found


def test_jitter_moves_every_image_a_little_and_the_seed_repeats_it() -> None:
    bars = images(40)
    moved = jitter_images(bars, np.random.default_rng(3))
    assert moved.dtype == np.uint8
    assert moved.shape == bars.shape
    assert np.array_equal(moved, jitter_images(bars, np.random.default_rng(3)))
    assert all(not np.array_equal(one, other) for one, other in zip(moved, bars, strict=True))
    ink = moved.sum(axis=(1, 2)) / bars.sum(axis=(1, 2))
    assert ((ink > 0.6) & (ink < 1.5)).all(), "the character stays in the image"
    rows, columns = np.arange(28)[None, :, None], np.arange(28)[None, None, :]
    weight = moved.sum(axis=(1, 2))
    for axis in (rows, columns):
        centre = (moved * axis).sum(axis=(1, 2)) / weight
        assert np.abs(centre - 13.6).max() < 4


@pytest.mark.parametrize(("jitter", "mixup"), [(False, 0.0), (True, 0.0), (True, 0.3)])
def test_batches_are_full_shuffled_and_repeatable(jitter: bool, mixup: float) -> None:
    targets = np.eye(CLASSES, dtype=np.float32)[np.arange(50) % CLASSES]
    plan = BatchPlan(size=8, mixup=mixup, jitter=jitter, seed=4)
    one, other = Batches(images(50), targets, plan), Batches(images(50), targets, plan)
    assert len(one) == 6, "a short last batch would be a new shape"
    first = [one[index] for index in range(len(one))]
    for (pixels, wanted), (again, wanted_again) in zip(first, map(other.__getitem__, range(6)),
                                                       strict=True):  # fmt: skip
        assert pixels.shape == (8, 28, 28, 1)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, again)
        assert np.array_equal(wanted, wanted_again)
        assert wanted.sum(axis=1) == pytest.approx(1, abs=1e-5)
    one.on_epoch_end()
    assert not np.array_equal(one[0][1], first[0][1]), "another order in the next pass"


def test_without_jitter_and_mixup_images_are_shown_as_they_are() -> None:
    bars, targets = images(16), np.eye(16, dtype=np.float32)
    batches = Batches(bars, targets, BatchPlan(size=4, mixup=0.0, jitter=False, seed=1))
    seen = set()
    for index in range(4):
        for pixels, target in zip(*batches[index], strict=True):
            row = int(target.argmax())
            assert np.array_equal(pixels[..., 0], bars[row])
            seen.add(row)
    assert seen == set(range(16))
