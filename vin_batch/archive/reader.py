"""Reading the box files of one card; whatever is wrong with a file becomes a value."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from vin_batch.archive.beneath import opened_folder
from vin_batch.archive.names import BoxLayout, lay_out, listing_digest
from vin_batch.archive.walk import ArchiveRoot, Listing, list_opened, relative_path
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
    """A card folder that is open, and what it holds."""

    root: ArchiveRoot
    folder: int
    layout: BoxLayout
    links: dict[bytes, bytes]
    ignored_files: int


def read_card(root: ArchiveRoot, ref: CardRef) -> CardFiles:
    """Read the box files of a card.

    A folder that the system refuses to list gives 17 unreadable boxes; a file that it
    refuses to give becomes one.

    Raises:
        ListingChangedError: Files were added, removed or renamed since the walk.
    """
    with _located(root, ref) as card:
        if card is None:
            unreadable = BoxFile(b"", BoxIssue.UNREADABLE_FILE, None)
            return CardFiles((unreadable,) * VIN_LENGTH, 0, 0)
        boxes = tuple(_box(card, position) for position in range(1, VIN_LENGTH + 1))
        return CardFiles(boxes, card.layout.extra, card.ignored_files)


def stamp_card(root: ArchiveRoot, ref: CardRef) -> tuple[FileStamp | None, ...]:
    """Sizes and times of the box files of a card, without reading them.

    Raises:
        ListingChangedError: Files were added, removed or renamed since the walk.
    """
    with _located(root, ref) as card:
        if card is None:
            return (None,) * VIN_LENGTH
        return tuple(None if name is None else _box_stamp(card, name) for name in card.layout.boxes)


def stamp_listed(
    root: ArchiveRoot, relative: bytes, listing: Listing
) -> tuple[FileStamp | None, ...]:
    """Sizes and times of the box files of a card whose folder was just listed.

    Args:
        root: The archive.
        relative: Path of the folder below it.
        listing: What it holds.

    Returns:
        As ``stamp_card``; None for a file that is gone by now.
    """
    layout = _known_layout(tuple(listing.images))
    try:
        with opened_folder(root.path, relative, to_list=False) as folder:
            card = _Located(root, folder, layout, listing.links, listing.ignored_files)
            return tuple(None if name is None else _box_stamp(card, name) for name in layout.boxes)
    except OSError:
        return (None,) * VIN_LENGTH


@lru_cache(maxsize=256)
def _known_layout(names: tuple[bytes, ...]) -> BoxLayout:
    # Most cards of an archive name their files alike.
    return lay_out(names)


def read_box(path: bytes, name: bytes, folder: int | None = None) -> BoxFile:
    """Read one regular file that is not larger than a box crop can be.

    Args:
        path: Where it lies; no symbolic link.
        name: Its name in the card folder.
        folder: Descriptor of the folder that a relative path starts from.
    """
    try:
        # Opening a device may already do something to it, so that looking comes first.
        if not stat.S_ISREG(os.lstat(path, dir_fd=folder).st_mode):
            return BoxFile(b"", BoxIssue.UNREADABLE_FILE, _stamp(path, name, folder))
        descriptor = os.open(path, _OPEN_FLAGS, dir_fd=folder)
        try:
            return _read_open(descriptor, name)
        finally:
            os.close(descriptor)
    except OSError:
        return BoxFile(b"", BoxIssue.UNREADABLE_FILE, _stamp(path, name, folder))


def _read_open(descriptor: int, name: bytes) -> BoxFile:
    info = os.fstat(descriptor)
    stamp = FileStamp(name, info.st_size, info.st_mtime_ns)
    if not stat.S_ISREG(info.st_mode):
        return BoxFile(b"", BoxIssue.UNREADABLE_FILE, stamp)
    # A file may grow while it is read.
    data = b"" if info.st_size > MAX_FILE_BYTES else _read_all(descriptor, info.st_size)
    if max(info.st_size, len(data)) > MAX_FILE_BYTES:
        return BoxFile(b"", BoxIssue.OVERSIZED, stamp)
    return BoxFile(data, BoxIssue.NONE if data else BoxIssue.EMPTY_FILE, stamp)


def _box(card: _Located, position: int) -> BoxFile:
    name = card.layout.boxes[position - 1]
    if name is None:
        duplicate = position in card.layout.duplicates
        return BoxFile(b"", BoxIssue.DUPLICATE if duplicate else BoxIssue.MISSING, None)
    if name not in card.links:
        return read_box(name, name, card.folder)
    try:
        with _behind_link(card, name) as (folder, target):
            return read_box(target, name, folder)
    except OSError:
        return BoxFile(b"", BoxIssue.UNREADABLE_FILE, None)


def _box_stamp(card: _Located, name: bytes) -> FileStamp | None:
    if name not in card.links:
        return _stamp(name, name, card.folder)
    try:
        with _behind_link(card, name) as (folder, target):
            return _stamp(target, name, folder)
    except OSError:
        return None


@contextmanager
def _behind_link(card: _Located, name: bytes) -> Iterator[tuple[int, bytes]]:
    """Open the folder of the file that a link leads to; also give its name there.

    The target was resolved when the folder was listed; if any part of it is a link by now,
    it is refused.
    """
    parent, _, target = card.links[name].rpartition(b"/")
    with opened_folder(card.root.real, parent, to_list=False) as folder:
        yield folder, target


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


@contextmanager
def _located(root: ArchiveRoot, ref: CardRef) -> Iterator[_Located | None]:
    """Open a card's folder; None where the system refuses."""
    relative = relative_path(ref)
    with _opened(root, ref) as folder:
        try:
            listing = None if folder is None else list_opened(folder, root, relative)
        except OSError:
            listing = None
        if folder is None or listing is None:
            yield None
            return
        if listing_digest(listing.images) != ref.digest:
            raise ListingChangedError(ref.card_id)
        layout = lay_out(listing.images)
        yield _Located(root, folder, layout, listing.links, listing.ignored_files)


@contextmanager
def _opened(root: ArchiveRoot, ref: CardRef) -> Iterator[int | None]:
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(opened_folder(root.path, relative_path(ref)))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ListingChangedError(ref.card_id) from error
        except OSError:
            folder = None
        yield folder


def _stamp(path: bytes, name: bytes, folder: int | None = None) -> FileStamp | None:
    try:
        info = os.lstat(path, dir_fd=folder)
    except OSError:
        return None
    return FileStamp(name, info.st_size, info.st_mtime_ns)
