"""Reading the box files of one card; whatever is wrong with a file becomes a value."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Final

from vin_batch.archive.names import BoxLayout, lay_out, listing_digest
from vin_batch.archive.walk import ArchiveRoot, list_folder, relative_path
from vin_batch.records import BoxIssue, CardRef
from vin_batch.vin.alphabet import VIN_LENGTH

MAX_FILE_BYTES: Final = 32 * 2**20
"""Bytes; a box crop of 300 dpi is below 1 MiB even as uncompressed 16-bit colour."""

_OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Links are resolved beforehand; a FIFO in place of a file must not block."""


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells a changed file apart without reading it: size in bytes, time in ns."""

    name: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class BoxFile:
    """One box as it lies on disk.

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
    """One card as it lies on disk.

    Attributes:
        boxes: 17 boxes in reading order.
        extra_boxes: Image files that are no box.
        ignored_files: Other files in the folder.
    """

    boxes: tuple[BoxFile, ...]
    extra_boxes: int
    ignored_files: int


class ListingChangedError(Exception):
    """A card's folder is not as the walk found it. Caught and turned into a value."""


@dataclass(frozen=True, slots=True)
class _Located:
    layout: BoxLayout
    paths: tuple[bytes | None, ...]
    ignored_files: int


def read_card(root: ArchiveRoot, ref: CardRef) -> CardFiles:
    """Read the box files of a card.

    A folder that the system refuses to list gives 17 unreadable boxes; a file that it
    refuses to give becomes one.

    Raises:
        ListingChangedError: Files were added, removed or renamed since the walk.
    """
    located = _locate(root, ref)
    if located is None:
        unreadable = BoxFile(b"", BoxIssue.UNREADABLE_FILE, None)
        return CardFiles((unreadable,) * VIN_LENGTH, 0, 0)
    boxes = []
    for position, path in enumerate(located.paths, start=1):
        if path is not None:
            name = located.layout.boxes[position - 1] or b""
            boxes.append(read_box(path, name))
        else:
            duplicate = position in located.layout.duplicates
            issue = BoxIssue.DUPLICATE if duplicate else BoxIssue.MISSING
            boxes.append(BoxFile(b"", issue, None))
    return CardFiles(tuple(boxes), located.layout.extra, located.ignored_files)


def stamp_card(root: ArchiveRoot, ref: CardRef) -> tuple[FileStamp | None, ...]:
    """Sizes and times of the box files of a card, without reading them.

    Raises:
        ListingChangedError: Files were added, removed or renamed since the walk.
    """
    located = _locate(root, ref)
    if located is None:
        return (None,) * VIN_LENGTH
    names = located.layout.boxes
    return tuple(
        _stamp(path, name or b"") if path is not None else None
        for path, name in zip(located.paths, names, strict=True)
    )


def read_box(path: bytes, name: bytes) -> BoxFile:
    """Read one regular file that is not larger than a box crop can be.

    Args:
        path: Where it lies; no symbolic link.
        name: Its name in the card folder.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError:
        return BoxFile(b"", BoxIssue.UNREADABLE_FILE, _stamp(path, name))
    try:
        info = os.fstat(descriptor)
        stamp = FileStamp(name, info.st_size, info.st_mtime_ns)
        if not stat.S_ISREG(info.st_mode):
            return BoxFile(b"", BoxIssue.UNREADABLE_FILE, stamp)
        if info.st_size > MAX_FILE_BYTES:
            return BoxFile(b"", BoxIssue.OVERSIZED, stamp)
        data = _read_all(descriptor, info.st_size)
    except OSError:
        return BoxFile(b"", BoxIssue.UNREADABLE_FILE, _stamp(path, name))
    finally:
        os.close(descriptor)
    if not data:
        return BoxFile(b"", BoxIssue.EMPTY_FILE, stamp)
    return BoxFile(data, BoxIssue.NONE, stamp)


def _read_all(descriptor: int, size: int) -> bytes:
    # One byte more than the size tells at once that the end was reached.
    chunk = os.read(descriptor, size + 1)
    if len(chunk) == size:
        return chunk
    chunks = [chunk]
    while chunk and sum(map(len, chunks)) <= MAX_FILE_BYTES:
        chunk = os.read(descriptor, MAX_FILE_BYTES)
        chunks.append(chunk)
    return b"".join(chunks)


def _locate(root: ArchiveRoot, ref: CardRef) -> _Located | None:
    folder = root.join(relative_path(ref))
    try:
        listing = list_folder(folder, root.real)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ListingChangedError(ref.card_id) from error
    except OSError:
        return None
    if listing_digest(listing.images) != ref.digest:
        raise ListingChangedError(ref.card_id)
    layout = lay_out(listing.images)
    paths = tuple(
        None if name is None else listing.links.get(name, folder + b"/" + name)
        for name in layout.boxes
    )
    return _Located(layout, paths, listing.ignored_files)


def _stamp(path: bytes, name: bytes) -> FileStamp | None:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return FileStamp(name, info.st_size, info.st_mtime_ns)
