"""Folders of images, one folder for each class.

A class folder is named by its character (``A``), with a word that tells the case where file
systems do not (``upper_A``, ``a_lower``), or by the character's hexadecimal code as in NIST
Special Database 19 (``41``). Images may lie deeper inside it. Above the classes there may be
folders that name published parts (``train``, ``test``).
"""

from __future__ import annotations

import hashlib
import os
import re
import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.archive.names import is_hidden, is_image_name
from vin_batch.errors import UsageError
from vin_batch.preprocess.decode import decode_grey
from vin_batch.records import BoxIssue
from vin_batch.training.datasets.source import Source, assemble, shows_light_ink

SIDE: Final = 64
"""Pixels of the side of the square that every image is put into; larger ink is scaled down."""
_INK_LEVEL: Final = 60
_TRAINING: Final = frozenset({"train", "training"})
_TEST: Final = frozenset({"test", "testing", "val", "valid", "validation", "hsf_4"})
"""``hsf_4`` is NIST's own test part: high-school students, who wrote none of the others."""
_UPPER: Final = r"(?:upper(?:case)?|capital|caps?|big|digit|number)"
_LOWER: Final = r"(?:lower(?:case)?|small)"
BAD_FILES_NAMED: Final = 3
REPEATED: Final = "repeated"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file of a class.

    Attributes:
        path: The file.
        label: The character.
        part: True in a test part, False elsewhere.
    """

    path: Path
    label: str
    part: bool


def class_of(name: str) -> str | None:
    """The character that a folder's name stands for, or None.

    Args:
        name: For example ``A``, ``upper_A``, ``a-lower``, ``41``.
    """
    if len(name) == 1:
        return name if name in string.digits + string.ascii_letters else None
    if re.fullmatch(r"[3-7][0-9a-fA-F]", name):
        character = chr(int(name, 16))
        return character if character in string.digits + string.ascii_letters else None
    for words, change in ((_UPPER, str.upper), (_LOWER, str.lower)):
        for pattern in (rf"{words}[ _-]?([0-9A-Za-z])", rf"([0-9A-Za-z])[ _-]?{words}"):
            if found := re.fullmatch(pattern, name, re.IGNORECASE):
                return change(found.group(1))
    return None


def has_class_folders(folder: Path) -> bool:
    """Whether a folder holds class folders, perhaps below parts."""
    names = _folders(folder)
    deeper = [one for path in names if _is_part(path.name) for one in _folders(path)]
    return any(class_of(path.name) for path in (*names, *deeper))


def read_folders(folder: Path) -> Source:
    """Read all images below the class folders.

    Files that cannot be decoded are counted; a file that repeats another of its class byte
    for byte is left out and counted as ``repeated``.

    Args:
        folder: What holds the class folders, or the folders of parts above them.

    Returns:
        The source, ``uint8[n, 64, 64]``.

    Raises:
        UsageError: No class folder, no readable image, or a folder that may be anything.
    """
    files = sorted(_class_files(folder), key=lambda file: (file.label, file.path))
    images = np.empty((len(files), SIDE, SIDE), np.uint8)
    kept: list[ImageFile] = []
    bad: Counter[str] = Counter()
    named: list[str] = []
    seen: set[tuple[str, bytes]] = set()
    for file in files:
        image = _read(file, seen)
        if isinstance(image, str):
            bad[image] += 1
            if image != REPEATED:
                named.append(str(file.path.relative_to(folder)))
        else:
            images[len(kept)] = image
            kept.append(file)
    if not kept:
        raise UsageError(
            f"no readable images in the class folders of {folder}: {dict(bad)}",
            "A class folder is named A, upper_A, lower_a or 41 (hexadecimal) and holds images.",
        )
    shown = f"e.g. {', '.join(named[:BAD_FILES_NAMED])}"
    return assemble(
        folder.resolve().name,
        "folders",
        images[: len(kept)],
        np.array([file.label for file in kept]),
        is_test=np.array([file.part for file in kept]),
        unreadable=bad,
        notes=(shown,) if named else (),
    )


def _class_files(folder: Path) -> Iterator[ImageFile]:
    strange = []
    for path in _folders(folder):
        label = class_of(path.name)
        if label:
            yield from _images_below(path, label, in_test=False)
        elif _is_part(path.name):
            for deeper in _folders(path):
                if inner := class_of(deeper.name):
                    yield from _images_below(deeper, inner, path.name.lower() in _TEST)
                else:
                    strange.append(f"{path.name}/{deeper.name}")
        else:
            strange.append(path.name)
    if numbers := [name for name in strange if name.rpartition("/")[2].isdigit()]:
        raise UsageError(
            f"{folder} has folders that no character is named by: {', '.join(numbers[:5])}",
            "Numbers of classes mean something else in every source: rename the folders to the "
            "characters (A, lower_a) or to their hexadecimal codes (41).",
        )


def _images_below(folder: Path, label: str, in_test: bool) -> Iterator[ImageFile]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and is_visible(path) and is_image_path(path):
            inner = {part.lower() for part in path.relative_to(folder).parts[:-1]}
            yield ImageFile(path, label, in_test or bool(inner & _TEST))


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and is_visible(p))


def is_visible(path: Path) -> bool:
    """Whether a file manager would show it."""
    return not is_hidden(os.fsencode(path.name))


def is_image_path(path: Path) -> bool:
    """Whether its name says that it is an image."""
    return is_image_name(os.fsencode(path.name))


def _is_part(name: str) -> bool:
    return name.lower() in _TRAINING | _TEST


def _read(file: ImageFile, seen: set[tuple[str, bytes]]) -> NDArray[np.uint8] | str:
    """The image in its square, or why there is none."""
    try:
        data = file.path.read_bytes()
    except OSError:
        return "not readable"
    digest = (file.label, hashlib.sha256(data).digest())
    if digest in seen:
        return REPEATED
    seen.add(digest)
    grey = decode_grey(data)
    return grey.code if isinstance(grey, BoxIssue) else into_square(grey)


def into_square(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn to dark ink on white, cut to the ink where it is larger, and pad to the square.

    Args:
        grey: ``uint8[h, w]`` of either polarity.

    Returns:
        ``uint8[64, 64]``.
    """
    if shows_light_ink(grey[None]):
        grey = 255 - grey
    if max(grey.shape) > SIDE:
        rows = np.flatnonzero((grey < 255 - _INK_LEVEL).any(axis=1))
        columns = np.flatnonzero((grey < 255 - _INK_LEVEL).any(axis=0))
        if rows.size:
            grey = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if max(grey.shape) > SIDE:
        scale = SIDE / max(grey.shape)
        size = [max(1, round(side * scale)) for side in grey.shape[::-1]]
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    square = np.full((SIDE, SIDE), 255, np.uint8)
    top, left = ((SIDE - side) // 2 for side in grey.shape)
    square[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
    return square
