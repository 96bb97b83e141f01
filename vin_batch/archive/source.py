"""What the archive room needs from a kind of archive: folders here, objects elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol

from vin_batch.archive.card_files import CardFiles, Stamps
from vin_batch.archive.folders import FolderTree
from vin_batch.archive.listing import Listing
from vin_batch.archive.packed import PackBytes
from vin_batch.archive.roots import ArchiveRoot, FolderRoot
from vin_batch.archive.totals import WalkTotals
from vin_batch.records import CardRef


class Tree(Protocol):
    """Folders below an archive root, and the bytes of the packs among them."""

    @property
    def packs(self) -> PackBytes:
        """Bytes of packs."""
        ...

    def listings(self, totals: WalkTotals) -> Iterator[tuple[bytes, Listing | None]]:
        """Visit every folder, depth first, names in byte order.

        Args:
            totals: Filled as the walk proceeds.

        Yields:
            Path below the root, and what the folder holds; None where it could not be listed.
        """
        ...

    def listing(self, relative: bytes) -> Listing:
        """List one folder.

        Raises:
            OSError: It cannot be listed completely.
        """
        ...

    def read(self, ref: CardRef) -> CardFiles:
        """Read a card that is a folder; see ``read_card``."""
        ...

    def stamp(self, ref: CardRef) -> Stamps:
        """Sizes and times of a card that is a folder; see ``stamp_card``."""
        ...

    def stamp_listed(self, relative: bytes, listing: Listing) -> Stamps:
        """Sizes and times of a card whose folder was just listed."""
        ...

    def changed_ns(self, relative: bytes) -> int | None:
        """When a folder itself was changed, ns since 1970; None where nobody knows."""
        ...

    def holds(self, relative: bytes, name: bytes) -> bool:
        """Tell whether a folder holds a file of that name."""
        ...

    def expect(self, refs: Sequence[CardRef]) -> None:
        """Hear which cards are read next, in this order."""
        ...


@lru_cache(maxsize=8)
def tree_of(root: ArchiveRoot) -> Tree:
    """The tree of an archive; opened once in a process."""
    if isinstance(root, FolderRoot):
        return FolderTree(root)
    from vin_batch.archive.remote import RemoteTree  # noqa: PLC0415 - needs fsspec

    return RemoteTree(root)
