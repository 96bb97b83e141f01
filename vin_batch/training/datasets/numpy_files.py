"""npz files: glyph packs, and MNIST as Keras keeps it."""

from __future__ import annotations

import string
import zipfile
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.errors import UsageError
from vin_batch.training.datasets.source import Source, assemble, shows_light_ink
from vin_batch.training.packs import load_pack

ZIP_MAGIC: Final = b"PK\x03\x04"
CHARACTERS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
"""What a label may be; other characters of a pack are not read."""
_UNREADABLE: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def members(path: Path) -> set[str]:
    """Names of the arrays of an npz file; empty where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


def read_pack(path: Path) -> Source:
    """Read a glyph pack with all its classes.

    Labels that the pack flags as doubtful (``label_prob``) are left out and counted.

    Raises:
        UsageError: The file is no pack.
    """
    pack = load_pack(path, CHARACTERS)
    with np.load(path, allow_pickle=False) as data:
        labels = data["y"].astype(str)
        merged = data["maybe_lowercase"].astype(bool) if "maybe_lowercase" in data else None
    if merged is not None and merged.shape != labels.shape:
        raise UsageError(f"{path}: maybe_lowercase has shape {list(merged.shape)}")
    notes: tuple[str, ...] = ()
    if shows_light_ink(pack.images):
        np.subtract(255, pack.images, out=pack.images)
        notes = ("light ink on dark was inverted",)
    known = int(np.isin(labels, list(CHARACTERS)).sum())
    return Source(
        pack=pack,
        kind="glyph pack",
        maybe_lowercase=None if merged is None else merged[pack.rows],
        doubtful=known - len(pack.labels),
        notes=notes,
    )


def read_keras_mnist(path: Path) -> Source:
    """Read ``mnist.npz`` as Keras keeps it: ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Raises:
        UsageError: The file is torn, or its arrays are not images of digits.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            trained, tested = data["x_train"], data["x_test"]
            numbers = np.concatenate([data["y_train"], data["y_test"]])
        images = _joined(trained, tested)
        if numbers.shape != images.shape[:1] or not np.isin(numbers, np.arange(10)).all():
            raise ValueError("its labels are not one digit per image")
    except _UNREADABLE as error:
        raise UsageError(
            f"{path} is not MNIST in the layout of Keras: {error}",
            "It needs x_train and x_test (uint8 [n, h, w]), y_train and y_test (digits).",
        ) from error
    return assemble(
        path.stem,
        "MNIST, npz of Keras",
        images,
        np.array(list(string.digits))[numbers.astype(np.int64)],
        is_test=np.repeat([False, True], [len(trained), len(tested)]),
    )


def _joined(trained: NDArray[np.generic], tested: NDArray[np.generic]) -> NDArray[np.uint8]:
    for images in (trained, tested):
        if images.dtype != np.uint8 or images.ndim != 3:
            raise ValueError(f"its images are {images.dtype} {list(images.shape)}")
    return np.concatenate([trained.astype(np.uint8, copy=False), tested.astype(np.uint8)])
