"""The sample cards of the project: a small archive with one card of each difficulty.

Every card is drawn; nobody wrote it and no vehicle bears its VIN. The set is fixed: drawing
it again gives the same cards.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.errors import DiskError, UsageError
from vin_batch.synthesis.cards import draw_card, encode_image
from vin_batch.synthesis.folders import TRUTH_NAME, write_truth
from vin_batch.synthesis.scan import Level, ScanStyle
from vin_batch.synthesis.vins import Group, random_vin
from vin_batch.synthesis.writer import Writer

SEED: Final = 565_15
"""Seed of the set, after 49 CFR 565.15; any number would do."""
TRUTH_COLUMNS: Final = ("card_id", "vin", "note")

Crop = NDArray[np.uint8]
Files = dict[str, bytes]
Layout = Callable[[int, Crop], tuple[str, bytes]]
"""Turns a position (1 to 17) and its crop into a file name and the file's bytes."""
Damage = Callable[[Files], None]
"""Changes the files of a finished card in place."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample card.

    Attributes:
        card_id: Folder below the archive root.
        group: Group to draw the VIN from, or None where ``text`` is given.
        level: Difficulty of hand and scan.
        note: What is special about it, for the truth.
        layout: How crops become files.
        text: What is written where no VIN is drawn.
        damage: What happened to the files, or None.
        blank: Position that nobody filled in, or None.
        inverted: Light ink on dark paper.
    """

    card_id: str
    group: Group | None
    level: Level
    note: str
    layout: Layout
    text: str = ""
    damage: Damage | None = None
    blank: int | None = None
    inverted: bool = False


def _png(position: int, crop: Crop) -> tuple[str, bytes]:
    return f"{position:02d}.png", encode_image(crop, ".png", cv2.IMWRITE_PNG_COMPRESSION, 9)


def _png_from_zero(position: int, crop: Crop) -> tuple[str, bytes]:
    return f"{position - 1}.png", _png(position, crop)[1]


def _png_16_bit(position: int, crop: Crop) -> tuple[str, bytes]:
    deep = crop.astype(np.uint16) * 257
    return f"{position:02d}.png", encode_image(deep, ".png", cv2.IMWRITE_PNG_COMPRESSION, 9)


def _png_1_bit(position: int, crop: Crop) -> tuple[str, bytes]:
    _, black_white = cv2.threshold(crop, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return f"{position:02d}.png", encode_image(
        np.asarray(black_white, np.uint8), ".png", cv2.IMWRITE_PNG_BILEVEL, 1
    )


def _png_colour_alpha(position: int, crop: Crop) -> tuple[str, bytes]:
    """Blue ink: the darker the crop, the bluer; opaque."""
    blue_ink = np.clip(crop.astype(np.int16) + (255 - crop.astype(np.int16)) // 3, 0, 255)
    planes = [blue_ink.astype(np.uint8), crop, crop, np.full_like(crop, 255)]
    return f"{position:02d}.png", encode_image(
        np.dstack(planes), ".png", cv2.IMWRITE_PNG_COMPRESSION, 9
    )


def _jpeg(position: int, crop: Crop) -> tuple[str, bytes]:
    return f"box_{position}.jpg", encode_image(crop, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 85)


def _tiff(position: int, crop: Crop) -> tuple[str, bytes]:
    return f"card0012_{position:02d}.tif", encode_image(crop, ".tif")


def _bmp(position: int, crop: Crop) -> tuple[str, bytes]:
    small = cv2.resize(crop, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    return f"{position:02d}.bmp", encode_image(np.asarray(small, np.uint8), ".bmp")


def _webp(position: int, crop: Crop) -> tuple[str, bytes]:
    return f"{position:02d}.webp", encode_image(crop, ".webp", cv2.IMWRITE_WEBP_QUALITY, 85)


def _lose_box_7(files: Files) -> None:
    del files["07.png"]


def _tear_box_11(files: Files) -> None:
    whole = files["box_11.jpg"]
    files["box_11.jpg"] = whole[: len(whole) * 3 // 5]


def _empty_box_4(files: Files) -> None:
    files["04.png"] = b""


def _add_18th(files: Files) -> None:
    files["18.png"] = files["17.png"]


def _add_strangers(files: Files) -> None:
    files["Thumbs.db"] = b"not an image\n"
    files["note.txt"] = "карточка переписана\n".encode()


SAMPLES: Final = (
    Sample("1984/box_001/card_0001", "soviet", "clean", "Soviet, no check digit in use", _png),
    Sample("1984/box_001/card_0002", "import", "clean", "import", _png),
    Sample("1984/box_001/card_0003", "na", "clean", "North American, valid check digit", _png),
    Sample("1984/box_001/card_0004", "cis", "clean", "CIS", _png),
    Sample(
        "1984/box_001/card_0005",
        None,
        "clean",
        "European without a check digit (Z at position 9)",
        _png,
        "WVWZZZ1JZ1W046281",
    ),
    Sample("1991/box_014/card_0006", "soviet", "scan", "Soviet, no check digit in use", _png),
    Sample("1991/box_014/card_0007", "import", "scan", "import", _png),
    Sample("1991/box_014/card_0008", "na", "scan", "North American, valid check digit", _png),
    Sample("1991/box_014/card_0009", "cis", "scan", "CIS", _png),
    Sample("1991/box_014/card_0010", "import", "scan", "JPEG, names box_1.jpg ...", _jpeg),
    Sample(
        "1991/box_014/card_0011", "soviet", "scan", "names from 0.png to 16.png", _png_from_zero
    ),
    Sample("1991/box_014/card_0012", "na", "scan", "TIFF", _tiff),
    Sample("1998/box_107/card_0013", "cis", "clean", "BMP, small", _bmp),
    Sample("1998/box_107/card_0014", "import", "scan", "WebP", _webp),
    Sample("1998/box_107/card_0015", "soviet", "scan", "inverted ink", _png, inverted=True),
    Sample("1998/box_107/card_0016", "na", "clean", "16-bit PNG", _png_16_bit),
    Sample("1998/box_107/card_0017", "cis", "clean", "1-bit PNG", _png_1_bit),
    Sample("1998/box_107/card_0018", "import", "clean", "colour PNG with alpha", _png_colour_alpha),
    Sample("1998/ящик_108/картка_0019", "soviet", "scan", "Cyrillic folder names", _png),
    Sample("2003/box_210/card_0020", "na", "scan", "box 7 missing", _png, damage=_lose_box_7),
    Sample(
        "2003/box_210/card_0021", "import", "scan", "box 11 a torn JPEG", _jpeg, damage=_tear_box_11
    ),
    Sample(
        "2003/box_210/card_0022", "cis", "clean", "box 4 an empty file", _png, damage=_empty_box_4
    ),
    Sample("2003/box_210/card_0023", "soviet", "scan", "box 13 left blank", _png, blank=13),
    Sample("2003/box_210/card_0024", "na", "scan", "an 18th image", _png, damage=_add_18th),
    Sample(
        "2003/box_210/card_0025",
        "import",
        "scan",
        "other files in the folder",
        _png,
        damage=_add_strangers,
    ),
    Sample("2003/box_211/card_0026", "cis", "hard", "CIS", _jpeg),
    Sample("2003/box_211/card_0027", "na", "hard", "North American", _jpeg),
    Sample(
        "2003/box_211/card_0028",
        None,
        "scan",
        "no VIN: a frame number padded with zeros",
        _jpeg,
        "0000000KFC2012345",
    ),
)


def write_samples(out: Path) -> Path:
    """Draw the sample archive.

    Args:
        out: A directory that is new, empty, or an earlier outcome; card folders and
            ``truth.csv`` are rewritten, other files at the top are kept.

    Returns:
        Path of ``truth.csv``; ``vin`` is empty where the card bears none.

    Raises:
        UsageError: ``out`` holds something else.
        DiskError: A file cannot be written.
    """
    truth = out / TRUTH_NAME
    if out.is_dir() and any(out.iterdir()) and not _is_sample_truth(truth):
        raise UsageError(f"{out} is not empty and holds no sample cards", "Give a new directory.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        rows = [_write_sample(sample, index, out) for index, sample in enumerate(SAMPLES)]
        return write_truth(truth, TRUTH_COLUMNS, rows)
    except OSError as error:
        raise DiskError(f"cannot write sample cards to {out}: {error}") from error


def _is_sample_truth(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(next(csv.reader(file), ())) == TRUTH_COLUMNS


def _write_sample(sample: Sample, index: int, out: Path) -> tuple[str, str, str]:
    text, files = draw_sample(sample, index)
    folder = out / sample.card_id
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    vin = "" if sample.note.startswith("no VIN") else text
    return sample.card_id, vin, f"{sample.level}: {sample.note}"


def draw_sample(sample: Sample, index: int) -> tuple[str, Files]:
    """Draw the files of one sample card.

    Args:
        sample: What to draw.
        index: Its place in ``SAMPLES``, which seeds it.

    Returns:
        The text on the card, and its files by name.
    """
    rng = np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(index,)))
    text = random_vin(rng, sample.group).vin if sample.group else sample.text
    writer = Writer.random(sample.level, rng)
    style = replace(ScanStyle.random(sample.level, rng), inverted=sample.inverted)
    written = "".join(" " if i == sample.blank else c for i, c in enumerate(text, start=1))
    crops = draw_card(written, writer, sample.level, rng, style)
    files = dict(sample.layout(position, crop) for position, crop in enumerate(crops, start=1))
    if sample.damage:
        sample.damage(files)
    return text, files
