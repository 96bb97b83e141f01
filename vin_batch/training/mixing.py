"""Mixup: training on weighted means of images and of their targets."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_HALF: Final = np.float32(0.5)


def mixup(
    images: NDArray[np.uint8],
    targets: NDArray[np.float32],
    alpha: float,
    share: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Mix a part of a batch with other images of it (Zhang et al. 2018, arXiv:1710.09412).

    Each chosen image and its target become ``w * own + (1 - w) * partner``, ``w`` drawn from
    Beta(alpha, alpha) for each; partners are a permutation of the whole batch. Pixels are
    rounded back to bytes, targets mixed exactly.

    Args:
        images: ``uint8[n, ...]``; not changed.
        targets: ``float32[n, classes]``, for example one-hot, smoothed or a teacher's
            probabilities; not changed.
        alpha: Parameter of the beta distribution, above 0; small values mix little.
        share: Share of the batch that is mixed, 0 to 1; the nearest whole number of images.
        rng: Source of choice, partners and weights.

    Returns:
        New images ``uint8[n, ...]`` and targets ``float32[n, classes]``, in the order of the
        batch; images that were not chosen are as they were.

    Raises:
        ValueError: ``alpha`` or ``share`` is out of range, or the lengths differ.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0, not {alpha}")
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, not {share}")
    if len(images) != len(targets):
        raise ValueError(f"{len(images)} images have {len(targets)} targets")
    mixed_images, mixed_targets = images.copy(), targets.astype(np.float32)
    chosen = rng.permutation(len(images))[: round(share * len(images))]
    partners = rng.permutation(len(images))[chosen]
    weights = rng.beta(alpha, alpha, len(chosen)).astype(np.float32)
    mixed_targets[chosen] = _mean(targets[chosen], targets[partners], weights)
    blended = _mean(images[chosen], images[partners], weights)
    mixed_images[chosen] = (blended + _HALF).astype(np.uint8)
    return mixed_images, mixed_targets


def _mean(
    own: NDArray[np.uint8] | NDArray[np.float32],
    partners: NDArray[np.uint8] | NDArray[np.float32],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """``w * own + (1 - w) * partners`` per image, in ``float32``."""
    per_image = weights.reshape((-1,) + (1,) * (own.ndim - 1))
    other = partners.astype(np.float32)
    return other + per_image * (own.astype(np.float32) - other)
