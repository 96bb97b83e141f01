"""The idx format of MNIST and EMNIST, plain or gzip-compressed.

Four magic bytes (two zeros, the type 0x08 for bytes, the number of dimensions), the
dimensions as big-endian 32-bit integers, then the bytes
(http://yann.lecun.com/exdb/mnist/, "the IDX file format").
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray

from vin_batch.errors import UsageError

GZIP_MAGIC: Final = b"\x1f\x8b"
LABELS_MAGIC: Final = b"\0\0\x08\x01"
IMAGES_MAGIC: Final = b"\0\0\x08\x03"
MAX_SIDE: Final = 1_024
"""Pixels; a larger promise is a damaged header."""
_TORN: Final = (OSError, EOFError, zlib.error)


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """Open a file, through gzip where its first bytes say so."""
    with path.open("rb") as file:
        compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    if compressed:
        with gzip.open(path, "rb") as inflated:
            yield cast(BinaryIO, inflated)
    else:
        with path.open("rb") as file:
            yield file


@dataclass(frozen=True, slots=True)
class IdxPart:
    """An images file and its labels.

    Attributes:
        images: The images file.
        labels: The labels file.
        is_test: Whether the names say that it is the test part.
    """

    images: Path
    labels: Path
    is_test: bool


def read_parts(
    parts: Sequence[IdxPart],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """Read images and labels of several parts into one array, without holding them twice.

    Args:
        parts: Train and test, or one of them.

    Returns:
        ``uint8[n, h, w]`` as stored, ``uint8[n]`` label numbers, ``bool[n]`` test part.

    Raises:
        UsageError: A file is torn, or the parts do not fit together.
    """
    shapes = [_shape(part.images, IMAGES_MAGIC) for part in parts]
    for part, shape in zip(parts, shapes, strict=True):
        (count,) = _shape(part.labels, LABELS_MAGIC)
        if count != shape[0]:
            raise UsageError(
                f"{part.images} has {shape[0]} images, {part.labels.name} {count} labels",
                "The two files are not of the same part; download both again.",
            )
    if len({shape[1:] for shape in shapes}) > 1:
        raise UsageError(f"the parts beside {parts[0].images} have images of different sizes")
    counts = [shape[0] for shape in shapes]
    images = np.empty((sum(counts), *shapes[0][1:]), np.uint8)
    labels = np.empty(sum(counts), np.uint8)
    start = 0
    for part, count in zip(parts, counts, strict=True):
        _read_into(part.images, images[start : start + count])
        _read_into(part.labels, labels[start : start + count])
        start += count
    is_test = np.repeat([part.is_test for part in parts], counts)
    return images, labels, is_test


def _shape(path: Path, magic: bytes) -> tuple[int, ...]:
    dimensions = magic[-1]
    try:
        with open_plain(path) as file:
            head = file.read(4 + 4 * dimensions)
        if head[:4] != magic:
            raise ValueError(f"it begins with {head[:4].hex(' ')}, not {magic.hex(' ')}")
        shape = struct.unpack(f">{dimensions}I", head[4:])
        if not all(1 <= side <= MAX_SIDE for side in shape[1:]):
            raise ValueError(f"its header promises images of {shape[1:]} pixels")
    except (*_TORN, ValueError, struct.error) as error:
        raise _damaged(path, str(error)) from error
    return shape


def _read_into(path: Path, target: NDArray[np.uint8]) -> None:
    skipped = 4 + 4 * target.ndim
    view = target.reshape(-1).data
    try:
        with open_plain(path) as file:
            file.read(skipped)
            read = 0
            while read < len(view):
                step = cast(int, file.readinto(view[read:]))  # type: ignore[attr-defined]
                if not step:
                    raise EOFError(f"it ends after {read} of {len(view)} bytes")
                read += step
            if file.read(1):
                raise ValueError(f"it goes on after the {len(view)} bytes that its header promises")
    except (*_TORN, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} is not a whole idx file: {why}",
        "Download it again and compare its size; a download that stopped leaves such a file.",
    )


def group_name(path: Path) -> str:
    """Name of the source that an idx file belongs to: without part, content and endings.

    ``emnist-letters-train-images-idx3-ubyte.gz`` gives ``emnist-letters``; the files of MNIST
    (``train-images-idx3-ubyte``, ``t10k-labels.idx1-ubyte``) give ``mnist``.
    """
    name = re.sub(r"(\.gz|[-._]?idx[13]|[-._]?ubyte)", "", path.name.lower())
    name = re.sub(r"(^|[-._ ])(train|test|t10k|images|labels)(?![a-z])", "", name)
    return name.strip("-._ ") or "mnist"


def is_test_name(path: Path) -> bool:
    """Whether a file name says that it holds a test part."""
    return re.search(r"(?<![a-z])(test|t10k)(?![a-z])", path.name.lower()) is not None


def partner_key(path: Path) -> tuple[str, bool]:
    """Same for an images file and its labels."""
    return group_name(path), is_test_name(path)
