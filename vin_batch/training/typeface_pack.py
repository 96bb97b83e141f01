"""Extra writers: the handwriting typefaces of the package, each in several hands."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from vin_batch.synthesis.typefaces import families
from vin_batch.synthesis.writer import BoxShape, Writer
from vin_batch.training.packs import GlyphPack

HANDS: Final = 14
"""Hands drawn of every typeface."""
_BOX: Final = BoxShape(height=72, width=72)


def typeface_pack(alphabet: str, seed: int) -> GlyphPack:
    """Draw every character in ``HANDS`` hands of every typeface.

    Args:
        alphabet: Characters to draw.
        seed: Seed of the hands.

    Returns:
        A pack named ``typefaces``, without a held-out part.
    """
    rng = np.random.default_rng([seed, 1])
    images, labels = [], []
    for family in families():
        for _ in range(HANDS):
            writer = replace(Writer.random("clean", rng), family=family, habits=())
            for character in alphabet:
                cover = writer.draw(character, _BOX, rng)
                images.append(np.rint(255 * (1 - cover)).astype(np.uint8))
                labels.append(character)
    count = len(labels)
    nothing_held_out = np.zeros(count, bool)
    return GlyphPack(
        "typefaces", np.stack(images), np.array(labels), nothing_held_out, np.arange(count)
    )
