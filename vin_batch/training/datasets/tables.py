"""CSV tables of one image per row: a label and 784 grey values.

Kaggle's forms of EMNIST, MNIST and the A-Z Handwritten Alphabets (372,450 rows, 700 MB of
text) look like this. Rows are read in blocks into one array that is made beforehand.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from vin_batch.errors import UsageError
from vin_batch.training.datasets.idx import open_plain

SIDE: Final = 28
COLUMNS: Final = 1 + SIDE * SIDE
_BLOCK: Final = 8 << 20
"""Bytes of text that are parsed at a time."""


def read_tables(
    paths: Sequence[Path], is_test: Sequence[bool]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """Read tables of the same source into one array.

    Args:
        paths: CSV files, plain or gzip-compressed, with or without a line of headings.
        is_test: Which of them are test parts.

    Returns:
        ``uint8[n, 28, 28]`` as stored, ``int64[n]`` label numbers, ``bool[n]`` test part.

    Raises:
        UsageError: A file is torn or no such table.
    """
    most = sum(_lines(path) for path in paths)
    images = np.empty((most, SIDE * SIDE), np.uint8)
    labels = np.empty(most, np.int64)
    ends = [0]
    for path in paths:
        ends.append(ends[-1] + _read_into(path, images[ends[-1] :], labels[ends[-1] :]))
    counts = np.diff(ends)
    shaped = images[: ends[-1]].reshape(-1, SIDE, SIDE)
    return shaped, labels[: ends[-1]], np.repeat(np.array(is_test, bool), counts)


def is_pixel_table(head: bytes) -> bool:
    """Whether the beginning of a file looks like such a table.

    Args:
        head: Its first bytes, at least one whole line of it.
    """
    line = head.partition(b"\n")[0]
    return b"\0" not in line and line.count(b",") == COLUMNS - 1


def _has_headings(path: Path) -> bool:
    with open_plain(path) as file:
        line = file.readline().decode("utf-8", "replace")
    first = next(csv.reader([line.lstrip("\ufeff")]), [""])[0]
    return not first.strip().lstrip("-").isdigit()


def _lines(path: Path) -> int:
    try:
        with open_plain(path) as file:
            return 1 + sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))
    except (OSError, EOFError) as error:
        raise _damaged(path, str(error)) from error


def _read_into(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> int:
    names = ["label", *(f"pixel{number}" for number in range(COLUMNS - 1))]
    types = dict.fromkeys(names, pa.uint8())
    row = 0
    try:
        with (
            open_plain(path) as file,
            pa_csv.open_csv(
                file,
                pa_csv.ReadOptions(
                    block_size=_BLOCK, column_names=names, skip_rows=int(_has_headings(path))
                ),
                convert_options=pa_csv.ConvertOptions(column_types=types, null_values=[]),
            ) as reader,
        ):
            for batch in reader:
                row += _fill(batch, images[row:], labels[row:])
    except (OSError, EOFError, pa.ArrowInvalid) as error:
        raise _damaged(path, str(error).partition("\n")[0]) from error
    return row


def _fill(batch: pa.RecordBatch, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> int:
    count = int(batch.num_rows)
    labels[:count] = batch.column(0).to_numpy(zero_copy_only=False)
    for number in range(COLUMNS - 1):
        images[:count, number] = batch.column(number + 1).to_numpy(zero_copy_only=False)
    return count


def _damaged(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} is not a table of a label and {COLUMNS - 1} grey values: {why}",
        "Every row has 785 whole numbers from 0 to 255, as in Kaggle's CSV forms of EMNIST, "
        "MNIST and A-Z; download it again if it should be that.",
    )


def binary_head(path: Path, size: int) -> bytes:
    """First bytes of a file, inflated where it is compressed; fewer where it is torn."""
    with open_plain(path) as file:
        return _up_to(file, size)


def _up_to(file: BinaryIO, size: int) -> bytes:
    head = b""
    try:
        while len(head) < size and (block := file.read(min(1024, size - len(head)))):
            head += block
    except (EOFError, OSError):
        return head
    return head
