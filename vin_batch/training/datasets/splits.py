"""Splits by writer and by source; never by image alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.training.packs import HELD_OUT_SHARE, GlyphPack, end_of_classes

EVERY: Final = round(1 / HELD_OUT_SHARE)

NIST: Final = "NIST SD19"
"""NIST Special Database 19 holds the forms that MNIST and EMNIST were cut from: leaving out one
of them alone would leave its writers, and many of its very drawings, in training."""
_NIST_NAMES: Final = ("nist", "mnist", "emnist")


@dataclass(frozen=True, slots=True)
class Split:
    """A held-out part, and the rule that made it.

    Attributes:
        held_out: ``bool[n]``, True for images that are never trained on.
        rule: The rule in words.
    """

    held_out: NDArray[np.bool_]
    rule: str


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of leave-one-source-out.

    Attributes:
        name: The family of sources that is left out.
        training: Training parts of all other sources.
        held_out: The sources of the family, whole.
    """

    name: str
    training: list[GlyphPack]
    held_out: list[GlyphPack]


def hold_out(
    labels: NDArray[np.str_],
    writers: NDArray[np.int64] | None,
    is_test: NDArray[np.bool_] | None,
) -> Split:
    """Choose the images that are never trained on.

    A published test part is taken as it is, unless writers are known and it shares one with
    the rest: then writers decide, and no writer is on both sides.

    Args:
        labels: ``str[n]``.
        writers: ``int64[n]`` or None.
        is_test: ``bool[n]``, the published test part, or None.

    Returns:
        The split.
    """
    if is_test is not None and is_test.any() and not is_test.all():
        if writers is None:
            return Split(is_test.copy(), "held out: the published test part (writers not told)")
        if not np.isin(writers[is_test], writers[~is_test]).any():
            return Split(is_test.copy(), "held out: the published test part, other writers")
    elif is_test is not None and is_test.all() and len(labels):
        return Split(is_test.copy(), "held out: all of it, a published test part")
    if writers is not None:
        return Split(writers % EVERY == 0, f"held out: every {EVERY}th writer")
    return Split(end_of_classes(labels), f"held out: the last {HELD_OUT_SHARE:.0%} of every class")


def family_of(name: str) -> str:
    """The people behind a source: its own name, unless it shares them with others."""
    return NIST if name.lower().startswith(_NIST_NAMES) else name


def leave_one_source_out(packs: Sequence[GlyphPack]) -> Iterator[Fold]:
    """Leave out each source in turn, together with all sources of the same people.

    Args:
        packs: Whole packs.

    Yields:
        One fold for each family of sources, in the order in which they first appear.
    """
    families = [family_of(pack.name) for pack in packs]
    for family in dict.fromkeys(families):
        pairs = list(zip(families, packs, strict=True))
        yield Fold(
            name=family,
            training=[pack.part(held_out=False) for other, pack in pairs if other != family],
            held_out=[pack for other, pack in pairs if other == family],
        )
