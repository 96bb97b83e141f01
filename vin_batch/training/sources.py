"""What a training draws from: people, typefaces, fonts, stroke writers, and rejects."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.training.font_writers import font_packs
from vin_batch.training.packs import GlyphPack, ink_mask, load_packs
from vin_batch.training.pool import Rejects
from vin_batch.training.strokes import REJECT_KINDS, stroke_pack, write_reject
from vin_batch.training.typeface_pack import typeface_pack

if TYPE_CHECKING:
    from vin_batch.training.fit import TrainingPlan

TRAIN_FOLDER: Final = "train"
FONTS_FOLDER: Final = "fonts"
REJECT_LETTERS: Final = "adefhmnrt"
"""Small letters whose shape is not that of a VIN character. ``b``, ``g``, ``i``, ``l``, ``q``
look like 6, 9, 1, 1, 9, and ``c``, ``k``, ``o``, ``p`` and others like their capitals."""
DRAWN_REJECTS: Final = 4_000
"""Reject glyphs drawn stroke by stroke, over all kinds."""


def training_sources(
    folder: Path, people: list[GlyphPack], alphabet: str, plan: TrainingPlan
) -> list[GlyphPack]:
    """Everything that shows characters of the alphabet, and is trained on.

    Args:
        folder: The data folder; its ``fonts/`` are used where there are some.
        people: Training parts of the packs.
        alphabet: Class order.
        plan: Which synthetic writers, and their seed.

    Returns:
        People's packs first.
    """
    packs = [*people, typeface_pack(alphabet, plan.seed)]
    if plan.fonts:
        packs += [pack.part(held_out=False) for pack in font_packs(folder / FONTS_FOLDER, alphabet)]
    if plan.stroke_writers:
        packs.append(stroke_pack(alphabet, plan.seed, plan.stroke_writers))
    return packs


def training_rejects(folder: Path, plan: TrainingPlan, left_out: Collection[str] = ()) -> Rejects:
    """What may be in a box and is no VIN character: small letters, other scripts, blots.

    Args:
        folder: The data folder.
        plan: The share, and the seed of what is drawn.
        left_out: Names of packs that give no small letters.

    Returns:
        The rejects of the training parts of the packs, and drawn ones.
    """
    glyphs: list[NDArray[np.float32]] = []
    if plan.reject_share:
        packs = [
            *load_packs(folder / TRAIN_FOLDER, REJECT_LETTERS),
            *(font_packs(folder / FONTS_FOLDER, REJECT_LETTERS) if plan.fonts else ()),
        ]
        for pack in (pack for pack in packs if pack.name not in left_out):
            masks = (ink_mask(image) for image in pack.part(held_out=False).images)
            glyphs.extend(mask for mask in masks if mask is not None)
        rng = np.random.default_rng([plan.seed, 2])
        glyphs.extend(
            write_reject(REJECT_KINDS[number % len(REJECT_KINDS)], rng)
            for number in range(DRAWN_REJECTS)
        )
    return Rejects(glyphs, plan.reject_share)
