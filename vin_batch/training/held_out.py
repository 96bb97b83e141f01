"""Glyphs of people that nobody trains on, and their two halves.

One half calibrates, the other measures: a threshold that has seen a glyph knows how it is
misread.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from vin_batch.errors import UsageError
from vin_batch.training.packs import GlyphPack
from vin_batch.training.pool import SOURCE_WEIGHTS, GlyphBank, build_bank

LOGGER = logging.getLogger(__name__)

Half = Literal["calibration", "measurement"]

UNDRAWN_PACKS: Final = ("table_cells", "fonts")
"""Held-out packs that measure characters, but draw no cards: the images of the first show a
printed frame, which cannot be drawn into another box; the second are no people."""
UNSEEN_SOURCES: Final = {"letter_cards": 2.0}
"""Pens on paper of which not even the source was trained on: they are the nearest thing to
the cards that will come, and count the more. A larger weight would let single glyphs decide
the threshold."""


def held_out_bank(packs: list[GlyphPack], alphabet: str, half: Half) -> GlyphBank:
    """Glyphs that were never trained on, for whole cards.

    Args:
        packs: Held-out packs.
        alphabet: Class order.
        half: Which people.

    Returns:
        The bank. A class of which a half has no glyph gets those of the other half too.

    Raises:
        UsageError: A class has none at all; see ``require_held_out``.
    """
    require_held_out(packs, alphabet)
    people = drawable(packs)
    chosen = [pack.where(half_mask(pack) == (half == "measurement")) for pack in people]
    present = {str(label) for pack in chosen for label in np.unique(pack.labels)}
    if missing := [character for character in alphabet if character not in present]:
        LOGGER.warning(
            "too few held-out images of %s: the same ones calibrate and measure", " ".join(missing)
        )
        chosen += [pack.where(np.isin(pack.labels, missing)) for pack in people]
    full = [pack for pack in chosen if len(pack.labels)]
    return build_bank(full, alphabet, {**SOURCE_WEIGHTS, **UNSEEN_SOURCES})


def half_mask(pack: GlyphPack) -> NDArray[np.bool_]:
    """Split a pack by writer where writers are known, else every class in the middle.

    Neighbours in a file mostly share a writer, so whole stretches stay together.

    Args:
        pack: A pack.

    Returns:
        ``bool[n]``, True for the measurement half.
    """
    second = np.zeros(len(pack.labels), bool)
    if pack.writers is not None:
        _, number = np.unique(pack.writers, return_inverse=True)
        return np.asarray(number % 2 == 1)
    for label in np.unique(pack.labels):
        members = np.flatnonzero(pack.labels == label)
        second[members[len(members) // 2 :]] = True
    return second


def drawable(packs: list[GlyphPack]) -> list[GlyphPack]:
    """The packs that cards are drawn from, without labels known to be wrong."""
    return [
        pack.without_label_errors()
        for pack in packs
        if pack.name not in UNDRAWN_PACKS and len(pack.labels)
    ]


def require_held_out(packs: list[GlyphPack], alphabet: str) -> None:
    """Refuse data that could train a model but never calibrate it.

    Raises:
        UsageError: A character of the alphabet has no held-out image.
    """
    present = {str(label) for pack in drawable(packs) for label in np.unique(pack.labels)}
    if missing := [character for character in alphabet if character not in present]:
        raise UsageError(
            f"no held-out image of {' '.join(missing)}",
            "Calibration needs every class from people who are not trained on: add packs with "
            "these characters (a tenth of each is held out), or an evaluate/ pack.",
        )


def whole(pack: GlyphPack) -> GlyphPack:
    """The pack with every image held out."""
    return replace(pack, held_out=np.ones(len(pack.labels), bool))
