"""Writes small glyph packs, drawn with the packaged typefaces, for tests of the training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vin_batch.synthesis.typefaces import families
from vin_batch.synthesis.writer import BoxShape, Writer
from vin_batch.training.packs import GlyphPack
from vin_batch.vin.alphabet import ALPHABET

SIDE = 40


def drawn_glyphs(alphabet: str, copies: int, seed: int) -> tuple[NDArray[np.uint8], list[str]]:
    """``copies`` dark glyphs on white of every character, sorted by class."""
    rng = np.random.default_rng(seed)
    images, labels = [], []
    for character in alphabet:
        for copy in range(copies):
            hand = Writer.random("clean", rng)
            family = families()[(copy + seed) % len(families())]
            cover = replace(hand, family=family, habits=()).draw(
                character, BoxShape(SIDE, SIDE), rng
            )
            images.append(np.rint(255 * (1 - cover)).astype(np.uint8))
            labels.append(character)
    return np.stack(images), labels


def as_pack(name: str, images: NDArray[np.uint8], labels: Iterable[str]) -> GlyphPack:
    """A pack of which nothing is held out."""
    told = np.array(list(labels))
    return GlyphPack(name, images, told, np.zeros(len(told), bool), np.arange(len(told)))


def write_pack(
    path: Path, alphabet: str = ALPHABET, copies: int = 10, seed: int = 0, **fields: object
) -> Path:
    """Write one pack; ``fields`` replace or add arrays, None leaves one out."""
    images, labels = drawn_glyphs(alphabet, copies, seed)
    arrays: dict[str, object] = {"X": images, "y": np.array(labels)} | fields
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: np.asarray(value) for name, value in arrays.items() if value is not None}
    np.savez(path, **kept)  # type: ignore[arg-type]
    return path


def write_data(folder: Path) -> Path:
    """A data folder with two training packs and one evaluation pack."""
    write_pack(folder / "train" / "sheets.npz", copies=10, seed=1)
    writers = np.repeat(np.arange(10), 1).tolist() * len(ALPHABET)
    write_pack(folder / "train" / "forms.npz", copies=10, seed=2, writer=writers)
    write_pack(folder / "evaluate" / "letter_cards.npz", copies=2, seed=3)
    return folder
