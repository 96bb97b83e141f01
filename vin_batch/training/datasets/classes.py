"""From a source's labels to the classes of a model: 33 (VIN), 36 or 62.

The rule, in order:

1. A label outside the wanted classes is dropped (I, O, Q for VINs), unless rule 2 helps.
2. Where the wanted classes have no lower case, a lower-case letter that has the outline of its
   capital and differs in size alone (``LOOK_ALIKES``) counts as the capital: size is lost when
   ink is scaled to the box. Any other lower-case letter is dropped. ``lowercase="drop"`` drops
   them all.
3. An image under a capital's label that may be lower case (``maybe_lowercase``: EMNIST bymerge,
   balanced and letters; NIST) keeps its label where the two look alike, and is dropped
   elsewhere: nobody knows what it shows. With 62 classes it is always dropped.
"""

from __future__ import annotations

import string
from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from vin_batch.training.datasets.source import Source
from vin_batch.training.packs import GlyphPack

Lowercase = Literal["look_alikes", "drop"]

LOOK_ALIKES: Final = frozenset("ckopsuvwxz")
"""The letters that NIST merges with their capitals (Cohen et al. 2017, section II: C I J K L M
O P S U V W X Y Z) without those whose outline differs: i and j have a dot, l has no foot, m has
arches, y a descender."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A source in the classes of a model.

    Attributes:
        pack: The images that are kept, with their new labels.
        dropped: Images left out, by the rule in words.
        merged: Lower-case images that now bear their capital's label.
    """

    pack: GlyphPack
    dropped: Counter[str]
    merged: int


def map_source(source: Source, alphabet: str, lowercase: Lowercase = "look_alikes") -> Mapped:
    """Apply the rule to a source.

    Args:
        source: The source, with all its classes.
        alphabet: Wanted classes.
        lowercase: What becomes of lower-case letters where only capitals are wanted.

    Returns:
        What is kept, and what is not.
    """
    pack = source.pack
    labels, reasons = map_labels(pack.labels, source.maybe_lowercase, alphabet, lowercase)
    kept = reasons == ""
    changed = GlyphPack(
        pack.name, pack.images, labels, pack.held_out, pack.rows, pack.writers
    ).where(kept)
    return Mapped(
        pack=changed,
        dropped=Counter[str](reasons[~kept].tolist()),
        merged=int((labels != pack.labels)[kept].sum()),
    )


def map_labels(
    labels: NDArray[np.str_],
    maybe_lowercase: NDArray[np.bool_] | None,
    alphabet: str,
    lowercase: Lowercase = "look_alikes",
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Apply the rule to labels.

    Args:
        labels: ``str[n]``.
        maybe_lowercase: ``bool[n]``, or None where no class is merged.
        alphabet: Wanted classes.
        lowercase: See ``map_source``.

    Returns:
        ``str[n]`` labels after the rule, and ``str[n]`` why an image is dropped, empty where
        it is kept.
    """
    only_capitals = not set(alphabet) & set(string.ascii_lowercase)
    alike = LOOK_ALIKES if lowercase == "look_alikes" else frozenset[str]()
    mapped = labels.copy()
    reasons = np.full(len(labels), "", dtype="U32")
    for label in np.unique(labels).tolist():
        members = labels == label
        is_lower = only_capitals and label in string.ascii_lowercase
        if is_lower and label not in alike:
            reasons[members] = "lower case"
            continue
        character = label.upper() if is_lower else label
        mapped[members] = character
        if character not in alphabet:
            reasons[members] = "not wanted"
        elif maybe_lowercase is not None and not (only_capitals and character.lower() in alike):
            reasons[members & maybe_lowercase] = "perhaps lower case"
    return mapped, reasons
