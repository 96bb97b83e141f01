"""The character job: one answer per image of a single character, in sorted order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import joblib
import numpy as np
from numpy.typing import NDArray

from vin_batch.archive.card_files import BoxFile
from vin_batch.archive.names import is_hidden, is_image_name
from vin_batch.archive.reader import read_box
from vin_batch.classifier.alphabets import ALPHABETS, require_alphabet, restrict
from vin_batch.classifier.base import Classifier
from vin_batch.errors import ArchiveError
from vin_batch.preprocess import IMAGE_SIDE, preprocess_bytes
from vin_batch.preprocess.engine import warm_up
from vin_batch.records import BoxIssue

NO_ANSWER: Final = "?"
"""Stands for the character of an image that could not be read: one line per image, always."""
IMAGES_PER_TASK: Final = 512
PARALLEL_FROM: Final = 2_000
"""Fewer images are read faster than worker processes start."""


@dataclass(frozen=True, slots=True)
class Character:
    """The answer for one image.

    Attributes:
        path: POSIX path, as it was reached from the given one.
        char: The answer, ``?`` where there is none.
        prob: Its calibrated probability.
        second: The next most probable character, empty where there is none.
        second_prob: Its probability.
        issue: Why there is no answer, or empty.
    """

    path: str
    char: str
    prob: float
    second: str
    second_prob: float
    issue: str


def find_images(paths: Iterable[Path], recursive: bool) -> list[Path]:
    """Collect images.

    Args:
        paths: Image files and folders.
        recursive: Also look into folders below.

    Returns:
        Files in the order of their POSIX paths.

    Raises:
        ArchiveError: A path does not exist or a folder cannot be read.
    """
    found: set[Path] = set()
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            raise ArchiveError(
                f"{path} does not exist", "Name image files or folders of them."
            ) from None
        except OSError as error:
            raise ArchiveError(f"cannot read {path}: {error.strerror}") from error
        found.update(_images_below(path, recursive) if is_folder else [path])
    return sorted(found, key=lambda path: path.as_posix())


def _images_below(folder: Path, recursive: bool) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ArchiveError(f"cannot read folder {folder}: {error.strerror}") from error
    for entry in entries:
        name = os.fsencode(entry.name)
        if is_hidden(name):
            continue
        if entry.is_dir():
            if recursive and not entry.is_symlink():
                yield from _images_below(entry, recursive)
        elif is_image_name(name):
            yield entry


def read_characters(
    images: Sequence[Path], classifier: Classifier, alphabet: str, workers: int
) -> Iterator[Character]:
    """Read images of single characters.

    Args:
        images: Files, in the order of the answers.
        classifier: Pixels to log-probabilities.
        alphabet: Key of ``ALPHABETS``.
        workers: Processes for reading and preprocessing.

    Yields:
        One answer per image, in order.

    Raises:
        ModelError: The model does not know the alphabet.
    """
    require_alphabet(classifier.card, alphabet)
    jobs = 1 if len(images) < PARALLEL_FROM else workers
    groups = [
        images[start : start + IMAGES_PER_TASK] for start in range(0, len(images), IMAGES_PER_TASK)
    ]
    packed = joblib.Parallel(n_jobs=jobs, return_as="generator", batch_size=1)(
        joblib.delayed(_pack)(group) for group in groups
    )
    for group, (pixels, issues) in zip(groups, packed, strict=True):
        log_probs = restrict(classifier.log_probs(pixels), classifier.card, alphabet)
        yield from _answers(group, log_probs, issues, ALPHABETS[alphabet])


def read_image(image: Path) -> BoxFile:
    """Read one image file, through links, unless it is no regular file or far too large."""
    return read_box(os.path.realpath(os.fsencode(image)), os.fsencode(image.name))


def _pack(images: Sequence[Path]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    warm_up()
    pixels = np.zeros((len(images), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    issues = np.zeros(len(images), np.uint8)
    for row, image in enumerate(images):
        box = read_image(image)
        issues[row] = box.issue
        if box.issue is BoxIssue.NONE:
            pixels[row], issues[row] = preprocess_bytes(box.data)
    return pixels, issues


def _answers(
    images: Sequence[Path],
    log_probs: NDArray[np.float32],
    issues: NDArray[np.uint8],
    classes: str,
) -> Iterator[Character]:
    order = np.argsort(-log_probs, axis=1, kind="stable")[:, :2]
    probs = np.exp(np.take_along_axis(log_probs, order, axis=1).astype(np.float64))
    for row, image in enumerate(images):
        path = PurePosixPath(image).as_posix()
        if issues[row] != BoxIssue.NONE:
            yield Character(path, NO_ANSWER, 0.0, "", 0.0, BoxIssue(int(issues[row])).code)
        else:
            first, second = (classes[index] for index in order[row])
            yield Character(
                path, first, round(float(probs[row, 0]), 6), second,
                round(float(probs[row, 1]), 6), "",
            )  # fmt: skip
