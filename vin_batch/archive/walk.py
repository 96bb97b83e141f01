"""One streaming, sorted pass over an archive of card folders and packs."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from vin_batch.archive.card_files import CardFiles, Stamps
from vin_batch.archive.listing import Listing
from vin_batch.archive.names import (
    INDEX_SUFFIX,
    PACKS_FOLDER,
    card_id_of,
    order_key,
    pack_base,
)
from vin_batch.archive.packed import read_packed, stamp_packed
from vin_batch.archive.packs import FoundPack, PackedCard, open_pack, scratch_folder
from vin_batch.archive.roots import ArchiveRoot
from vin_batch.archive.source import Tree, tree_of
from vin_batch.archive.totals import WalkTotals
from vin_batch.errors import ArchiveError
from vin_batch.records import CardRef

There = Listing | PackedCard
"""What lies at a path of the archive."""

Key = tuple[bytes, ...]


def walk(root: ArchiveRoot, totals: WalkTotals | None = None) -> Iterator[CardRef]:
    """Find every card, depth first, names in byte order.

    Holds the sub-folder names along one path at a time, never a list of all cards. A folder
    that cannot be listed is counted, with its path, and the walk goes on.

    Args:
        root: The archive.
        totals: Filled as the walk proceeds.

    Yields:
        Cards, in an order that depends on their paths alone.

    Raises:
        ArchiveError: A pack is damaged, or a card lies in two places.
    """
    totals = WalkTotals() if totals is None else totals
    for relative, there in walk_folders(root, totals):
        card = None if there is None else there.card(relative)
        if card is not None:
            yield card


def walk_folders(
    root: ArchiveRoot, totals: WalkTotals
) -> Iterator[tuple[bytes, Listing | PackedCard | None]]:
    """Visit every folder and every packed card, in the order of ``walk``.

    A pack counts as unpacked in the folder where it lies, or in the one above if that is
    called ``packs``.

    Args:
        root: The archive.
        totals: Filled as the walk proceeds.

    Yields:
        Path below the root, and what lies there; None for a folder that could not be listed.

    Raises:
        ArchiveError: A pack is damaged, or a card lies in two places.
    """
    tree = tree_of(root)
    with _Packs(tree, totals) as packs:
        for relative, listing in tree.listings(totals):
            if packs.waiting:
                yield from packs.cards_before(order_key(relative))
            yield relative, listing
            if listing is None:
                continue
            if listing.packs or PACKS_FOLDER in listing.folders:
                packs.open_those_of(relative, listing)
            if packs.waiting:
                packs.note_folder(relative, listing)
        yield from packs.cards_before(None)


def read_card(root: ArchiveRoot, ref: CardRef) -> CardFiles:
    """Read the box files of a card.

    A card that the system refuses to list gives 17 unreadable boxes; a file that it refuses
    to give becomes one.

    Raises:
        ListingChangedError: Files were added, removed or renamed since the walk.
    """
    tree = tree_of(root)
    return tree.read(ref) if ref.place is None else read_packed(tree.packs, ref, ref.place)


def stamp_card(root: ArchiveRoot, ref: CardRef) -> Stamps:
    """Sizes and times of the box files of a card, without reading them.

    Raises:
        ListingChangedError: Files were added, removed or renamed since the walk.
    """
    tree = tree_of(root)
    return tree.stamp(ref) if ref.place is None else stamp_packed(tree.packs, ref, ref.place)


def stamp_listed(root: ArchiveRoot, relative: bytes, there: There) -> Stamps:
    """Sizes and times of the box files of a card that was just walked.

    Args:
        root: The archive.
        relative: Path of the card below it.
        there: What lies there.

    Returns:
        As ``stamp_card``; None for a file that is gone by now.
    """
    if isinstance(there, Listing):
        return tree_of(root).stamp_listed(relative, there)
    return stamp_card(root, there.ref)


def changed_ns(root: ArchiveRoot, relative: bytes, there: There) -> int | None:
    """When the folder of a walked card was changed, ns since 1970; None for a packed one."""
    return tree_of(root).changed_ns(relative) if isinstance(there, Listing) else None


def holds(root: ArchiveRoot, relative: bytes, there: There, name: bytes) -> bool | None:
    """Tell whether the folder of a walked card holds a file; None for a packed card."""
    return tree_of(root).holds(relative, name) if isinstance(there, Listing) else None


def expect_cards(root: ArchiveRoot, refs: Sequence[CardRef]) -> None:
    """Tell the archive which cards are read next, so that a distant one can read ahead."""
    tree_of(root).expect(refs)


@dataclass(slots=True)
class _Packs:
    """Packs that were met, and whose cards are still to come."""

    tree: Tree
    totals: WalkTotals
    waiting: list[tuple[Key, int, FoundPack | Iterator[PackedCard], PackedCard | None]] = field(
        default_factory=list
    )
    _numbers: Iterator[int] = field(default_factory=count)
    _scratch: TemporaryDirectory[str] | None = None
    _last: tuple[Key, str] | None = None

    def __enter__(self) -> _Packs:
        return self

    def __exit__(self, *_: object) -> None:
        if self._scratch is not None:
            self._scratch.cleanup()

    def open_those_of(self, relative: bytes, listing: Listing) -> None:
        """Open the packs that count as unpacked in a folder."""
        prefix = relative + b"/" if relative else b""
        self._open(prefix, listing, relative)
        if PACKS_FOLDER in listing.folders:
            below = prefix + PACKS_FOLDER
            try:
                inner = self.tree.listing(below)
            except OSError:
                return  # The walk comes there, too, and counts it.
            self._open(below + b"/", inner, relative)

    def _open(self, prefix: bytes, listing: Listing, base: bytes) -> None:
        indexes = set(listing.indexes)
        for name in sorted(listing.packs):
            if pack_base(prefix + name) != base:
                continue
            if self._scratch is None:
                self._scratch = scratch_folder()
            found = open_pack(
                self.tree.packs,
                prefix + name,
                name + INDEX_SUFFIX in indexes,
                Path(self._scratch.name),
                self.totals,
            )
            if found.facts.cards:
                key = order_key(found.first)
                heapq.heappush(self.waiting, (key, next(self._numbers), found, None))

    def note_folder(self, relative: bytes, listing: Listing) -> None:
        """Remember a card that is a folder: none of the same path may follow."""
        if listing.images:
            self._last = order_key(relative), "as a folder"

    def cards_before(self, limit: Key | None) -> Iterator[tuple[bytes, PackedCard]]:
        """Packed cards that come before a path; all that are left for None."""
        while self.waiting and (limit is None or self.waiting[0][0] < limit):
            key, number, source, card = heapq.heappop(self.waiting)
            if isinstance(source, FoundPack):
                source = source.cards()
            else:
                assert card is not None
                self._refuse_twice(key, card)
                self.totals.cards += 1
                self.totals.packed_cards += 1
                self.totals.image_files += card.images
                self.totals.ignored_files += card.ref.place.ignored_files if card.ref.place else 0
                yield card.relative, card
            following = next(source, None)
            if following is not None:
                entry = (order_key(following.relative), number, source, following)
                heapq.heappush(self.waiting, entry)

    def _refuse_twice(self, key: Key, card: PackedCard) -> None:
        assert card.ref.place is not None
        where = f"in {card_id_of(card.ref.place.pack)}"
        if self._last is not None and self._last[0] == key:
            raise ArchiveError(
                f"card {card.ref.card_id} is there twice: {self._last[1]} and {where}",
                "Nobody can tell which of them is right: move one of the two out of the archive.",
            )
        self._last = key, where
