"""An archive that fsspec reaches, for example objects in a bucket.

Folders of an object store are only common beginnings of names. Where the store can list by
such a beginning, hundreds of cards come with a few calls; elsewhere every folder is a call.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

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
from vin_batch.archive.connection import Connection, Entry
from vin_batch.archive.listing import Listing
from vin_batch.archive.names import (
    is_hidden,
    is_image_name,
    is_pack_index,
    is_pack_name,
    lay_out,
    listing_digest,
    relative_path,
)
from vin_batch.archive.remote_packs import RemotePacks
from vin_batch.archive.roots import RemoteRoot
from vin_batch.archive.totals import WalkTotals
from vin_batch.records import CardRef

CARDS_AT_ONCE: Final = 16
"""Cards whose files are fetched together, while the cards before them are decoded."""
THREADS: Final = 16
"""Requests in flight in one process."""
CARDS_PER_FIND: Final = 500
"""Sub-folders that are listed together: some 9,000 files, a few MB of answers."""

_known_layout = cached_layout(lay_out)


@dataclass(slots=True)
class RemoteListing(Listing):
    """A listing that knows more about its files.

    Attributes:
        entries: Facts about the images, by name.
        others: Names of all other files.
    """

    entries: dict[bytes, Entry] = field(default_factory=dict)
    others: set[bytes] = field(default_factory=set)

    def stamps(self) -> Stamps:
        """Sizes and times of the boxes."""
        layout = _known_layout(tuple(self.images))
        return tuple(
            None if name is None else _stamp(name, self.entries[name]) for name in layout.boxes
        )


class RemoteTree:
    """Folders below a URL; see ``source.Tree``."""

    def __init__(self, root: RemoteRoot) -> None:
        self._connection = Connection(root)
        self.packs = RemotePacks(self._connection)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
        self._expected: dict[str, tuple[CardRef, ...]] = {}
        self._coming: dict[str, Future[CardFiles]] = {}

    def listings(self, totals: WalkTotals) -> Iterator[tuple[bytes, Listing | None]]:
        """Visit every folder."""
        return _Visit(self._connection, totals).visit(b"")

    def listing(self, relative: bytes) -> RemoteListing:
        """List one folder."""
        return _sorted_in(self._connection.entries(relative))

    def read(self, ref: CardRef) -> CardFiles:
        """Read a card, and begin to read those that are expected after it."""
        coming = self._coming.pop(ref.card_id, None)
        for card in self._expected.pop(ref.card_id, ()):
            self._coming[card.card_id] = self._pool.submit(self._fetch, card)
        return self._fetch(ref) if coming is None else coming.result()

    def stamp(self, ref: CardRef) -> Stamps:
        """Sizes and times of a card."""
        try:
            return self._listed(ref).stamps()
        except OSError:
            return NO_STAMPS

    def stamp_listed(self, relative: bytes, listing: Listing) -> Stamps:
        """Sizes and times of a listed card: the listing told them."""
        assert isinstance(listing, RemoteListing)
        return listing.stamps()

    def changed_ns(self, relative: bytes) -> int | None:
        """Nobody knows."""
        return None

    def holds(self, relative: bytes, name: bytes) -> bool:
        """Tell whether a folder holds a file."""
        return self._connection.holds(relative + b"/" + name if relative else name)

    def expect(self, refs: Sequence[CardRef]) -> None:
        """Plan which cards are fetched while others are decoded."""
        for coming in self._coming.values():
            coming.cancel()
        self._coming.clear()
        self.packs.expect([ref.place for ref in refs if ref.place is not None])
        folders = [ref for ref in refs if ref.place is None]
        step = CARDS_AT_ONCE
        self._expected = {
            folders[at].card_id: tuple(folders[at + (1 if at == 0 else step) : at + 2 * step])
            for at in range(0, len(folders), step)
        }

    def _fetch(self, ref: CardRef) -> CardFiles:
        try:
            listing = self._listed(ref)
        except OSError:
            return UNREADABLE_CARD
        layout = _known_layout(tuple(listing.images))

        def read(name: bytes) -> BoxFile:
            return self._read_file(name, listing.entries[name])

        return files_of(layout, listing.ignored_files, read)

    def _listed(self, ref: CardRef) -> RemoteListing:
        try:
            listing = self.listing(relative_path(ref))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ListingChangedError(ref.card_id) from error
        if listing_digest(listing.images) != ref.digest:
            raise ListingChangedError(ref.card_id)
        return listing

    def _read_file(self, name: bytes, entry: Entry) -> BoxFile:
        stamp = _stamp(name, entry)
        if entry.size > MAX_FILE_BYTES:
            return oversized(stamp)
        try:
            data = self._connection.read(entry.path) if entry.size else b""
        except OSError:
            return unreadable(stamp)
        return oversized(stamp) if len(data) > MAX_FILE_BYTES else file_of(data, stamp)


def _stamp(name: bytes, entry: Entry) -> FileStamp:
    return FileStamp(name, max(entry.size, 0), entry.mtime_ns, entry.tag)


def _sorted_in(entries: Sequence[Entry]) -> RemoteListing:
    listing = RemoteListing([], {}, [])
    for entry in entries:
        name = entry.name
        if entry.is_folder:
            if is_hidden(name):
                listing.hidden_folders += 1
            else:
                listing.folders.append(name)
        elif is_image_name(name) and not is_hidden(name):
            listing.images.append(name)
            listing.entries[name] = entry
        elif is_pack_name(name):
            listing.packs += (name,)
        elif is_pack_index(name):
            listing.indexes += (name,)
        else:
            listing.ignored_files += 1
            listing.others.add(name)
    return listing


@dataclass(slots=True)
class _Visit:
    connection: Connection
    totals: WalkTotals

    def visit(self, relative: bytes) -> Iterator[tuple[bytes, Listing | None]]:
        """A folder and all below it."""
        left = [relative]
        while left:
            here = left.pop()
            try:
                listing = _sorted_in(self.connection.entries(here))
            except OSError as error:
                self.totals.note_unreadable(here, error)
                yield here, None
                continue
            self.totals.count(listing)
            yield here, listing
            prefix = here + b"/" if here else b""
            if self._holds_cards(prefix, listing.folders):
                yield from self._find_below(here, prefix, listing.folders)
            else:
                left.extend(prefix + name for name in sorted(listing.folders, reverse=True))

    def _holds_cards(self, prefix: bytes, folders: Sequence[bytes]) -> bool:
        """Tell whether the folders below one seem to be cards, by a look at the first."""
        if len(folders) < 3 or not self.connection.finds_by_prefix:
            return False
        try:
            first = _sorted_in(self.connection.entries(prefix + min(folders)))
        except OSError:
            return False
        return bool(first.images) and not first.folders

    def _find_below(
        self, relative: bytes, prefix: bytes, folders: Sequence[bytes]
    ) -> Iterator[tuple[bytes, Listing | None]]:
        names = sorted(name.decode("utf-8", "surrogateescape") for name in folders)
        for beginning, group in grouped_by_prefix(names, CARDS_PER_FIND):
            wanted = {name.encode("utf-8", "surrogateescape") for name in group}
            try:
                found = self.connection.find(relative, beginning)
            except OSError as error:
                for name in sorted(wanted):
                    self.totals.note_unreadable(prefix + name, error)
                    yield prefix + name, None
                continue
            below = _by_folder(found)
            for name in sorted(wanted):
                yield from self._found(prefix, name, below)

    def _found(
        self, prefix: bytes, name: bytes, below: Mapping[bytes, list[Entry]]
    ) -> Iterator[tuple[bytes, Listing | None]]:
        left = [name]
        while left:
            here = left.pop()
            if here not in below:
                continue
            listing = _sorted_in(below[here])
            self.totals.count(listing)
            yield prefix + here, listing
            left.extend(here + b"/" + each for each in sorted(listing.folders, reverse=True))


def _by_folder(found: Sequence[tuple[bytes, Entry]]) -> dict[bytes, list[Entry]]:
    """What every folder holds, from the paths of all files below one."""
    below: dict[bytes, list[Entry]] = defaultdict(list)
    for path, entry in found:
        folder = path.rpartition(b"/")[0]
        if entry.is_folder or not folder:
            continue
        is_new = folder not in below
        below[folder].append(entry)
        while is_new and b"/" in folder:
            above, _, name = folder.rpartition(b"/")
            is_new = above not in below
            below[above].append(Entry("", name, True, 0, 0, b""))
            folder = above
    return below


def grouped_by_prefix(names: Sequence[str], most: int) -> Iterator[tuple[str, list[str]]]:
    """Cut sorted names into groups that a beginning of the name tells apart.

    Args:
        names: Sorted, each once.
        most: Names of a group, unless they are all the same up to their end.

    Yields:
        The beginning and all names that have it, in order. A name that is itself the
        beginning of others stands alone under itself and a slash.
    """
    stack: list[tuple[str, list[str]]] = [("", list(names))]
    while stack:
        beginning, group = stack.pop()
        if len(group) <= most:
            if group:
                yield beginning, group
            continue
        length = len(beginning)
        parts: dict[str, list[str]] = {}
        for name in group:
            parts.setdefault(name[: length + 1], []).append(name)
        alone = parts.get(beginning) if beginning else None
        deeper = [
            (start, part) for start, part in parts.items() if alone is None or part is not alone
        ]
        stack.extend(reversed(deeper))
        if alone is not None:
            yield beginning + "/", alone
