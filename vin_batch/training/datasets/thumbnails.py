"""Small normalised pictures of ink, alike for two scans of the same drawing.

The ink is moved and scaled by its own moments, so that another cut, size, margin, polarity or
resampling of a drawing gives nearly the same thumbnail.
"""

from __future__ import annotations

import hashlib
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.training.packs import ink_mask

SIDE: Final = 16
"""Pixels of a thumbnail's side."""
REACH: Final = 2.3
"""Half the side of the thumbnail, in radii of gyration of the ink: holds all but long tails."""
MIN_SPREAD: Final = 0.5
"""Pixels; a dot is not blown up beyond that."""
_BLUR_PER_STEP: Final = 0.4
"""Deviation of the smoothing before scaling down, in source pixels per thumbnail pixel."""


def thumbnails(
    images: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the thumbnails of images.

    Args:
        images: ``uint8[n, h, w]``, dark ink on white.

    Returns:
        ``float32[n, 256]``: zero mean and length 1, so that the product of two is their
        correlation, all zeros where there is no glyph; and ``float32[n]``: straightness, the
        deviation of the ink across its longest axis over that along it (0: a straight line).
    """
    result = np.zeros((len(images), SIDE * SIDE), np.float32)
    straightness = np.ones(len(images), np.float32)
    for row, image in enumerate(images):
        mask = ink_mask(image)
        if mask is not None:
            result[row], straightness[row] = _thumbnail(mask)
    return result, straightness


def _thumbnail(mask: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    x, y, across, along, both = _moments(mask)
    spread = max(float(np.sqrt(across + along)), MIN_SPREAD)
    scale = SIDE / 2 / (REACH * spread)
    if scale < 1:
        mask = cv2.GaussianBlur(mask, (0, 0), _BLUR_PER_STEP / scale).astype(np.float32)
    middle = SIDE / 2 - 0.5
    place = np.array([[scale, 0, middle - scale * x], [0, scale, middle - scale * y]], np.float32)
    pixels = cv2.warpAffine(mask, place, (SIDE, SIDE), flags=cv2.INTER_LINEAR).ravel()
    pixels = pixels - pixels.mean()
    length = float(np.linalg.norm(pixels))
    return pixels / max(length, 1e-9), _straightness(across, along, both)


def _moments(mask: NDArray[np.float32]) -> tuple[float, float, float, float, float]:
    """Centre (x, y), variances (x, y) and covariance of the ink.

    ``cv2.moments`` takes an image two pixels wide for a list of points.
    """
    mass = float(mask.sum())
    xs, ys = np.arange(mask.shape[1]), np.arange(mask.shape[0])
    columns, rows = mask.sum(axis=0) / mass, mask.sum(axis=1) / mass
    x, y = float(columns @ xs), float(rows @ ys)
    both = float((ys - y) @ mask @ (xs - x)) / mass
    return x, y, float(columns @ (xs - x) ** 2), float(rows @ (ys - y) ** 2), both


def _straightness(across: float, along: float, both: float) -> float:
    """Root of the smaller over the larger eigenvalue of the ink's covariance."""
    mean, turn = (across + along) / 2, float(np.hypot((across - along) / 2, both))
    return float(np.sqrt(max(mean - turn, 0.0) / max(mean + turn, 1e-9)))


def ink_digests(images: NDArray[np.uint8]) -> list[bytes]:
    """Digest of the ink of every image, whatever its margins; empty where there is none.

    Args:
        images: ``uint8[n, h, w]``, dark ink on white.
    """
    digests = []
    for image in images:
        mask = ink_mask(image)
        if mask is None:
            digests.append(b"")
        else:
            digests.append(hashlib.sha256(repr(mask.shape).encode() + mask.tobytes()).digest())
    return digests
