"""Small normalised pictures of ink, alike for two scans of the same drawing.

The ink is moved and scaled by its own moments, so that another cut, size, margin or resampling
of a drawing gives nearly the same thumbnail.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.training.packs import INK_LEVEL

SIDE: Final = 16
"""Pixels of a thumbnail's side."""
REACH: Final = 2.3
"""Half the side of the thumbnail, in radii of gyration of the ink: holds all but long tails."""
PAPER_LEVEL: Final = 16
"""Grey levels darker than white that still are paper (of 255)."""
MIN_SPREAD: Final = 0.5
"""Pixels; a dot is not blown up beyond that."""
_FINER: Final = 2
"""Drawn that much larger and averaged, so that thin strokes are not stepped over."""
_CHUNK: Final = 4_096


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What a comparison needs of images.

    Attributes:
        thumbnails: ``float32[n, 256]``: zero mean and length 1, so that the product of two is
            their correlation; all zeros where there is no ink.
        straightness: ``float32[n]``: deviation of the ink across its longest axis over that
            along it; 0 is a straight line.
        digests: Digest of the ink of every image, whatever its margins; empty without ink.
    """

    thumbnails: NDArray[np.float32]
    straightness: NDArray[np.float32]
    digests: list[bytes]


def fingerprint(images: NDArray[np.uint8]) -> Fingerprints:
    """Draw the thumbnails of images and digest their ink.

    Args:
        images: ``uint8[n, h, w]``, dark ink on white.
    """
    drawn = np.zeros((len(images), SIDE * SIDE), np.float32)
    straightness = np.ones(len(images), np.float32)
    digests: list[bytes] = []
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        ink = (255 - images[part]).astype(np.float32) - PAPER_LEVEL
        np.maximum(ink, 0, out=ink)
        middles, scales, straightness[part] = _moments(ink)
        drawn[part] = _draw(ink, middles, scales)
        digests += ink_digests(images[part])
    return Fingerprints(drawn, straightness, digests)


def _moments(
    ink: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """Centres ``[n, 2]`` (x, y), scales to the thumbnail ``[n]``, straightness ``[n]``."""
    mass = np.maximum(ink.sum(axis=(1, 2), dtype=np.float64), 1e-9)
    xs, ys = np.arange(ink.shape[2]), np.arange(ink.shape[1])
    columns, rows = ink.sum(axis=1) / mass[:, None], ink.sum(axis=2) / mass[:, None]
    x, y = columns @ xs, rows @ ys
    across = np.maximum(columns @ xs**2 - x**2, 0)
    along = np.maximum(rows @ ys**2 - y**2, 0)
    both = np.einsum("nij,i,j->n", ink, ys, xs, optimize=True) / mass - x * y
    scales = SIDE / 2 / (REACH * np.maximum(np.sqrt(across + along), MIN_SPREAD))
    # Eigenvalues of the covariance of the ink.
    mean, turn = (across + along) / 2, np.hypot((across - along) / 2, both)
    straightness = np.sqrt(np.maximum(mean - turn, 0) / np.maximum(mean + turn, 1e-9))
    return np.stack([x, y], axis=1), scales, straightness.astype(np.float32)


def _draw(
    ink: NDArray[np.float32], middles: NDArray[np.float64], scales: NDArray[np.float64]
) -> NDArray[np.float32]:
    side = SIDE * _FINER
    large = np.zeros((len(ink), side, side), np.float32)
    place = np.zeros((2, 3))
    for image, target, middle, scale in zip(ink, large, middles, scales * _FINER, strict=True):
        place[0, 0] = place[1, 1] = scale
        place[:, 2] = side / 2 - 0.5 - scale * middle
        target[:] = cv2.warpAffine(image, place, (side, side), flags=cv2.INTER_LINEAR)
    small = large.reshape(-1, SIDE, _FINER, SIDE, _FINER).mean(axis=(2, 4))
    flat = small.reshape(len(ink), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))


def ink_digests(images: NDArray[np.uint8]) -> list[bytes]:
    """Digest of the ink of every image, whatever its margins; empty where there is none.

    Args:
        images: ``uint8[n, h, w]``, dark ink on white.
    """
    dark = images < 255 - INK_LEVEL
    digests = []
    by_row, by_column = np.asarray(dark.any(axis=2)), np.asarray(dark.any(axis=1))
    for image, rows, columns in zip(images, by_row, by_column, strict=True):
        if not rows.any():
            digests.append(b"")
            continue
        top, bottom = int(rows.argmax()), len(rows) - int(rows[::-1].argmax())
        left, right = int(columns.argmax()), len(columns) - int(columns[::-1].argmax())
        cut = image[top:bottom, left:right]
        digests.append(hashlib.sha256(repr(cut.shape).encode() + cut.tobytes()).digest())
    return digests
