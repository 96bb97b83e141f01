"""What the numbers of public sources mean: label to character, and how images lie.

EMNIST: Cohen, Afshar, Tapson and van Schaik, "EMNIST: an extension of MNIST to handwritten
letters", 2017. Its images are stored column by column, in every one of its formats.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from vin_batch.errors import UsageError

Kind = Literal["auto", "pack", "mnist", "emnist", "az", "folders"]
KINDS: Final[tuple[Kind, ...]] = ("auto", "pack", "mnist", "emnist", "az", "folders")

_BYCLASS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BALANCED: Final = string.digits + string.ascii_uppercase + "abdefghnqrt"


@dataclass(frozen=True, slots=True)
class Convention:
    """How to read the labels and the pixels of a source.

    Attributes:
        name: In words.
        characters: Character of every label number.
        merged: Capitals whose class may also hold their lower case.
        transposed: Images are stored column by column.
    """

    name: str
    characters: Mapping[int, str]
    merged: frozenset[str] = frozenset()
    transposed: bool = False


def _numbered(characters: str, start: int = 0) -> dict[int, str]:
    return dict(enumerate(characters, start))


MNIST: Final = Convention("MNIST", _numbered(string.digits))
AZ: Final = Convention("A-Z Handwritten Alphabets", _numbered(string.ascii_uppercase))
_MERGED: Final = frozenset("CIJKLMOPSUVWXYZ")
EMNIST: Final[dict[str, Convention]] = {
    "byclass": Convention("EMNIST byclass", _numbered(_BYCLASS), transposed=True),
    "bymerge": Convention("EMNIST bymerge", _numbered(_BALANCED), _MERGED, transposed=True),
    "balanced": Convention("EMNIST balanced", _numbered(_BALANCED), _MERGED, transposed=True),
    "letters": Convention(
        "EMNIST letters",
        _numbered(string.ascii_uppercase, start=1),
        frozenset(string.ascii_uppercase),
        transposed=True,
    ),
    "digits": Convention("EMNIST digits", _numbered(string.digits), transposed=True),
    "mnist": Convention("EMNIST mnist", _numbered(string.digits), transposed=True),
}
"""By the name of the split, for files that come without their mapping."""


def read_mapping(path: Path) -> Convention:
    """Read an EMNIST ``*-mapping.txt``: label, code of the character, perhaps a second code.

    Args:
        path: The file.

    Returns:
        The convention. A capital is merged where the line names its lower case too, or where
        the mapping knows lower-case classes, but not its own.

    Raises:
        UsageError: The file is no mapping.
    """
    try:
        rows = [
            [int(word) for word in line.split()]
            for line in path.read_text(encoding="ascii").splitlines()
            if line.strip()
        ]
        characters = {row[0]: chr(row[1]) for row in rows}
        return _mapped(path, characters, {chr(row[1]) for row in rows if len(row) > 2})
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise UsageError(
            f"{path} is not a mapping of labels: {error}",
            "An EMNIST mapping has a label and a character code on every line, such as '10 65'.",
        ) from error


def parse_mapping(rows: NDArray[np.integer], path: Path) -> Convention:
    """The same from the ``mapping`` array of a MATLAB file, ``int[classes, 2 or 3]``."""
    characters = {int(row[0]): chr(int(row[1])) for row in rows}
    named_twice = {chr(int(row[1])) for row in rows} if rows.shape[1] > 2 else set()
    return _mapped(path, characters, named_twice)


def _mapped(path: Path, characters: dict[int, str], named_twice: set[str]) -> Convention:
    known = set(characters.values())
    if not known or not known <= set(_BYCLASS):
        raise ValueError("it names no letters and digits, or others than those")
    merged = set(named_twice)
    if known & set(string.ascii_lowercase):
        merged |= {one for one in known & set(string.ascii_uppercase) if one.lower() not in known}
    return Convention(f"EMNIST, {path.name}", characters, frozenset(merged), transposed=True)


def choose_convention(
    kind: Kind, name: str, labels: NDArray[np.integer], mapping: Path | None
) -> Convention:
    """Find out what the label numbers of a source mean.

    Args:
        kind: What the user says it is; ``auto`` decides by mapping, name and label numbers.
        name: Name of the file or group of files.
        labels: ``int[n]``.
        mapping: The mapping beside it, if there is one.

    Returns:
        The convention.

    Raises:
        UsageError: The numbers fit none, or not the one that was asked for.
    """
    found = _by_kind(kind, name.lower(), labels, mapping)
    unknown = sorted(set(np.unique(labels).tolist()) - set(found.characters)) if len(labels) else []
    if unknown:
        raise UsageError(
            f"{name} has labels that {found.name} does not know: {unknown[:5]}",
            "Put the source's own mapping.txt beside it, or name its kind with --kind "
            f"({', '.join(KINDS)}).",
        )
    return found


def _by_kind(
    kind: Kind, name: str, labels: NDArray[np.integer], mapping: Path | None
) -> Convention:
    if kind == "mnist":
        return MNIST
    if kind == "az":
        return AZ
    if mapping is not None:
        return read_mapping(mapping)
    if kind == "emnist" or "emnist" in name:
        named = (EMNIST[split] for split in EMNIST if split in name.replace("emnist", ""))
        return next(named, None) or _emnist_by_range(labels)
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    if high < len(MNIST.characters):
        return MNIST
    return AZ if low == 0 and high < len(AZ.characters) else _emnist_by_range(labels)


def _emnist_by_range(labels: NDArray[np.integer]) -> Convention:
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    if high < len(string.digits):
        return EMNIST["digits"]
    if low >= 1 and high <= len(string.ascii_uppercase):
        return EMNIST["letters"]
    return EMNIST["balanced" if high < len(_BALANCED) else "byclass"]


def characters_of(labels: NDArray[np.integer], convention: Convention) -> NDArray[np.str_]:
    """Characters of label numbers, ``str[n]``; all of them must be known."""
    table = np.full(max(convention.characters, default=0) + 1, "?")
    for number, character in convention.characters.items():
        table[number] = character
    return np.asarray(table[labels])
