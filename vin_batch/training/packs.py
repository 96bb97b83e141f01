"""Glyph packs: labelled images of single handwritten characters, split by writer.

A pack is an ``.npz`` without pickles: ``X`` ``uint8[n, h, w]`` dark ink on white, ``y`` one
character each, and optionally ``writer``, ``label_prob``, ``is_test``.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.errors import UsageError

MIN_LABEL_PROB: Final = 0.5
"""Labels that an independent classifier believed less than this are left out."""
HELD_OUT_SHARE: Final = 0.1
"""Share of the writers (of the images of each class, where writers are unknown) for tests."""
INK_LEVEL: Final = 60
"""Grey levels darker than white that count as ink when a glyph is cut out (of 255)."""
MIN_GLYPH_SIDE: Final = 3
_PER_IMAGE: Final = ("y", "writer", "label_prob", "is_test")


@dataclass(frozen=True, slots=True)
class GlyphPack:
    """Characters of one source.

    Attributes:
        name: Name of the source.
        images: ``uint8[n, h, w]``, dark ink on white.
        labels: ``str[n]``, one character each, all inside the wanted alphabet.
        held_out: ``bool[n]``, True for images that are never trained on.
        rows: ``int64[n]``, position of every image in the pack's file.
        writers: ``int64[n]``, who wrote it, or None where that is not known.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.str_]
    held_out: NDArray[np.bool_]
    rows: NDArray[np.int64]
    writers: NDArray[np.int64] | None = None

    def part(self, held_out: bool) -> GlyphPack:
        """The training or the held-out part."""
        return self.where(self.held_out == held_out)

    def where(self, chosen: NDArray[np.bool_]) -> GlyphPack:
        """Only the chosen images."""
        return GlyphPack(
            self.name,
            self.images[chosen],
            self.labels[chosen],
            self.held_out[chosen],
            self.rows[chosen],
            self.writers[chosen] if self.writers is not None else None,
        )

    def without_leaks(self) -> GlyphPack:
        """Without the held-out images of ``leaks.csv``: a training pack holds the same drawing.

        Found by ``vin-batch datasets --check-leaks``: a part of EMNIST's digits was cut from
        the same forms as MNIST's.
        """
        leaked = np.isin(self.rows, _rows_of("leaks.csv").get(self.name, ()))
        return self.where(~(leaked & self.held_out))

    def without_label_errors(self) -> GlyphPack:
        """Without the images of ``label_errors.csv``: looked at, they show something else.

        Whole cards drawn with them would be counted as read wrong when they are read right.
        The character scores keep them.
        """
        return self.where(~np.isin(self.rows, label_errors().get(self.name, ())))


def label_errors() -> dict[str, tuple[int, ...]]:
    """Rows with a wrong label, by pack, from the packaged table."""
    return _rows_of("label_errors.csv")


@cache
def _rows_of(table: str) -> dict[str, tuple[int, ...]]:
    """Rows by pack of a packaged table."""
    text = files("vin_batch.training").joinpath(table).read_text(encoding="utf-8")
    found: dict[str, tuple[int, ...]] = {}
    for row in csv.DictReader(text.splitlines()):
        found[row["pack"]] = (*found.get(row["pack"], ()), int(row["row"]))
    return found


def load_pack(path: Path, alphabet: str) -> GlyphPack:
    """Read one pack.

    Args:
        path: The ``.npz`` file.
        alphabet: Wanted characters; others are dropped.

    Returns:
        The pack without unwanted classes and doubtful labels.

    Raises:
        UsageError: The file is not a pack.
    """
    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as data:
            fields = {name: data[name] for name in data.files}
        images, labels = fields["X"], fields["y"].astype(str)
        _check_shapes(fields)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(
            f"{path} is not a glyph pack: {error}",
            "A pack holds X (uint8 [n, h, w]) and y (one character each), without pickles.",
        ) from error
    wanted = np.isin(labels, list(alphabet))
    if "label_prob" in fields:
        wanted &= fields["label_prob"] >= MIN_LABEL_PROB
    held_out = _held_out(fields, labels)
    writers = fields["writer"].astype(np.int64) if "writer" in fields else None
    pack = GlyphPack(path.stem, images, labels, held_out, np.arange(len(labels)), writers)
    return pack.where(wanted)


def _check_shapes(fields: dict[str, NDArray[np.generic]]) -> None:
    if fields["X"].dtype != np.uint8 or fields["X"].ndim != 3:
        raise ValueError(f"X is {fields['X'].dtype} {list(fields['X'].shape)}")
    for name in _PER_IMAGE:
        if name in fields and fields[name].shape != fields["X"].shape[:1]:
            raise ValueError(f"{name} has shape {list(fields[name].shape)}, X {len(fields['X'])}")


def load_packs(folder: Path, alphabet: str) -> list[GlyphPack]:
    """Read all packs of a folder, in name order.

    Raises:
        UsageError: There is none.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise UsageError(
            f"no glyph packs (*.npz) in {folder}",
            "Name the folder of training packs with --data; the README says what they hold.",
        )
    return [load_pack(path, alphabet) for path in paths]


def _held_out(
    fields: dict[str, NDArray[np.generic]], labels: NDArray[np.str_]
) -> NDArray[np.bool_]:
    if "is_test" in fields:
        return fields["is_test"].astype(bool)
    every = round(1 / HELD_OUT_SHARE)
    if "writer" in fields:
        return np.asarray(fields["writer"].astype(np.int64) % every == 0)
    return end_of_classes(labels)


def end_of_classes(labels: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Hold out the last ``HELD_OUT_SHARE`` of every class.

    Neighbours in a file mostly share a writer, so the end of every class is cut off whole.

    Args:
        labels: ``str[n]``, in the order of the file.

    Returns:
        ``bool[n]``, True for what is held out.
    """
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        held_out[members[round(len(members) * (1 - HELD_OUT_SHARE)) :]] = True
    return held_out


def ink_mask(image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Cut a glyph to its ink.

    Args:
        image: ``uint8[h, w]``, dark ink on white.

    Returns:
        ``float32`` ink cover 0 to 1, or None where there is no glyph.
    """
    ink = 255 - image
    rows = np.flatnonzero((ink > INK_LEVEL).any(axis=1))
    columns = np.flatnonzero((ink > INK_LEVEL).any(axis=0))
    if max(rows.size, columns.size) < MIN_GLYPH_SIDE:
        return None
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cut.astype(np.float32) / max(float(cut.max()), 1.0)
