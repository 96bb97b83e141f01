"""EMNIST in MATLAB's format (version 5): the only one that tells who wrote each image."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.errors import UsageError
from vin_batch.training.datasets.conventions import Convention, parse_mapping

MAT5_MAGIC: Final = b"MATLAB 5.0 MAT-file"
MAT73_MAGIC: Final = b"MATLAB 7.3 MAT-file"
SIDE: Final = 28
"""Pixels; the side of every image of EMNIST."""


@dataclass(frozen=True, slots=True)
class MatlabData:
    """What the file holds.

    Attributes:
        images: ``uint8[n, 28, 28]``, upright, light ink on black.
        labels: ``int64[n]`` label numbers.
        is_test: ``bool[n]``.
        writers: ``int64[n]``, or None where the file does not tell.
        convention: What the label numbers mean, by the file's own mapping. The images have
            been turned already.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    is_test: NDArray[np.bool_]
    writers: NDArray[np.int64] | None
    convention: Convention


def read_matlab(path: Path) -> MatlabData:
    """Read an EMNIST ``.mat`` file.

    Args:
        path: The file, with the variable ``dataset``.

    Returns:
        Train and test part together.

    Raises:
        UsageError: SciPy is missing, or the file is not EMNIST's.
    """
    try:
        scipy_io = importlib.import_module("scipy.io")
    except ImportError as error:
        raise UsageError(
            f"{path} is a MATLAB file, and SciPy is not installed to read it",
            "Install it with `pip install 'vin_batch[train]'`, or use EMNIST's idx files.",
        ) from error
    try:
        dataset = scipy_io.loadmat(path, variable_names=["dataset"])["dataset"][0, 0]
        return _collect(dataset, path)
    except MemoryError:
        raise
    except Exception as error:  # SciPy's parser is led into any error by a damaged file
        raise UsageError(
            f"{path} is not EMNIST in MATLAB's format: {type(error).__name__} {error}",
            "It needs the variable dataset with train, test (images, labels, writers) and "
            "mapping; download it again if it should be that.",
        ) from error


def _collect(dataset: Any, path: Path) -> MatlabData:  # noqa: ANN401 - MATLAB's struct
    convention = parse_mapping(dataset["mapping"], path)
    parts = [dataset[name][0, 0] for name in ("train", "test") if name in dataset.dtype.names]
    counts = [len(part["images"]) for part in parts]
    images = np.empty((sum(counts), SIDE, SIDE), np.uint8)
    start = 0
    for part, count in zip(parts, counts, strict=True):
        if part["images"].dtype != np.uint8:
            raise ValueError(f"images are {part['images'].dtype}")
        # Stored column by column, and read as such: they come out upright.
        images[start : start + count] = part["images"].reshape(count, SIDE, SIDE, order="F")
        start += count
    labels = np.concatenate([part["labels"].reshape(-1) for part in parts]).astype(np.int64)
    if len(labels) != len(images):
        raise ValueError(f"{len(images)} images, {len(labels)} labels")
    test = [name == "test" for name in ("train", "test") if name in dataset.dtype.names]
    return MatlabData(
        images=images,
        labels=labels,
        is_test=np.repeat(test, counts),
        writers=_writers(parts, len(images)),
        convention=convention,
    )


def _writers(parts: list[Any], count: int) -> NDArray[np.int64] | None:
    if not all("writers" in part.dtype.names for part in parts):
        return None
    writers = np.concatenate([part["writers"].reshape(-1) for part in parts]).astype(np.int64)
    if len(writers) != count:
        raise ValueError(f"{count} images, {len(writers)} writers")
    return writers
