"""The front door: any public source, from its files to packs, format told by content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.errors import UsageError
from vin_batch.training.datasets.conventions import (
    KINDS,
    Convention,
    Kind,
    characters_of,
    choose_convention,
)
from vin_batch.training.datasets.folders import (
    has_class_folders,
    is_image_path,
    is_visible,
    read_folders,
)
from vin_batch.training.datasets.idx import (
    IMAGES_MAGIC,
    LABELS_MAGIC,
    IdxPart,
    group_name,
    is_test_name,
    partner_key,
    read_parts,
)
from vin_batch.training.datasets.matlab import MAT5_MAGIC, MAT73_MAGIC, read_matlab
from vin_batch.training.datasets.numpy_files import (
    ZIP_MAGIC,
    members,
    read_keras_mnist,
    read_pack,
)
from vin_batch.training.datasets.source import Source, assemble, looks_transposed
from vin_batch.training.datasets.tables import binary_head, is_pixel_table, read_tables

_HEAD: Final = 16_384
"""Bytes that a format is told by: more than the longest line of 785 headings."""


class Format(Enum):
    """What a file is, by its first bytes."""

    IDX_IMAGES = "idx images"
    IDX_LABELS = "idx labels"
    MATLAB = "MATLAB 5"
    MATLAB_73 = "MATLAB 7.3"
    TABLE = "CSV"
    PACK = "glyph pack"
    KERAS = "npz of Keras"
    OTHER = "other"


def sniff(path: Path) -> Format:
    """Tell what a file is by its content; its name does not matter.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        head = binary_head(path, _HEAD)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    for magic, found in (
        (IMAGES_MAGIC, Format.IDX_IMAGES),
        (LABELS_MAGIC, Format.IDX_LABELS),
        (MAT5_MAGIC, Format.MATLAB),
        (MAT73_MAGIC, Format.MATLAB_73),
    ):
        if head.startswith(magic):
            return found
    if head.startswith(ZIP_MAGIC):
        # A torn npz has lost its directory of members; the pack loader says so in words.
        return Format.KERAS if "x_train" in members(path) else Format.PACK
    return Format.TABLE if is_pixel_table(head) else Format.OTHER


def open_dataset(path: Path, kind: Kind = "auto") -> list[Source]:
    """Open a source: a file, a folder of files of it, or class folders.

    Args:
        path: ``.npz``, idx, ``.mat`` or CSV file (compressed or not), or a folder.
        kind: What it is, where that cannot be told: ``pack``, ``mnist``, ``emnist``, ``az``
            (A-Z Handwritten Alphabets), ``folders``; else ``auto``.

    Returns:
        The sources found, in name order, dark ink on white, with all their classes.

    Raises:
        UsageError: Nothing there, or a file is torn or unknown.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of data set: {kind}", f"Known are {', '.join(KINDS)}.")
    if not path.exists():
        raise UsageError(f"there is no {path}", "Name a file or a folder of a data set.")
    if path.is_dir() and (kind == "folders" or (kind == "auto" and has_class_folders(path))):
        return [read_folders(path)]
    if kind == "folders":
        raise UsageError(f"{path} is a file", "With folders, name what holds the class folders.")
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [one for one in inside if one.is_file() and is_visible(one)]
    formats = {one: sniff(one) for one in files}
    if path.is_file():
        _require_known(path, formats[path])
    sources = _open_files(formats, kind, alone=path.is_file())
    if not sources:
        raise UsageError(
            f"no data set in {path}",
            "Known are EMNIST and MNIST (idx, .mat, CSV, npz), the A-Z CSV, glyph packs (npz) "
            "and folders named by their class; archives must be unpacked first.",
        )
    return sorted(sources, key=lambda source: source.pack.name)


def _require_known(path: Path, found: Format) -> None:
    if found is Format.OTHER:
        advice = "Known are glyph packs, idx, MATLAB 5 and CSV of a label and 784 grey values."
        if is_image_path(path):
            advice = "Name the folder that holds the class folders (A, B, lower_a …)."
        raise UsageError(f"{path} is no data set that is known", advice)
    if found is Format.MATLAB_73:
        raise UsageError(
            f"{path} is a MATLAB 7.3 file",
            "EMNIST comes as MATLAB 5; save it with -v7, or use the idx files.",
        )
    if found is Format.IDX_LABELS:
        raise UsageError(f"{path} holds labels alone", "Name the images file, or the folder.")


@dataclass(frozen=True, slots=True)
class _Numbered:
    """Images as stored, with label numbers."""

    name: str
    kind: str
    images: NDArray[np.uint8]
    labels: NDArray[np.integer]
    is_test: NDArray[np.bool_]


def _open_files(formats: dict[Path, Format], kind: Kind, *, alone: bool) -> list[Source]:
    def of(*wanted: Format) -> list[Path]:
        return [path for path, found in formats.items() if found in wanted]

    singles: list[tuple[Format, Callable[[Path], Source]]] = [
        (Format.PACK, read_pack),
        (Format.KERAS, read_keras_mnist),
        (Format.MATLAB, _open_matlab),
    ]
    sources = [
        read(path)
        for found, read in singles
        if kind in {"auto", "pack" if found is Format.PACK else _maker(found)}
        for path in of(found)
    ]
    if kind == "pack":
        return sources
    for name, paths in _grouped(of(Format.IDX_IMAGES)).items():
        images, labels, is_test = read_parts([_with_labels(path) for path in paths])
        numbered = _Numbered(name, "idx", images, labels, is_test)
        sources.append(_interpret(numbered, kind, _mapping_beside(paths[0], name)))
    for name, paths in _grouped(of(Format.TABLE)).items():
        pixels, numbers, test_rows = read_tables(paths, [is_test_name(path) for path in paths])
        numbered = _Numbered(name, "CSV", pixels, numbers, test_rows)
        sources.append(_interpret(numbered, kind, _mapping_beside(paths[0], name)))
    return sources


def _maker(found: Format) -> Kind:
    return "emnist" if found is Format.MATLAB else "mnist"


def _grouped(paths: Iterable[Path]) -> dict[str, list[Path]]:
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[group_name(path).removesuffix(".csv")].append(path)
    return {name: sorted(group, key=is_test_name) for name, group in groups.items()}


def _with_labels(images: Path) -> IdxPart:
    key = partner_key(images)
    for path in sorted(images.parent.iterdir()):
        fits = path != images and path.is_file() and partner_key(path) == key
        if fits and sniff(path) is Format.IDX_LABELS:
            return IdxPart(images, path, key[1])
    raise UsageError(
        f"the labels of {images} are not beside it",
        f"Put {images.name.replace('images', 'labels').replace('idx3', 'idx1')} into its folder.",
    )


def _mapping_beside(path: Path, name: str) -> Path | None:
    found = sorted(path.parent.glob("*mapping.txt"))
    own = [one for one in found if one.name.lower() == f"{name}-mapping.txt"]
    plain = [one for one in found if one.name.lower() == "mapping.txt"]
    return next(iter((*own, *plain)), None)


def _interpret(data: _Numbered, kind: Kind, mapping: Path | None) -> Source:
    """Give label numbers their characters and turn images upright."""
    convention = choose_convention(kind, data.name, data.labels, mapping)
    seen = looks_transposed(data.images) if kind == "auto" else None
    turned = convention.transposed if seen is None else seen
    notes: tuple[str, ...] = ()
    if turned != convention.transposed:
        notes = (f"the images lie {'across' if turned else 'upright'}, unlike {convention.name}",)
    images = data.images.swapaxes(1, 2) if turned else data.images
    labels = characters_of(data.labels, convention)
    return assemble(
        data.name,
        f"{convention.name}, {data.kind}",
        images,
        labels,
        is_test=data.is_test,
        maybe_lowercase=_merged(labels, convention),
        notes=notes,
    )


def _open_matlab(path: Path) -> Source:
    data = read_matlab(path)
    labels = characters_of(data.labels, data.convention)
    return assemble(
        path.stem,
        f"{data.convention.name}, MATLAB",
        data.images,
        labels,
        writers=data.writers,
        is_test=data.is_test,
        maybe_lowercase=_merged(labels, data.convention),
    )


def _merged(labels: NDArray[np.str_], convention: Convention) -> NDArray[np.bool_]:
    return np.isin(labels, list(convention.merged))
