"""Glyph packs of stroke writers."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.training.packs import GlyphPack
from vin_batch.training.strokes.writer import StrokeWriter

SECOND_SAMPLE: Final = 0.5
"""Share of the characters that a writer gives twice."""


def stroke_pack(
    alphabet: str, seed: int, writers: int, second_sample: float = SECOND_SAMPLE
) -> GlyphPack:
    """Let people write every character once or twice.

    Args:
        alphabet: Characters to write, all of them in ``writer.FORMS``.
        seed: Seed of the people; the same seed gives the same first people.
        writers: Number of people.
        second_sample: Probability of a second sample of a character.

    Returns:
        A pack named ``strokes``, without a held-out part; its images are squares.
    """
    covers, labels, hands = [], [], []
    for number in range(writers):
        rng = np.random.default_rng([seed, number])
        writer = StrokeWriter.random(rng)
        for character in alphabet:
            for _ in range(1 + (rng.random() < second_sample)):
                covers.append(writer.write(character, rng))
                labels.append(character)
                hands.append(number)
    count = len(labels)
    return GlyphPack(
        "strokes",
        _to_squares(covers),
        np.array(labels),
        np.zeros(count, bool),
        np.arange(count),
        writers=np.array(hands, np.int64),
    )


def _to_squares(covers: list[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Dark ink on white, centred in squares of one size."""
    side = max(max(cover.shape) for cover in covers)
    images = np.full((len(covers), side, side), 255, np.uint8)
    for image, cover in zip(images, covers, strict=True):
        top, left = (side - cover.shape[0]) // 2, (side - cover.shape[1]) // 2
        ink = np.rint(255 * (1 - cover)).astype(np.uint8)
        image[top : top + cover.shape[0], left : left + cover.shape[1]] = ink
    return images
