"""What a comparison trains on and measures with, drawn once for all of its variants.

Every variant chooses its glyphs with the same random numbers, and a glyph is drawn once: the
variants differ in what they are meant to differ in, and drawing, the dearest part, is shared.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from vin_batch.batch.atomic import atomic_file, disk_errors
from vin_batch.errors import UsageError
from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.preprocess.engine import warm_up
from vin_batch.records import BoxIssue
from vin_batch.training.draw import draw_training_box
from vin_batch.training.packs import GlyphPack
from vin_batch.training.pool import (
    REJECT,
    SOURCE_WEIGHTS,
    ImagePool,
    Rejects,
    balanced_weights,
    build_bank,
)
from vin_batch.training.strokes import StrokeWriter
from vin_batch.training.strokes.writer import FORMS

WRITERS: Final[dict[str, frozenset[str]]] = {
    "people": frozenset(),
    "fonts": frozenset({"typefaces", "fonts"}),
    "strokes": frozenset({"strokes"}),
    "all": frozenset({"typefaces", "fonts", "strokes"}),
}
"""Synthetic packs that take part beside the people, by what ``--writers`` calls them."""
SYNTHETIC: Final = WRITERS["all"]
FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "mnist": ("mnist", "emnist_digits"),
    "nist": ("nist_letters", "nist_vowels"),
}
"""Packs that share writers, and are left out together."""
REJECTS: Final = "rejects"
REGIONAL: Final = "regional shapes"
REGIONAL_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "0": ("slashed", "slashed across", "slashed narrow"),
    "1": ("long upstroke", "longer upstroke", "upstroke from below", "curved upstroke"),
    "2": ("looped",),
    "4": ("open", "open, upright", "open, leaning", "open, crossing"),
    "6": ("straight stem", "upright stem"),
    "7": ("crossed", "crossed, hooked", "crossed, wavy", "crossed, curved"),
    "9": ("straight stem", "leaning stem"),
    "Z": ("crossed", "crossed, waved", "crossed, hooked"),
}
"""Shapes that this region's clerks used and American data sets lack."""
REGIONAL_SEED: Final = 9_041
"""Seed of the people who write them; no training seed of a plan equals it by default."""
_CHOICE: Final = 11
_SAMPLE: Final = 12
_DRAWING: Final = 13
"""Streams of random numbers."""
DRAWN_AT_ONCE: Final = 500
"""Images that a worker draws at a time: about a second's work."""

Images = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class GlyphStore:
    """Glyphs of all sources, and which source each is from.

    Attributes:
        glyphs: Ink covers ``float32[h, w]``.
        labels: ``int16[n]`` class indices, or ``REJECT``.
        sources: ``int16[n]``, indices into ``names``.
        names: Names of the sources.
        classes: Number of classes.
    """

    glyphs: list[NDArray[np.float32]]
    labels: NDArray[np.int16]
    sources: NDArray[np.int16]
    names: tuple[str, ...]
    classes: int

    @property
    def characters(self) -> NDArray[np.bool_]:
        """``bool[n]``, glyphs of the alphabet."""
        return np.asarray(self.labels != REJECT)

    def waiting_times(self, seed: int) -> NDArray[np.float64]:
        """One exponential random number for each glyph.

        A glyph has the same one whatever other sources there are.
        """
        times = np.zeros(len(self.labels))
        for number, name in enumerate(self.names):
            rng = np.random.default_rng([seed, _CHOICE, zlib.crc32(name.encode())])
            members = np.flatnonzero(self.sources == number)
            times[members] = rng.exponential(size=len(members))
        return times

    def drawing_seeds(self, seed: int) -> NDArray[np.int64]:
        """Seeds ``int64[n, 4]`` of the drawing of each glyph, alike in every store."""
        seeds = np.zeros((len(self.labels), 4), np.int64)
        seeds[:, 0], seeds[:, 1] = seed, _DRAWING
        for number, name in enumerate(self.names):
            members = np.flatnonzero(self.sources == number)
            seeds[members, 2], seeds[members, 3] = zlib.crc32(name.encode()), range(len(members))
        return seeds

    def probabilities(self, kept: Collection[str], reject_share: float) -> NDArray[np.float64]:
        """Probability of drawing each glyph, as ``build_bank`` has it for these sources.

        Args:
            kept: Names of the sources that take part.
            reject_share: Share of what is no character.

        Returns:
            ``float64[n]`` of sum 1; 0 where a source does not take part.
        """
        shown = np.isin(self.sources, [self.names.index(name) for name in kept])
        by_source = np.array([SOURCE_WEIGHTS.get(name, 1.0) for name in self.names])
        found = np.zeros(len(self.labels))
        chosen = shown & self.characters
        found[chosen] = balanced_weights(
            self.labels[chosen], by_source[self.sources[chosen]], self.classes
        )
        rejects = ~self.characters
        if reject_share and rejects.any():
            found *= 1 - reject_share
            found[rejects] = reject_share / rejects.sum()
        return found


def gather(packs: Sequence[GlyphPack], alphabet: str, rejects: Rejects) -> GlyphStore:
    """Cut out the glyphs of all sources.

    Args:
        packs: Training parts, people's and synthetic ones.
        alphabet: Class order.
        rejects: What is no character; it becomes the source ``REJECTS``.
    """
    banks = [build_bank([pack], alphabet) for pack in packs]
    counts = [*(len(bank.glyphs) for bank in banks), len(rejects.glyphs)]
    return GlyphStore(
        glyphs=[glyph for bank in banks for glyph in bank.glyphs] + rejects.glyphs,
        labels=np.concatenate(
            [*(bank.labels for bank in banks), np.full(len(rejects.glyphs), REJECT, np.int16)]
        ),
        sources=np.repeat(np.arange(len(counts)), counts).astype(np.int16),
        names=(*(pack.name for pack in packs), REJECTS),
        classes=len(alphabet),
    )


def choose(
    probabilities: NDArray[np.float64], waiting: NDArray[np.float64], count: int
) -> NDArray[np.int64]:
    """Choose glyphs by their weights, each at most once.

    Every glyph has a random waiting time over its weight, and the first ones are taken
    (Efraimidis and Spirakis, 2006). With the same random numbers two variants choose mostly
    the same glyphs, whatever their weights are.

    Args:
        probabilities: ``float64[n]``; 0 is never chosen.
        waiting: ``float64[n]``, exponential random numbers.
        count: How many.

    Returns:
        ``int64[count]``, ascending.

    Raises:
        UsageError: There are fewer glyphs than that.
    """
    possible = np.flatnonzero(probabilities)
    if len(possible) < count:
        raise UsageError(
            f"{count} images are asked for, but a variant has only {len(possible)} glyphs",
            "Give fewer --images: no glyph is drawn twice.",
        )
    times = waiting[possible] / probabilities[possible]
    return np.sort(possible[np.argpartition(times, count - 1)[:count]])


class Drawings:
    """Boxes drawn of the glyphs of a store, each once; kept in a file if there is one.

    Args:
        store: The glyphs.
        seed: Seed of the drawing; a glyph's box depends on nothing else.
        workers: Processes.
        path: ``.npz`` to keep them in between commands, or None; rejects are not kept.
        digest: What the store was made from; a file of another digest is not used.
    """

    def __init__(
        self, store: GlyphStore, seed: int, workers: int, path: Path | None, digest: str
    ) -> None:
        self._store, self._workers = store, workers
        self._seeds = store.drawing_seeds(seed)
        self._path, self._digest = path, f"{digest}-{seed}"
        count = len(store.labels)
        self._images = np.zeros((count, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
        self._issues = np.zeros(count, np.uint8)
        self._drawn = np.zeros(count, bool)

    def pool(self, chosen: NDArray[np.int64]) -> ImagePool:
        """The pool of the chosen glyphs; what gives no readable image is left out."""
        self._load()  # another command may have drawn some of them in the meantime
        missing = chosen[~self._drawn[chosen]]
        chunks = [missing[at : at + DRAWN_AT_ONCE] for at in range(0, len(missing), DRAWN_AT_ONCE)]
        jobs = (
            joblib.delayed(_draw)([self._store.glyphs[row] for row in chunk], self._seeds[chunk])
            for chunk in chunks
        )
        parts = joblib.Parallel(n_jobs=self._workers, pre_dispatch="2*n_jobs", batch_size=1)(jobs)
        for chunk, (images, issues) in zip(chunks, parts, strict=True):
            self._images[chunk], self._issues[chunk] = images, issues
        self._drawn[missing] = True
        if len(missing):
            self._save()
        issues = self._issues[chosen]
        good = chosen[issues == BoxIssue.NONE]
        lost = Counter(BoxIssue(int(issue)).code for issue in issues[issues != BoxIssue.NONE])
        return ImagePool(self._images[good], self._store.labels[good], lost)

    def _load(self) -> None:
        if self._path is None or not self._path.is_file():
            return
        with np.load(self._path, allow_pickle=False) as kept:
            if str(kept["digest"]) != self._digest:
                return
            rows = kept["rows"]
            self._images[rows], self._issues[rows] = kept["images"], kept["issues"]
            self._drawn[rows] = True

    def _save(self) -> None:
        if self._path is None:
            return
        self._load()  # and others while these were drawn
        rows = np.flatnonzero(self._drawn & self._store.characters)
        with disk_errors("write", self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._path) as file:
            np.savez(
                file,
                digest=np.array(self._digest),
                rows=rows,
                images=self._images[rows],
                issues=self._issues[rows],
            )


def _draw(
    glyphs: list[NDArray[np.float32]], seeds: NDArray[np.int64]
) -> tuple[Images, NDArray[np.uint8]]:
    images = np.zeros((len(glyphs), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    issues = np.zeros(len(glyphs), np.uint8)
    cv2.setNumThreads(1)
    warm_up()
    for place, (glyph, seed) in enumerate(zip(glyphs, seeds.tolist(), strict=True)):
        crop = draw_training_box(glyph, np.random.default_rng(seed))
        images[place], issues[place] = preprocess_image(crop)
    return images, issues


@dataclass(frozen=True, slots=True)
class Measured:
    """Preprocessed images that variants are measured on.

    Attributes:
        name: Name of the source.
        images: ``uint8[n, 28, 28]``.
        labels: ``int16[n]`` class indices.
        lost: ``bool[n]``, images that the preprocessing gave nothing of: they count as wrong.
    """

    name: str
    images: Images
    labels: NDArray[np.int16]
    lost: NDArray[np.bool_]


def measured_packs(name: str, packs: Sequence[GlyphPack], alphabet: str, at_most: int) -> Measured:
    """Put images through the production preprocessing, as they are.

    Args:
        name: What the table calls them.
        packs: Where they come from.
        alphabet: Class order.
        at_most: Of more images, so many are taken by chance, always the same ones.
    """
    images = [image for pack in packs for image in pack.images]
    labels = np.concatenate([pack.labels for pack in packs])
    order = np.random.default_rng(_SAMPLE).permutation(len(images))[:at_most]
    return _preprocessed(
        name, [images[row] for row in order], [str(labels[row]) for row in order], alphabet
    )


def regional_shapes(writers: int, alphabet: str) -> Measured:
    """The shapes of ``REGIONAL_FORMS``, each once by every writer, in scanned boxes.

    Args:
        writers: How many people; none of them takes part in a training.
        alphabet: Class order.
    """
    crops, labels = [], []
    for number in range(writers):
        rng = np.random.default_rng([REGIONAL_SEED, number])
        writer = StrokeWriter.random(rng)
        for character, names in REGIONAL_FORMS.items():
            for form in (form for form in FORMS[character] if form.name in names):
                cover = writer.write_form(character, form, rng)
                crops.append(draw_training_box(cover, rng, "scan", faithful=True))
                labels.append(character)
    return _preprocessed(REGIONAL, crops, labels, alphabet)


def _preprocessed(
    name: str, crops: Sequence[Images], labels: Sequence[str], alphabet: str
) -> Measured:
    images = np.zeros((len(crops), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    issues = np.zeros(len(crops), np.uint8)
    for row, crop in enumerate(crops):
        images[row], issues[row] = preprocess_image(crop)
    numbers = np.array([alphabet.index(label) for label in labels], np.int16)
    return Measured(name, images, numbers, issues != BoxIssue.NONE)


def family(name: str, known: Collection[str]) -> tuple[str, ...]:
    """Packs that are left out with one: itself, and those that share its writers.

    Args:
        name: Name of a pack or of a family.
        known: Names of the packs there are.

    Raises:
        UsageError: There is none of that name.
    """
    for title, members in FAMILIES.items():
        if name in (title, *members):
            return tuple(member for member in members if member in known)
    if name not in known:
        raise UsageError(
            f"no source is called {name}",
            f"Known are {', '.join(sorted({*known, *FAMILIES}))}.",
        )
    return (name,)


def family_name(name: str) -> str:
    """The family that a pack belongs to, or its own name."""
    return next((title for title, members in FAMILIES.items() if name in members), name)
