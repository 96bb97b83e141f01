"""Batches of a training: shuffled, moved about a little, with soft targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from vin_batch.training.mixing import mixup
from vin_batch.training.pool import REJECT

Teacher = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From images ``uint8[n, 28, 28]`` to probabilities ``float32[n, classes]``."""

MIXED_SHARE: Final = 0.5
"""Share of a batch that mixup mixes, where it does."""
TURN: Final = 5.0
"""Standard deviation of a jitter's turn, in degrees."""
SCALE: Final = 0.06
"""Standard deviation of the logarithm of a jitter's scale, each way on its own."""
SHEAR: Final = 0.06
SHIFT: Final = 0.7
"""Standard deviation of a jitter's shift, in pixels of 28."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How batches are made.

    Attributes:
        size: Images of a batch.
        mixup: Parameter of the Beta distribution; 0 mixes nothing.
        jitter: Whether every showing of an image is turned, scaled and shifted anew.
        seed: Seed of order and jitter.
    """

    size: int
    mixup: float
    jitter: bool
    seed: int


def soft_targets(
    labels: NDArray[np.int16],
    classes: int,
    label_smoothing: float,
    taught: NDArray[np.float32] | None = None,
    distillation: float = 0.0,
) -> NDArray[np.float32]:
    """Targets that a network is trained towards.

    A reject's target is the same for every class: nothing is the right answer, so the
    network shall be as unsure as it can be (outlier exposure: Hendrycks et al., 2019).

    Args:
        labels: ``int16[n]`` class indices, or ``REJECT``.
        classes: Number of classes.
        label_smoothing: Share spread over all classes (Szegedy et al., 2016).
        taught: A teacher's probabilities ``float32[n, classes]``, or None.
        distillation: The teacher's share of the target (Hinton et al., 2015).

    Returns:
        ``float32[n, classes]``, rows of sum 1.
    """
    targets = np.full((len(labels), classes), label_smoothing / classes, np.float32)
    known = np.flatnonzero(labels != REJECT)
    targets[known, labels[known]] += 1 - label_smoothing
    if taught is not None and distillation:
        targets[known] += distillation * (taught[known] - targets[known])
    targets[labels == REJECT] = 1 / classes
    return targets


class Batches(keras.utils.PyDataset):  # type: ignore[misc, unused-ignore]
    """Shuffled full batches of a pool: ``uint8[b, 28, 28, 1]``, ``float32[b, classes]``."""

    def __init__(
        self, images: NDArray[np.uint8], targets: NDArray[np.float32], plan: BatchPlan
    ) -> None:
        super().__init__()
        self._images, self._targets, self._plan = images, targets, plan
        self._rng = np.random.default_rng(plan.seed)
        self._order = self._rng.permutation(len(images))

    def __len__(self) -> int:
        return len(self._images) // self._plan.size

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        size = self._plan.size
        chosen = self._order[index * size : (index + 1) * size]
        images, targets = self._images[chosen], self._targets[chosen]
        if self._plan.jitter:
            images = jitter_images(images, self._rng)
        if self._plan.mixup:
            images, targets = mixup(images, targets, self._plan.mixup, MIXED_SHARE, self._rng)
        return images[..., None], targets

    def on_epoch_end(self) -> None:
        """Show the next pass in another order."""
        self._order = self._rng.permutation(len(self._images))


def jitter_images(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn, scale, shear and shift every image a little, on its own.

    Args:
        images: ``uint8[n, h, w]``, light ink on black.
        rng: Source of all randomness.

    Returns:
        ``uint8[n, h, w]``.
    """
    count, height, width = images.shape
    angle = rng.normal(0, np.deg2rad(TURN), count)
    scale = np.exp(rng.normal(0, SCALE, (count, 2)))
    shear = rng.normal(0, SHEAR, count)
    shift = rng.normal(0, SHIFT, (count, 2))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    shape = np.zeros((count, 2, 2))
    shape[:, 0, 0], shape[:, 1, 1], shape[:, 0, 1] = scale[:, 0], scale[:, 1], shear
    linear = turn @ shape
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre + shift - linear @ centre
    warps = np.concatenate([linear, offset[:, :, None]], axis=2)
    moved = np.empty_like(images)
    for row in range(count):
        cv2.warpAffine(images[row], warps[row], (width, height), dst=moved[row])
    return moved
