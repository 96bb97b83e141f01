"""Which labels are probably wrong: confident learning.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
Journal of Artificial Intelligence Research 70 (2021), section 3: an image counts as confidently
of class j where its probability reaches the mean probability that the images labelled j have
for j. What is confidently of another class than its label says is a suspect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Suspects:
    """Labels that are probably wrong, the worst first.

    Attributes:
        mask: ``bool[n]``, True for every suspect.
        rows: ``int64[k]``, the suspects in order.
        given: ``int64[k]``, their labels.
        likely: ``int64[k]``, the class that they are confidently of.
        margin: ``float64[k]``, probability of the label less that of the likely class; the
            nearer to -1, the surer the error.
    """

    mask: NDArray[np.bool_]
    rows: NDArray[np.int64]
    given: NDArray[np.int64]
    likely: NDArray[np.int64]
    margin: NDArray[np.float64]


def class_thresholds(
    labels: NDArray[np.integer], probs: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Mean self-confidence of every class (equation 2 of the paper).

    Args:
        labels: ``int[n]`` given classes.
        probs: ``float[n, classes]``, each predicted by a model that did not train on the image.

    Returns:
        ``float64[classes]``; infinite for a class without images, which nothing reaches.
    """
    classes = probs.shape[1]
    count = np.bincount(labels, minlength=classes)
    own = probs[np.arange(len(labels)), labels].astype(np.float64)
    total = np.bincount(labels, weights=own, minlength=classes)
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)


def confident_classes(
    labels: NDArray[np.integer], probs: NDArray[np.floating]
) -> NDArray[np.int64]:
    """The class that every image is confidently of (the sets of equation 1).

    Args:
        labels: ``int[n]`` given classes.
        probs: See ``class_thresholds``.

    Returns:
        ``int64[n]``, -1 where an image reaches no threshold. Of several classes that are
        reached the most probable one counts.
    """
    reached = probs >= class_thresholds(labels, probs)
    best = np.where(reached, probs, -np.inf).argmax(axis=1)
    return np.where(reached.any(axis=1), best, -1).astype(np.int64)


def confident_joint(
    labels: NDArray[np.integer], probs: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Estimate how often class i is written where the truth is j (equation 3).

    Args:
        labels: ``int[n]`` given classes.
        probs: See ``class_thresholds``.

    Returns:
        ``float64[classes, classes]`` that sums to 1: rows are given labels, and sum to their
        share of the data; columns are the truth.
    """
    classes = probs.shape[1]
    likely = confident_classes(labels, probs)
    sure = likely >= 0
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels[sure], likely[sure]), 1)
    given = np.bincount(labels, minlength=classes).astype(np.float64)
    rows = counts.sum(axis=1)
    # A class of which nothing is sure keeps its labels.
    counts[rows == 0, np.flatnonzero(rows == 0)] = 1
    joint = counts / counts.sum(axis=1, keepdims=True) * given[:, None]
    return np.asarray(joint / max(joint.sum(), 1.0))


def find_suspects(labels: NDArray[np.integer], probs: NDArray[np.floating]) -> Suspects:
    """Find labels that are probably wrong: the off-diagonal of the confident joint.

    Args:
        labels: ``int[n]`` given classes, positions of ``probs``' columns.
        probs: ``float[n, classes]``, each row predicted out of sample (``cross_fit``, or a model
            that was not trained on this source).

    Returns:
        The suspects, the worst first.

    Raises:
        ValueError: The arrays do not fit together.
    """
    if probs.ndim != 2 or probs.shape[0] != len(labels):
        raise ValueError(f"{len(labels)} labels, probabilities {list(probs.shape)}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < probs.shape[1]:
        raise ValueError(f"labels reach {labels.max()}, there are {probs.shape[1]} classes")
    likely = confident_classes(labels, probs)
    mask = (likely >= 0) & (likely != labels)
    rows = np.flatnonzero(mask)
    margin = (probs[rows, labels[rows]] - probs[rows, likely[rows]]).astype(np.float64)
    order = np.argsort(margin, kind="stable")
    rows = rows[order]
    return Suspects(mask, rows, labels[rows].astype(np.int64), likely[rows], margin[order])
