"""What every loader gives: a glyph pack, and what its labels are worth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.training.datasets.splits import hold_out
from vin_batch.training.packs import GlyphPack

_SAMPLE: Final = 2_000
"""Images looked at to tell a polarity or an orientation; spread evenly over the source."""
_MIN_VOTES: Final = 50
"""Fewer images with ink say nothing about the orientation of a source."""
_CLEAR_MAJORITY: Final = 2 / 3
"""Share of the images with unequal sides. Of upright MNIST, EMNIST, US mail and USPS digits
79 to 91 % are taller than wide, of upright NIST letters 96 %; transposed, as many are wider."""
_INK_LEVEL: Final = 60


@dataclass(frozen=True, slots=True)
class Source:
    """One source as it was found, before classes are chosen.

    Attributes:
        pack: All its images, dark ink on white, with the labels that the source gives.
        kind: Format in words, for reports.
        maybe_lowercase: ``bool[n]``, True where a merged class may show a lower-case letter
            under its capital's label; None where no class is merged.
        unreadable: Files that gave no image, by issue code.
        doubtful: Images left out because the source flags their label as doubtful.
        notes: What was found and put right, in words.
    """

    pack: GlyphPack
    kind: str
    maybe_lowercase: NDArray[np.bool_] | None = None
    unreadable: Counter[str] = field(default_factory=Counter)
    doubtful: int = 0
    notes: tuple[str, ...] = ()


def assemble(
    name: str,
    kind: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.str_],
    *,
    writers: NDArray[np.int64] | None = None,
    is_test: NDArray[np.bool_] | None = None,
    maybe_lowercase: NDArray[np.bool_] | None = None,
    unreadable: Counter[str] | None = None,
    notes: tuple[str, ...] = (),
) -> Source:
    """Make a source of arrays: dark ink on white, a held-out part by writer.

    Args:
        name: Name of the source.
        kind: Format in words.
        images: ``uint8[n, h, w]`` of either polarity. Inverted in place where ink is light.
        labels: ``str[n]``, one character each.
        writers: ``int64[n]`` or None.
        is_test: ``bool[n]``, the published test part, or None.
        maybe_lowercase: See ``Source``.
        unreadable: See ``Source``.
        notes: See ``Source``.

    Returns:
        The source.
    """
    if shows_light_ink(images):
        np.subtract(255, images, out=images)
        notes = (*notes, "light ink on dark was inverted")
    split = hold_out(labels, writers, is_test)
    rows = np.arange(len(labels), dtype=np.int64)
    pack = GlyphPack(name, images, labels, split.held_out, rows, writers)
    merged = maybe_lowercase if maybe_lowercase is not None and maybe_lowercase.any() else None
    return Source(pack, kind, merged, unreadable or Counter(), notes=(*notes, split.rule))


def shows_light_ink(images: NDArray[np.uint8]) -> bool:
    """Whether most images show light ink on dark: most pixels of a glyph's image are paper.

    Args:
        images: ``uint8[n, h, w]``.
    """
    if not images.size:
        return False
    sample = _sampled(images).reshape(min(len(images), _SAMPLE), -1)
    low, high = sample.min(axis=1).astype(float), sample.max(axis=1).astype(float)
    with_ink = high > low
    dark_paper = np.median(sample, axis=1) < (low + high) / 2
    return bool(dark_paper[with_ink].sum() * 2 > with_ink.sum())


def looks_transposed(images: NDArray[np.uint8]) -> bool | None:
    """Whether the images of a source lie on their side, rows for columns.

    Written digits and capitals are taller than wide, so their transposes are not.

    Args:
        images: ``uint8[n, h, w]`` of either polarity, square.

    Returns:
        The answer, or None where the images do not say it clearly.
    """
    sample = _sampled(images)
    ink = np.asarray((sample if shows_light_ink(images) else 255 - sample) > _INK_LEVEL)
    tall, wide = (_extent(np.asarray(ink.any(axis=axis))) for axis in (2, 1))
    votes = int((tall != wide).sum())
    if votes < _MIN_VOTES:
        return None
    taller = int((tall > wide).sum()) / votes
    if 1 - _CLEAR_MAJORITY < taller < _CLEAR_MAJORITY:
        return None
    return taller < 0.5


def _sampled(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    wanted = min(len(images), _SAMPLE)
    return images[np.linspace(0, len(images) - 1, wanted).astype(np.int64)] if wanted else images


def _extent(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Distance from the first to the last True of every row, 0 where there is none."""
    last = rows.shape[1] - rows[:, ::-1].argmax(axis=1)
    extent: NDArray[np.int64] = np.where(rows.any(axis=1), last - rows.argmax(axis=1), 0)
    return extent
