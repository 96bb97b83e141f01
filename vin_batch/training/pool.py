"""Pools of training images: glyphs drawn into boxes and put through the preprocessing.

The images are exactly what production shows the network: the same ``preprocess_image``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.preprocess.engine import warm_up
from vin_batch.records import BoxIssue
from vin_batch.synthesis.scan import Level
from vin_batch.training.draw import draw_training_box
from vin_batch.training.packs import GlyphPack, ink_mask

CHUNK: Final = 4_000
"""Images that one worker draws at a time."""
REJECT: Final = -1
"""Label of what is no character of the alphabet: nothing is the right answer to it."""

SOURCE_WEIGHTS: Final[dict[str, float]] = {
    "mouse_capitals_a": 0.3,
    "mouse_capitals_b": 0.3,
    "binary_alphadigits": 0.3,
    "screen_capitals_a": 0.5,
    "screen_capitals_b": 0.5,
    "comnist_part": 0.5,
    "strokes": 1.5,
}
"""Sources that were not written with a pen on paper count less; the others count 1."""


@dataclass(frozen=True, slots=True)
class GlyphBank:
    """Glyphs of many sources, ready to draw from.

    Attributes:
        glyphs: Ink covers ``float32[h, w]``.
        labels: ``int16[n]`` class indices, or ``REJECT``.
        weights: ``float64[n]`` probability of drawing each.
    """

    glyphs: list[NDArray[np.float32]]
    labels: NDArray[np.int16]
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rejects:
    """What may be in a box and is no character of the alphabet.

    Attributes:
        glyphs: Ink covers ``float32[h, w]``.
        share: Share of a pool's images that are drawn from them.
    """

    glyphs: list[NDArray[np.float32]]
    share: float


@dataclass(frozen=True, slots=True)
class ImagePool:
    """Preprocessed images.

    Attributes:
        images: ``uint8[n, 28, 28]``.
        labels: ``int16[n]`` class indices, or ``REJECT``.
        issues: How often the preprocessing gave nothing, by issue code.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int16]
    issues: Counter[str]


def build_bank(
    packs: list[GlyphPack],
    alphabet: str,
    source_weights: Mapping[str, float] = SOURCE_WEIGHTS,
    rejects: Rejects | None = None,
) -> GlyphBank:
    """Gather glyphs; classes are weighted by the inverse square root of their count.

    Args:
        packs: Sources (their training parts).
        alphabet: Class order.
        source_weights: Weight of a glyph by its source; 1 where a source is not named.
        rejects: What is no character, and how often it is drawn; none when None.

    Returns:
        The bank.
    """
    index = {character: number for number, character in enumerate(alphabet)}
    glyphs, labels, source_weight = [], [], []
    for pack in packs:
        for image, label in zip(pack.images, pack.labels, strict=True):
            mask = ink_mask(image)
            if mask is not None:
                glyphs.append(mask)
                labels.append(index[str(label)])
                source_weight.append(source_weights.get(pack.name, 1.0))
    numbers = np.array(labels, np.int16)
    weights = balanced_weights(numbers, np.array(source_weight), len(alphabet))
    bank = GlyphBank(glyphs, numbers, weights)
    return _with_rejects(bank, rejects) if rejects and rejects.glyphs and rejects.share else bank


def balanced_weights(
    labels: NDArray[np.int16], source_weights: NDArray[np.float64], classes: int
) -> NDArray[np.float64]:
    """Probability of drawing each glyph: classes count by the square root of their weight.

    Args:
        labels: ``int16[n]`` class indices.
        source_weights: ``float64[n]``, weight of each glyph by its source.
        classes: Number of classes.

    Returns:
        ``float64[n]`` of sum 1.
    """
    per_class = np.bincount(labels, weights=source_weights, minlength=classes)
    weights = source_weights / np.sqrt(np.maximum(per_class, 1e-9))[labels]
    return np.asarray(weights / weights.sum(), np.float64)


def _with_rejects(bank: GlyphBank, rejects: Rejects) -> GlyphBank:
    count = len(rejects.glyphs)
    return GlyphBank(
        [*bank.glyphs, *rejects.glyphs],
        np.concatenate([bank.labels, np.full(count, REJECT, np.int16)]),
        np.concatenate([bank.weights * (1 - rejects.share), np.full(count, rejects.share / count)]),
    )


def draw_pool(
    bank: GlyphBank,
    count: int,
    seed: int,
    workers: int,
    level: Level | None = None,
    *,
    faithful: bool = False,
) -> ImagePool:
    """Draw a pool in parallel; the same seed gives the same pool.

    Args:
        bank: Where glyphs come from.
        count: Images wanted; those without a readable character are left out.
        seed: Seed of the pool.
        workers: Processes.
        level: Difficulty, or None for the training mix.
        faithful: Whether glyphs keep their writers' shapes, as measurements want them.

    Returns:
        The pool, at most ``count`` images.
    """
    rng = np.random.default_rng(seed)
    picks = rng.choice(len(bank.glyphs), size=count, p=bank.weights)
    chunks = [picks[start : start + CHUNK] for start in range(0, count, CHUNK)]
    jobs = (
        joblib.delayed(_draw_chunk)(
            [bank.glyphs[pick] for pick in chunk], [seed, number], level, faithful
        )
        for number, chunk in enumerate(chunks)
    )
    parts = joblib.Parallel(n_jobs=workers, pre_dispatch="2*n_jobs", batch_size=1)(jobs)
    images = np.concatenate([part[0] for part in parts])
    issues = np.concatenate([part[1] for part in parts])
    good = issues == BoxIssue.NONE
    counts = Counter(BoxIssue(int(issue)).code for issue in issues[~good])
    return ImagePool(images[good], bank.labels[picks][good], counts)


def _draw_chunk(
    glyphs: list[NDArray[np.float32]], seed: list[int], level: Level | None, faithful: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    cv2.setNumThreads(1)
    warm_up()
    rng = np.random.default_rng(seed)
    images = np.zeros((len(glyphs), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    issues = np.zeros(len(glyphs), np.uint8)
    for row, glyph in enumerate(glyphs):
        crop = draw_training_box(glyph, rng, level, faithful=faithful)
        images[row], issues[row] = preprocess_image(crop)
    return images, issues
