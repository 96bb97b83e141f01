"""Is an evaluation image, or a near-duplicate of one, in training?

Two images are the same drawing where their thumbnails correlate above ``SAME_DRAWING``, or,
for ink that is little more than a straight line, ``SAME_LINE``: lines of different people are
alike by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.training.datasets.thumbnails import Fingerprints, fingerprint, ink_digests
from vin_batch.training.packs import GlyphPack

SAME_DRAWING: Final = 0.99
"""Measured on MNIST, whose test digits have other writers than its 60,000 training digits: 2 of
1,745 that are no lines reach it, against 13 % of EMNIST's digits, which NIST cut from the same
forms. Of copies made by JPEG (quality 50), enlarging, noise or fading all reach it, of copies
shrunk to 20 pixels 85 %, blurred 59 %, of 1-bit copies 48 %."""
SAME_LINE: Final = 0.998
"""The most alike of 255 lines of MNIST's test digits reaches 0.9969. Copies that were shrunk,
blurred or turned stay below."""
STRAIGHT: Final = 0.3
"""Straightness below which ink counts as a line (a 1, an I, a bare stroke)."""
_AXES: Final = 40
"""Principal axes of the first, coarse comparison."""
_CHUNK: Final = 256
"""Evaluation images compared at a time: 160 MB for 160,000 training images."""
_ROUNDING: Final = 1e-4
"""Slack of the coarse bound for sums in single precision."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A pair of images that show the same drawing.

    Attributes:
        evaluation: Name of the source and row in it.
        training: The same of the training image, the most similar one.
        correlation: Of their thumbnails.
        exact: Whether their ink is the same pixel for pixel.
        labels: The two labels, evaluation first.
    """

    evaluation: tuple[str, int]
    training: tuple[str, int]
    correlation: float
    exact: bool
    labels: tuple[str, str]


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What was found.

    Attributes:
        leaks: One pair for every evaluation image that has a double, the most similar first.
        in_training: For every training pack ``bool[n]``, True for each image that is a double.
    """

    leaks: list[Leak]
    in_training: list[NDArray[np.bool_]]

    def by_sources(self) -> Counter[tuple[str, str]]:
        """Evaluation images with a double, by evaluation and training source."""
        return Counter((leak.evaluation[0], leak.training[0]) for leak in self.leaks)


def find_doubles(
    evaluation: Fingerprints, training: Fingerprints
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Find all pairs that show the same drawing.

    Compares along the principal axes first. The rest of each thumbnail adds at most the
    product of the two rests' lengths (Cauchy and Schwarz), so no pair is missed by that.

    Args:
        evaluation: Fingerprints of n images.
        training: Fingerprints of m images.

    Returns:
        Positions in evaluation, positions in training and correlations of the pairs.
    """
    axes = _principal_axes(training.thumbnails)
    coarse = _with_rest(evaluation.thumbnails, axes), _with_rest(training.thumbnails, axes)
    left, right = _exact_pairs(evaluation.digests, training.digests)
    pairs = [(left, right, np.ones(len(left), np.float32))]
    for start in range(0, len(evaluation.thumbnails), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        bound = coarse[0][chunk] @ coarse[1].T
        # A line asks for more, whatever it is compared with.
        least = _threshold(evaluation.straightness[chunk])[:, None] - np.float32(_ROUNDING)
        rows, columns = np.divmod(np.flatnonzero(bound > least), bound.shape[1])
        rows = rows + start
        products = np.einsum(
            "ij,ij->i", evaluation.thumbnails[rows], training.thumbnails[columns]
        ).astype(np.float32)
        straighter = np.minimum(evaluation.straightness[rows], training.straightness[columns])
        same = products >= _threshold(straighter)
        pairs.append((rows[same], columns[same], products[same]))
    a, b, r = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return a.astype(np.int64), b.astype(np.int64), r


def _threshold(straightness: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(straightness < STRAIGHT, np.float32(SAME_LINE), np.float32(SAME_DRAWING))


def _exact_pairs(
    evaluation: list[bytes], training: list[bytes]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    places: dict[bytes, list[int]] = {}
    for place, digest in enumerate(training):
        if digest:
            places.setdefault(digest, []).append(place)
    found = [
        (row, place)
        for row, digest in enumerate(evaluation)
        for place in (places.get(digest, ()) if digest else ())
    ]
    pairs = np.array(found, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _principal_axes(drawn: NDArray[np.float32]) -> NDArray[np.float32]:
    covariance = drawn.T.astype(np.float64) @ drawn.astype(np.float64)
    _, vectors = np.linalg.eigh(covariance)
    return np.ascontiguousarray(vectors[:, -_AXES:], dtype=np.float32)


def _with_rest(drawn: NDArray[np.float32], axes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coordinates along the axes, and the length of what they leave."""
    along = drawn @ axes
    whole = np.einsum("ij,ij->i", drawn, drawn)
    rest = np.sqrt(np.maximum(whole - np.einsum("ij,ij->i", along, along), 0))
    return np.hstack([along, rest[:, None]]).astype(np.float32)


def check_leaks(training: Sequence[GlyphPack], evaluation: Sequence[GlyphPack]) -> LeakReport:
    """Look for evaluation images in training.

    Args:
        training: What is trained on, whole packs or their training parts.
        evaluation: What measures, with other images of the same sources or other sources.

    Returns:
        The report.
    """
    prints = _joined([fingerprint(pack.images) for pack in training])
    ends = np.cumsum([0, *(len(pack.labels) for pack in training)])
    doubled = np.zeros(int(ends[-1]), bool)
    leaks: list[Leak] = []
    for pack in evaluation:
        rows, columns, correlation = find_doubles(fingerprint(pack.images), prints)
        doubled[columns] = True
        order = np.lexsort((columns, -correlation, rows))
        _, first = np.unique(rows[order], return_index=True)
        for best in order[first]:
            source = int(np.searchsorted(ends, columns[best], side="right")) - 1
            own, other = int(rows[best]), int(columns[best] - ends[source])
            leaks.append(_leak(pack, own, training[source], other, float(correlation[best])))
    leaks.sort(key=lambda leak: (-leak.correlation, leak.evaluation))
    return LeakReport(leaks, np.split(doubled, ends[1:-1]) if len(training) else [])


def _leak(pack: GlyphPack, row: int, other: GlyphPack, place: int, correlation: float) -> Leak:
    own = pack.images[row : row + 1], other.images[place : place + 1]
    digests = ink_digests(own[0]) + ink_digests(own[1])
    return Leak(
        evaluation=(pack.name, int(pack.rows[row])),
        training=(other.name, int(other.rows[place])),
        correlation=round(correlation, 5),
        exact=digests[0] == digests[1],
        labels=(str(pack.labels[row]), str(other.labels[place])),
    )


def _joined(parts: list[Fingerprints]) -> Fingerprints:
    return Fingerprints(
        np.concatenate([np.zeros((0, 256), np.float32), *(p.thumbnails for p in parts)]),
        np.concatenate([np.zeros(0, np.float32), *(p.straightness for p in parts)]),
        [digest for part in parts for digest in part.digests],
    )


def drop_leaks(training: Sequence[GlyphPack], evaluation: Sequence[GlyphPack]) -> list[GlyphPack]:
    """Leave out of training whatever shows the same drawing as an evaluation image.

    Args:
        training: What is trained on.
        evaluation: What measures.

    Returns:
        The training packs, in order, without the doubles.
    """
    report = check_leaks(training, evaluation)
    return [
        pack.where(~doubled) for pack, doubled in zip(training, report.in_training, strict=True)
    ]
