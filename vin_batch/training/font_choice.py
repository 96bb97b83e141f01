"""Choose the legible families and glyphs of a folder of fonts: makes ``font_families.csv``.

    python -m vin_batch.training.font_choice FOLDER

Every glyph goes through the production preprocessing and is read by a shipped recogniser.

- A family *in pieces* (dotted, sprayed, or with printed guide lines) is left out: the median of
  its characters has more than one piece of ink.
- A family is *illegible* where fewer than ``MIN_RIGHT_SHARE`` of the 33 VIN characters are read
  right: calligraphy.
- A family with the *same shapes* as one before it counts once: at least ``SAME_SHARE`` of the 33
  characters are nearly the same image.
- Of a family that stays, a glyph is left out whose own class is nearly excluded by the recogniser
  (a swash G, an A like a large a).
- Lower-case letters with shapes of their own are left out where they look like the family's own
  capital, and all of them where the family shows small capitals: where most of
  ``CASE_SIGNS`` are read as capitals. What the recogniser answers for a single one says nothing:
  it knows only capitals, and must answer M for an m.

The packaged table was made so with the model whose sha256 starts with 0a528ddf0672.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.alphabets import ALPHABETS, require_alphabet
from vin_batch.classifier.base import Classifier
from vin_batch.errors import UsageError, VinBatchError
from vin_batch.preprocess import preprocess_image
from vin_batch.synthesis.typefaces import families as packaged_families
from vin_batch.training.font_writers import TABLE, FontFamily, FontPen, font_files
from vin_batch.vin.alphabet import ALPHABET

CHARACTERS: Final = ALPHABETS["byclass62"]
MIN_RIGHT_SHARE: Final = 0.75
"""Share of the 33 characters read right. Looked at: below it are the calligraphic families."""
MIN_CLASS_PROB: Final = 0.02
"""A glyph to whose own class the recogniser gives less is another shape than people print."""
SHARED_SHAPES: Final = "ckopsuvwxyz"
"""Letters that are written alike in both cases."""
CASE_SIGNS: Final = "abdghnr"
"""Lower-case letters that are rarely read as their capitals."""
LIKE_CAPITAL: Final = 0.75
"""Cosine of the preprocessed images of a letter's two cases from which on they look alike."""
SAME_IMAGE: Final = 0.93
"""Cosine of two preprocessed images from which on they count as one shape."""
SAME_SHARE: Final = 0.5
_PAPER_BORDER: Final = 16
"""White pixels around a drawn glyph, as around a character in its box."""
_LICENCE_NAMES: Final = (0, 13, 14)
"""Name records of OpenType: copyright, licence, licence address."""
_LICENCES: Final = {
    "OFL-1.1": ("scripts.sil.org/ofl", "openfontlicense", "open font license", "sil ofl"),
    "Apache-2.0": ("apache.org/licenses/license-2",),
}


@dataclass(frozen=True, slots=True)
class Specimen:
    """The characters of one family as the recogniser sees them.

    Attributes:
        shown: Characters of ``CHARACTERS`` that the typeface has.
        pixels: ``uint8[62, 28, 28]``, preprocessed.
        pieces: Median number of pieces of ink of the 33 VIN characters.
    """

    shown: str
    pixels: NDArray[np.uint8]
    pieces: float


def draw_specimen(path: Path) -> Specimen:
    """Draw all characters of a font file and preprocess them.

    Raises:
        UsageError: The font cannot be read.
    """
    pen = FontPen.load(path)
    images = {character: pen.draw(character) for character in CHARACTERS}
    pixels = [
        preprocess_image(np.pad(image, _PAPER_BORDER, constant_values=255))[0]
        for image in images.values()
    ]
    pieces = [_pieces(images[character]) for character in ALPHABET]
    return Specimen(pen.shown(CHARACTERS), np.stack(pixels), float(np.median(pieces)))


def _pieces(image: NDArray[np.uint8]) -> int:
    count, _ = cv2.connectedComponents((image < 128).astype(np.uint8))
    return int(count) - 1


def choose_families(paths: dict[str, Path], judge: Classifier) -> tuple[FontFamily, ...]:
    """Apply the rules at the top of this module.

    Args:
        paths: Font files by family, in the order in which same shapes are resolved.
        judge: A recogniser that knows the 33 VIN characters.

    Returns:
        One row for every family.

    Raises:
        UsageError: A font cannot be read, or fontTools is not installed.
        ModelError: The recogniser does not know the 33 VIN characters.
    """
    require_alphabet(judge.card, "vin")
    specimens = {family: draw_specimen(path) for family, path in paths.items()}
    packaged = set(packaged_families())
    chosen = {family: _shapes(specimens[family]) for family in specimens if family in packaged}
    rows = []
    for family, specimen in specimens.items():
        log_probs = judge.log_probs(specimen.pixels)
        note = "packaged: typeface_pack draws it" if family in packaged else ""
        note = note or _illegible(specimen, log_probs, judge.card.classes)
        note = note or _same_as(_shapes(specimen), chosen)
        glyphs = ""
        if not note:
            chosen[family] = _shapes(specimen)
            glyphs = _legible_glyphs(specimen, log_probs, judge.card.classes)
            missing = "".join(character for character in CHARACTERS if character not in glyphs)
            note = f"without {missing}" if missing else ""
        rows.append(FontFamily(family, licence(paths[family]), glyphs, note))
    return tuple(rows)


def _illegible(specimen: Specimen, log_probs: NDArray[np.float32], classes: str) -> str:
    if specimen.pieces > 1:
        return "in pieces: dotted, sprayed or ruled"
    own = [classes.index(character) for character in ALPHABET]
    best = log_probs[[CHARACTERS.index(character) for character in ALPHABET]].argmax(axis=1)
    right = int((best == own).sum())
    if right < MIN_RIGHT_SHARE * len(ALPHABET):
        return f"illegible: {right} of {len(ALPHABET)} read right"
    return ""


def _shapes(specimen: Specimen, characters: str = ALPHABET) -> NDArray[np.float32]:
    """Characters as unit vectors, ``float32[characters, 784]``."""
    rows = [CHARACTERS.index(character) for character in characters]
    flat = specimen.pixels[rows].reshape(len(rows), -1).astype(np.float32)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(length, 1e-9), np.float32)


def _same_as(shapes: NDArray[np.float32], chosen: dict[str, NDArray[np.float32]]) -> str:
    for family, others in chosen.items():
        if ((shapes * others).sum(axis=1) > SAME_IMAGE).mean() >= SAME_SHARE:
            return f"same shapes as {family}"
    return ""


def _legible_glyphs(specimen: Specimen, log_probs: NDArray[np.float32], classes: str) -> str:
    small_capitals = _has_small_capitals(log_probs, classes)
    shapes = _shapes(specimen, CHARACTERS)

    def legible(character: str) -> bool:
        place, capital = CHARACTERS.index(character), CHARACTERS.index(character.upper())
        if character in ALPHABET:
            own = log_probs[place, classes.index(character)]
            return bool(own >= np.log(MIN_CLASS_PROB))
        if place == capital or character in SHARED_SHAPES:
            return True
        return not small_capitals and float(shapes[place] @ shapes[capital]) < LIKE_CAPITAL

    return "".join(character for character in specimen.shown if legible(character))


def _has_small_capitals(log_probs: NDArray[np.float32], classes: str) -> bool:
    answers = log_probs[[CHARACTERS.index(letter) for letter in CASE_SIGNS]].argmax(axis=1)
    capitals = [classes.index(letter.upper()) for letter in CASE_SIGNS]
    return bool((answers == capitals).mean() > 0.5)


def licence(path: Path) -> str:
    """SPDX name of the licence that a font names, or "unknown".

    Raises:
        UsageError: fontTools, which reads it, is not installed.
    """
    try:
        # fontTools is typed in part; as a module found at run time it is Any.
        reader: Any = import_module("fontTools.ttLib")
        import_module("brotli")
    except ImportError as error:
        raise UsageError(
            f"cannot read what licence {path.name} names: {error}",
            "Install the extra vin_batch[train]; to draw with the packaged table it is not needed.",
        ) from error
    with reader.TTFont(path, lazy=True) as font:
        names = [font["name"].getDebugName(number) or "" for number in _LICENCE_NAMES]
    text = " ".join(names).lower()
    for name, signs in _LICENCES.items():
        if any(sign in text for sign in signs):
            return name
    return "unknown"


def write_table(path: Path, rows: Sequence[FontFamily]) -> None:
    """Write the table as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(FontFamily)])
        writer.writerows(astuple(row) for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Choose from a folder and write the table; see the module."""
    from vin_batch.classifier.keras_classifier import open_classifier  # noqa: PLC0415
    from vin_batch.classifier.model_card import (  # noqa: PLC0415
        default_model_directory,
        load_model_card,
    )

    parser = argparse.ArgumentParser(prog="python -m vin_batch.training.font_choice")
    parser.add_argument("folder", type=Path, help="folder of font files, one for each family")
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="the recogniser that judges (default: shipped)"
    )
    parser.add_argument(
        "-o", "--out", type=Path, default=Path(__file__).with_name(TABLE), help="the table"
    )
    options = parser.parse_args(arguments)
    try:
        judge = open_classifier(load_model_card(options.model or default_model_directory()), "cpu")
        rows = choose_families(font_files(options.folder), judge)
        write_table(options.out, rows)
    except VinBatchError as error:
        print(f"error: {error.message}\n{error.advice}", file=sys.stderr)
        return int(error.exit_code)
    kept = sum(bool(row.glyphs) for row in rows)
    print(f"{kept} of {len(rows)} families chosen: {options.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
