"""An archive in a file system of this machine."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

from vin_batch.archive.beneath import MAX_DEPTH, opened_folder
from vin_batch.archive.card_files import CardFiles, Stamps
from vin_batch.archive.listing import Listing, list_folder, list_opened
from vin_batch.archive.packed import PackState
from vin_batch.archive.reader import read_folder, stamp_folder, stamp_listing
from vin_batch.archive.roots import FolderRoot
from vin_batch.archive.totals import WalkTotals
from vin_batch.records import CardRef

MAX_OPEN_PACKS: Final = 8
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class FolderTree:
    """Folders below a local root; see ``source.Tree``."""

    def __init__(self, root: FolderRoot) -> None:
        self._root = root
        self.packs = FilePacks(root)

    def listings(self, totals: WalkTotals) -> Iterator[tuple[bytes, Listing | None]]:
        """Visit every folder.

        The folders on the way down stay open, so that no step is taken through a link and
        no path is too long.
        """
        walk = _Descent(self._root, totals)
        try:
            yield from walk.visit()
        finally:
            walk.close()

    def listing(self, relative: bytes) -> Listing:
        """List one folder."""
        return list_folder(self._root, relative)

    def read(self, ref: CardRef) -> CardFiles:
        """Read a card."""
        return read_folder(self._root, ref)

    def stamp(self, ref: CardRef) -> Stamps:
        """Sizes and times of a card."""
        return stamp_folder(self._root, ref)

    def stamp_listed(self, relative: bytes, listing: Listing) -> Stamps:
        """Sizes and times of a listed card."""
        return stamp_listing(self._root, relative, listing)

    def changed_ns(self, relative: bytes) -> int | None:
        """When a folder was changed."""
        try:
            return os.lstat(self._root.join(relative)).st_mtime_ns
        except OSError:
            return None

    def holds(self, relative: bytes, name: bytes) -> bool:
        """Tell whether a folder holds a file."""
        return os.path.lexists(self._root.join(relative) + b"/" + name)

    def expect(self, refs: Sequence[CardRef]) -> None:
        """Nothing: the system reads ahead by itself."""


class _Descent:
    """A walk that is under way: one open folder, and its unvisited sub-folders, per level."""

    def __init__(self, root: FolderRoot, totals: WalkTotals) -> None:
        self._root = root
        self._totals = totals
        self._open: list[int] = []
        self._left: list[Iterator[bytes]] = []
        self._prefixes: list[bytes] = []

    def visit(self) -> Iterator[tuple[bytes, Listing | None]]:
        yield b"", self._enter(b"", b"")
        while self._open:
            name = next(self._left[-1], None)
            if name is None:
                self._leave()
                continue
            relative = self._prefixes[-1] + name
            yield relative, self._enter(name, relative)

    def close(self) -> None:
        while self._open:
            self._leave()

    def _enter(self, name: bytes, relative: bytes) -> Listing | None:
        try:
            folder = self._opened(name)
            try:
                listing = list_opened(folder, self._root, relative)
            except BaseException:
                os.close(folder)
                raise
        except OSError as error:
            self._totals.note_unreadable(relative, error)
            return None
        if listing.folders:
            # Its sub-folders are opened below it; a card's folder is closed at once.
            self._open.append(folder)
            self._left.append(iter(sorted(listing.folders)))
            self._prefixes.append(relative + b"/" if relative else b"")
        else:
            os.close(folder)
        self._totals.count(listing)
        return listing

    def _opened(self, name: bytes) -> int:
        if not self._open:
            return os.open(self._root.path, _LIST)
        if len(self._open) > MAX_DEPTH:
            raise OSError(errno.ENAMETOOLONG, f"More than {MAX_DEPTH} folders deep")
        return os.open(name, _LIST | os.O_NOFOLLOW, dir_fd=self._open[-1])

    def _leave(self) -> None:
        self._left.pop()
        self._prefixes.pop()
        os.close(self._open.pop())


class FilePacks:
    """Bytes of packs that are files; a few stay open. See ``packed.PackBytes``.

    Args:
        root: Of the archive; nothing is reached through a link.
    """

    def __init__(self, root: FolderRoot) -> None:
        self._root = root
        self._open: OrderedDict[bytes, tuple[int, os.stat_result]] = OrderedDict()
        self._lock = threading.Lock()

    def state(self, pack: bytes) -> PackState:
        """How the pack is now; one that was replaced is opened anew."""
        with self._lock:
            known = self._open.get(pack)
            if known is not None:
                now = os.lstat(self._root.join(pack))
                if _same(now, known[1]):
                    return PackState(now.st_size, now.st_mtime_ns)
                self._close(pack)
            _, info = self._opened(pack)
            return PackState(info.st_size, info.st_mtime_ns)

    def read(self, pack: bytes, offset: int, length: int) -> bytes:
        """Bytes of a pack."""
        with self._lock:
            descriptor, _ = self._opened(pack)
            data = os.pread(descriptor, length, offset)
            while 0 < len(data) < length:
                more = os.pread(descriptor, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            return data

    def close(self) -> None:
        """Close all packs."""
        with self._lock:
            for pack in list(self._open):
                self._close(pack)

    def _opened(self, pack: bytes) -> tuple[int, os.stat_result]:
        known = self._open.get(pack)
        if known is not None:
            self._open.move_to_end(pack)
            return known
        folder, _, name = pack.rpartition(b"/")
        with opened_folder(self._root.path, folder, to_list=False) as parent:
            if not stat.S_ISREG(os.lstat(name, dir_fd=parent).st_mode):
                raise FileNotFoundError(errno.ENOENT, "No regular file")
            descriptor = os.open(name, _READ, dir_fd=parent)
        info = os.fstat(descriptor)
        if len(self._open) >= MAX_OPEN_PACKS:
            self._close(next(iter(self._open)))
        self._open[pack] = descriptor, info
        return descriptor, info

    def _close(self, pack: bytes) -> None:
        descriptor, _ = self._open.pop(pack)
        os.close(descriptor)


def _same(now: os.stat_result, then: os.stat_result) -> bool:
    return (now.st_ino, now.st_dev, now.st_size, now.st_mtime_ns) == (
        then.st_ino, then.st_dev, then.st_size, then.st_mtime_ns,
    )  # fmt: skip
