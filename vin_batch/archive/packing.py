"""Writing cards into a pack: an uncompressed POSIX tar file, the files of a card together.

The images of a card come first, in byte order of their names, then its other files, so that
all evidence of a card is one short span. Symbolic links are stored as the files that they lead
to. A file that nobody gives is stored as a FIFO without bytes: there is something, and it
cannot be read; unpacked or not, the reading of the card is the same as that of its folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, Final, NamedTuple

from vin_batch.archive.beneath import opened_folder
from vin_batch.archive.card_files import MAX_FILE_BYTES
from vin_batch.archive.listing import list_opened
from vin_batch.archive.names import (
    card_id_of,
    is_pack_index,
    is_pack_name,
    listing_digest,
    relative_path,
)
from vin_batch.archive.pack_index import IndexRow
from vin_batch.archive.roots import FolderRoot
from vin_batch.archive.tar_members import BLOCK
from vin_batch.records import CardRef

END: Final = bytes(2 * BLOCK)
"""What every tar file ends with."""
CHUNK_BYTES: Final = 2**20
MODE: Final = 0o644
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Source(NamedTuple):
    """A file of a card, before it is packed.

    Attributes:
        name: In the card.
        folder: Where it lies, below the archive's real root; None for the card's own folder.
        target: Its name there.
        size: In bytes; -1 where nobody gives its bytes.
        mtime_ns: When it was changed.
    """

    name: bytes
    folder: bytes | None
    target: bytes
    size: int
    mtime_ns: int


@dataclass(slots=True)
class OpenCard:
    """A card folder that is open to be packed.

    Attributes:
        path: Below the archive root.
        folder: Its descriptor.
        images: Files that are images, in byte order.
        others: Other files.
    """

    root: FolderRoot
    path: bytes
    folder: int
    images: list[Source]
    others: list[Source]

    @property
    def listing(self) -> str:
        """Digest of the names of its images."""
        return listing_digest([source.name for source in self.images])

    @property
    def source(self) -> str:
        """Digest over names, sizes and times of its files, 16 hex digits."""
        hasher = hashlib.blake2b(digest_size=8)
        for each in (*self.images, *self.others):
            hasher.update(b"%b\0%d:%d/" % (each.name, each.size, each.mtime_ns))
        return hasher.hexdigest()


@contextmanager
def opened_card(root: FolderRoot, ref: CardRef) -> Iterator[OpenCard]:
    """Open a card folder and look at its files.

    Raises:
        OSError: It cannot be listed.
    """
    path = relative_path(ref)
    with opened_folder(root.path, path) as folder:
        listing = list_opened(folder, root, path)
        images = [
            _linked(root, name, listing.links[name])
            if name in listing.links
            else _plain(folder, name, name not in listing.irregular)
            for name in sorted(listing.images)
        ]
        seen = {*listing.images, *listing.folders}
        others = sorted(set(_other_files(folder)) - seen)
        yield OpenCard(root, path, folder, images, [_plain(folder, name) for name in others])


def _other_files(folder: int) -> Iterator[bytes]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_symlink() or entry.is_dir(follow_symlinks=False):
                continue
            packed = is_pack_name(name) or is_pack_index(name)
            if not (packed and entry.is_file(follow_symlinks=False)):
                yield name


def _plain(folder: int, name: bytes, regular: bool = True) -> Source:
    try:
        info = os.lstat(name, dir_fd=folder)
    except OSError:
        return Source(name, None, name, -1, 0)
    size = info.st_size if regular and stat.S_ISREG(info.st_mode) else -1
    return Source(name, None, name, size, info.st_mtime_ns)


def _linked(root: FolderRoot, name: bytes, target: bytes) -> Source:
    folder, _, base = target.rpartition(b"/")
    try:
        with opened_folder(root.real, folder, to_list=False) as descriptor:
            seen = _plain(descriptor, base)
    except OSError:
        return Source(name, folder, base, -1, 0)
    return seen._replace(name=name, folder=folder)


@dataclass(slots=True)
class PackWriter:
    """Writes one pack.

    Attributes:
        file: Open for writing, seekable, empty.
        rows: Rows of the index, of the cards so far.
        unreadable: Files that nobody gave, as card id and name.
        offset: Bytes so far.
    """

    file: BinaryIO
    rows: list[IndexRow] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    offset: int = 0

    def add(self, card: OpenCard) -> None:
        """Write a card; those before it must come before it in the order of the walk.

        Raises:
            OSError: The system refuses to write.
        """
        began = self.offset
        self._add_all(card, card.images)
        length = self.offset - began
        self._add_all(card, card.others)
        self.rows.append(
            IndexRow(
                card.path,
                card.listing,
                began,
                length,
                len(card.images),
                len(card.others),
                card.source,
            )
        )

    def finish(self) -> int:
        """Write the mark at the end; returns the size of the pack."""
        self._write(END)
        return self.offset

    def _add_all(self, card: OpenCard, sources: Iterable[Source]) -> None:
        prefix = card.path + b"/" if card.path else b""
        for source in sources:
            began = self.offset
            if source.size < 0 or not self._add_file(card, source, prefix + source.name):
                self.file.seek(began)
                self.file.truncate()
                self.offset = began
                self._write(_header(prefix + source.name, None, source.mtime_ns))
                self.unreadable.append(f"{card_id_of(prefix + source.name)}")

    def _add_file(self, card: OpenCard, source: Source, name: bytes) -> bool:
        """Write a file; False where the system does not give all of it."""
        try:
            descriptor = _open(card, source)
        except OSError:
            return False
        try:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                return False
            if info.st_size > MAX_FILE_BYTES:
                self._write(_header(name, info.st_size, info.st_mtime_ns))
                return self._copy(descriptor, info.st_size)
            data = _read_whole(descriptor, info.st_size)
            if data is None:
                return False
            padding = bytes(-len(data) % BLOCK)
            self._write(_header(name, len(data), info.st_mtime_ns) + data + padding)
            return True
        finally:
            os.close(descriptor)

    def _copy(self, descriptor: int, size: int) -> bool:
        left = size
        while left:
            try:
                chunk = os.read(descriptor, min(left, CHUNK_BYTES))
            except OSError:
                return False
            if not chunk:
                return False
            self._write(chunk)
            left -= len(chunk)
        self._write(bytes(-size % BLOCK))
        return True

    def _write(self, data: bytes) -> None:
        self.file.write(data)
        self.offset += len(data)


def _open(card: OpenCard, source: Source) -> int:
    if source.folder is None:
        return os.open(source.target, _READ, dir_fd=card.folder)
    with opened_folder(card.root.real, source.folder, to_list=False) as folder:
        return os.open(source.target, _READ, dir_fd=folder)


def _read_whole(descriptor: int, size: int) -> bytes | None:
    """The bytes of a file, None where they are not as many as it should have."""
    chunks, length = [], 0
    try:
        while chunk := os.read(descriptor, size + 1 - length):
            chunks.append(chunk)
            length += len(chunk)
            if length > size:
                return None
    except OSError:
        return None
    return b"".join(chunks) if length == size else None


def _header(name: bytes, size: int | None, mtime_ns: int) -> bytes:
    """The header of a file, or of a FIFO for None; the same for the same arguments."""
    info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
    info.mode, info.mtime = MODE, mtime_ns // 10**9
    if size is None:
        info.type = tarfile.FIFOTYPE
    else:
        info.size = size
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
