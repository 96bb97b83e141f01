"""What the ink of each box says by itself, before any VIN rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.alphabet import decode_all

NOTHING: Final = "?"
"""Stands for a box that gave no evidence."""
FLAT: Final = 1e-6
"""A row of log probabilities that varies less than this says nothing."""
DECIMALS: Final = 6
"""Probabilities are cut (never rounded up) to this many decimals, so that the same work
gives the same bytes."""


@dataclass(frozen=True, slots=True)
class InkReading:
    """The two most probable characters of every box.

    Attributes:
        probs: ``float64[n, 17, 33]``; every row sums to 1.
        read: ``bool[n, 17]``, boxes that gave evidence.
        first: ``int8[n, 17]``, most probable class.
        first_prob: ``float64[n, 17]``, cut to ``DECIMALS``; 0 without evidence.
        second: ``int8[n, 17]``.
        second_prob: ``float64[n, 17]``.
    """

    probs: NDArray[np.float64]
    read: NDArray[np.bool_]
    first: NDArray[np.int8]
    first_prob: NDArray[np.float64]
    second: NDArray[np.int8]
    second_prob: NDArray[np.float64]

    def texts(self) -> list[str]:
        """Most probable character of every box of every card, ``?`` without evidence."""
        texts = decode_all(self.first)
        for card in np.flatnonzero(~self.read.all(axis=1)).tolist():
            texts[card] = "".join(
                character if read else NOTHING
                for character, read in zip(texts[card], self.read[card].tolist(), strict=True)
            )
        return texts


def box_probs(log_probs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Normalise finite log probabilities ``[n, boxes, classes]``: every box sums to 1."""
    probs = np.array(log_probs, dtype=np.float64, order="C")
    probs -= probs.max(axis=2, keepdims=True)
    np.exp(probs, out=probs)
    probs /= probs.sum(axis=2, keepdims=True)
    return probs


def read_ink(log_probs: NDArray[np.floating], probs: NDArray[np.float64]) -> InkReading:
    """Find the two most probable characters of every box.

    Args:
        log_probs: ``float32[n, 17, 33]``, finite; a constant row says nothing.
        probs: ``box_probs`` of them.
    """
    lowest = log_probs.min(axis=2).astype(np.float64)
    read = lowest - log_probs.max(axis=2).astype(np.float64) < -FLAT
    first, first_prob = _largest(probs)
    rest = probs.copy()
    np.put_along_axis(rest, first[:, :, None], -1.0, axis=2)
    second, second_prob = _largest(rest)
    return InkReading(
        probs=probs,
        read=read,
        first=first.astype(np.int8),
        first_prob=cut(np.where(read, first_prob, 0.0)),
        second=second.astype(np.int8),
        second_prob=cut(np.where(read, second_prob, 0.0)),
    )


def cut(probs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cut probabilities to ``DECIMALS`` decimals, downwards."""
    return np.floor(np.asarray(probs, dtype=np.float64) * 10**DECIMALS) / 10**DECIMALS


def _largest(
    probs: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    classes = probs.argmax(axis=2)
    return classes, np.take_along_axis(probs, classes[:, :, None], axis=2)[:, :, 0]
