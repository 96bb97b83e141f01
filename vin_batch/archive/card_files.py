"""One card as it lies in an archive, whatever kind of archive that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from vin_batch.archive.names import BoxLayout
from vin_batch.records import BoxIssue
from vin_batch.vin.alphabet import VIN_LENGTH

MAX_FILE_BYTES: Final = 32 * 2**20
"""Bytes; a box crop of 300 dpi is below 1 MiB even as uncompressed 16-bit colour."""


class FileStamp(NamedTuple):
    """What tells a changed file apart without reading it.

    Attributes:
        name: In its folder.
        size: In bytes.
        mtime_ns: When it was changed, nanoseconds since 1970. A packed file is as new as its
            pack.
        tag: What an object store says about the version (ETag); empty elsewhere.
    """

    name: bytes
    size: int
    mtime_ns: int
    tag: bytes = b""


Stamps = tuple[FileStamp | None, ...]
"""Of the 17 boxes; None where the position has no single file, or nobody can tell."""


class BoxFile(NamedTuple):
    """One box as it lies in the archive.

    Attributes:
        data: The bytes of the file; empty where there is an issue.
        issue: ``NONE``, or why there are no bytes.
        stamp: Of the file, None where the position has no single file.
    """

    data: bytes
    issue: BoxIssue
    stamp: FileStamp | None


@dataclass(frozen=True, slots=True)
class CardFiles:
    """One card as it lies in the archive.

    Attributes:
        boxes: 17 boxes in reading order.
        extra_boxes: Image files that are no box.
        ignored_files: Other files in the folder.
    """

    boxes: tuple[BoxFile, ...]
    extra_boxes: int
    ignored_files: int


class ListingChangedError(Exception):
    """A card is not as the walk found it. Caught and turned into a value."""


_MISSING: Final = BoxFile(b"", BoxIssue.MISSING, None)
_DUPLICATE: Final = BoxFile(b"", BoxIssue.DUPLICATE, None)
_UNREADABLE: Final = BoxFile(b"", BoxIssue.UNREADABLE_FILE, None)

UNREADABLE_CARD: Final = CardFiles((_UNREADABLE,) * VIN_LENGTH, 0, 0)
"""A card that the system refuses to list."""
NO_STAMPS: Final[Stamps] = (None,) * VIN_LENGTH


def files_of(layout: BoxLayout, ignored: int, read: Callable[[bytes], BoxFile]) -> CardFiles:
    """Read the files of a card that have a box of their own.

    Args:
        layout: Which file holds which box.
        ignored: Files that are no images.
        read: Reads the file of a name.
    """
    boxes = tuple(
        read(name)
        if name is not None
        else (_DUPLICATE if position in layout.duplicates else _MISSING)
        for position, name in enumerate(layout.boxes, 1)
    )
    return CardFiles(boxes, layout.extra, ignored)


def file_of(data: bytes, stamp: FileStamp) -> BoxFile:
    """The box that whole bytes make."""
    return BoxFile(data, BoxIssue.NONE if data else BoxIssue.EMPTY_FILE, stamp)


def unreadable(stamp: FileStamp | None = None) -> BoxFile:
    """The box of a file whose bytes nobody gives."""
    return BoxFile(b"", BoxIssue.UNREADABLE_FILE, stamp)


def oversized(stamp: FileStamp) -> BoxFile:
    """The box of a file that is larger than a box crop can be."""
    return BoxFile(b"", BoxIssue.OVERSIZED, stamp)


def cached_layout(lay_out: Callable[[Sequence[bytes]], BoxLayout]) -> Callable[..., BoxLayout]:
    """Remember layouts: most cards of an archive name their files alike."""
    return lru_cache(maxsize=256)(lay_out)
