"""Reading the box files of a card that is a folder; what is wrong with a file becomes a value."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from vin_batch.archive.beneath import opened_folder
from vin_batch.archive.card_files import (
    MAX_FILE_BYTES,
    NO_STAMPS,
    UNREADABLE_CARD,
    BoxFile,
    CardFiles,
    FileStamp,
    ListingChangedError,
    Stamps,
    cached_layout,
    file_of,
    files_of,
    oversized,
    unreadable,
)
from vin_batch.archive.listing import Listing, list_opened
from vin_batch.archive.names import lay_out, listing_digest, relative_path
from vin_batch.archive.roots import FolderRoot
from vin_batch.records import CardRef

_OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""Links are resolved beforehand; a FIFO in place of a file must not block."""

_known_layout = cached_layout(lay_out)


@dataclass(slots=True)
class _Located:
    """A card folder that is open, and what it holds."""

    root: FolderRoot
    folder: int
    listing: Listing

    def read(self, name: bytes) -> BoxFile:
        if name in self.listing.links:
            try:
                with _behind_link(self, name) as (folder, target):
                    return read_box(target, name, folder)
            except OSError:
                return unreadable()
        # Opening a device may already do something to it.
        if name in self.listing.irregular:
            return unreadable(_stamp(name, name, self.folder))
        return _read_regular(name, name, self.folder)

    def stamp(self, name: bytes | None) -> FileStamp | None:
        if name is None:
            return None
        if name not in self.listing.links:
            return _stamp(name, name, self.folder)
        try:
            with _behind_link(self, name) as (folder, target):
                return _stamp(target, name, folder)
        except OSError:
            return None


def read_folder(root: FolderRoot, ref: CardRef) -> CardFiles:
    """Read a card; see ``read_card``."""
    with _located(root, ref) as card:
        if card is None:
            return UNREADABLE_CARD
        layout = _known_layout(tuple(card.listing.images))
        return files_of(layout, card.listing.ignored_files, card.read)


def stamp_folder(root: FolderRoot, ref: CardRef) -> Stamps:
    """Look at a card; see ``stamp_card``."""
    with _located(root, ref) as card:
        if card is None:
            return NO_STAMPS
        layout = _known_layout(tuple(card.listing.images))
        return tuple(map(card.stamp, layout.boxes))


def stamp_listing(root: FolderRoot, relative: bytes, listing: Listing) -> Stamps:
    """Look at a card whose folder was just listed; see ``stamp_listed``."""
    layout = _known_layout(tuple(listing.images))
    try:
        with opened_folder(root.path, relative, to_list=False) as folder:
            return tuple(map(_Located(root, folder, listing).stamp, layout.boxes))
    except OSError:
        return NO_STAMPS


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
            return unreadable(_stamp(path, name, folder))
    except OSError:
        return unreadable(_stamp(path, name, folder))
    return _read_regular(path, name, folder)


def _read_regular(path: bytes, name: bytes, folder: int | None) -> BoxFile:
    try:
        descriptor = os.open(path, _OPEN_FLAGS, dir_fd=folder)
        try:
            return _read_open(descriptor, name)
        finally:
            os.close(descriptor)
    except OSError:
        return unreadable(_stamp(path, name, folder))


def _read_open(descriptor: int, name: bytes) -> BoxFile:
    info = os.fstat(descriptor)
    stamp = FileStamp(name, info.st_size, info.st_mtime_ns)
    if not stat.S_ISREG(info.st_mode):
        return unreadable(stamp)
    # A file may grow while it is read.
    data = b"" if info.st_size > MAX_FILE_BYTES else _read_all(descriptor, info.st_size)
    if max(info.st_size, len(data)) > MAX_FILE_BYTES:
        return oversized(stamp)
    return file_of(data, stamp)


@contextmanager
def _behind_link(card: _Located, name: bytes) -> Iterator[tuple[int, bytes]]:
    """Open the folder of the file that a link leads to; also give its name there.

    The target was resolved when the folder was listed; if any part of it is a link by now,
    it is refused.
    """
    parent, _, target = card.listing.links[name].rpartition(b"/")
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
def _located(root: FolderRoot, ref: CardRef) -> Iterator[_Located | None]:
    """Open a card's folder; None where the system refuses."""
    relative = relative_path(ref)
    opening = opened_folder(root.path, relative)
    try:
        folder = opening.__enter__()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ListingChangedError(ref.card_id) from error
    except OSError:
        yield None
        return
    try:
        try:
            listing = list_opened(folder, root, relative)
        except OSError:
            yield None
            return
        if listing_digest(listing.images) != ref.digest:
            raise ListingChangedError(ref.card_id)
        yield _Located(root, folder, listing)
    finally:
        opening.__exit__(None, None, None)


def _stamp(path: bytes, name: bytes, folder: int | None = None) -> FileStamp | None:
    try:
        info = os.lstat(path, dir_fd=folder)
    except OSError:
        return None
    return FileStamp(name, info.st_size, info.st_mtime_ns)
