"""Finding the cards of packs, pack by pack, in the order of the walk."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vin_batch.archive.names import INDEX_SUFFIX, card_id_of, pack_base, ref_of
from vin_batch.archive.pack_index import (
    IndexRow,
    PackFacts,
    dump_index,
    index_members,
    parse_facts,
    parse_rows,
)
from vin_batch.archive.packed import PackBytes
from vin_batch.archive.tar_members import BLOCK, ReadAt, TarError
from vin_batch.archive.totals import WalkTotals
from vin_batch.archive.windows import windowed
from vin_batch.errors import ArchiveError
from vin_batch.records import CardRef, Place

logger = logging.getLogger(__name__)

MAX_INDEX_BYTES: Final = 2**30
MAX_HEAD_BYTES: Final = 2**20
"""Longest first line of an index."""
REMOTE_WINDOW: Final = 8 * 2**20
_ADVICE: Final = (
    "Restore the pack and its index, or make both again with `vin-batch pack`. An index that "
    "belongs to another pack can be removed: the pack is then indexed anew."
)


@dataclass(frozen=True, slots=True)
class PackedCard:
    """A card that the walk found in a pack.

    Attributes:
        relative: Its path below the archive root.
        ref: The card.
        images: Number of its image files.
    """

    relative: bytes
    ref: CardRef
    images: int

    def card(self, relative: bytes) -> CardRef | None:
        """The card; see ``Listing.card``."""
        return self.ref


@dataclass(frozen=True, slots=True)
class FoundPack:
    """A pack that was opened and looks whole.

    Attributes:
        path: Below the archive root.
        facts: What its index says about it.
        rows: Reads its index.
    """

    path: bytes
    facts: PackFacts
    rows: Callable[[], bytes]

    @property
    def first(self) -> bytes:
        """Path of its first card below the archive root."""
        return _joined(pack_base(self.path), self.facts.first)

    def cards(self) -> Iterator[PackedCard]:
        """Its cards, in the order of the walk.

        Raises:
            ArchiveError: Its index is damaged or cannot be read.
        """
        base = pack_base(self.path)
        with pack_errors(self.path):
            for row in parse_rows(self.rows()):
                yield _card(self.path, base, row)


def open_pack(
    packs: PackBytes, pack: bytes, has_index: bool, scratch: Path, totals: WalkTotals
) -> FoundPack:
    """Open a pack; one without an index is read from end to end for its headers.

    Args:
        packs: Gives bytes.
        pack: Path below the archive root.
        has_index: Whether there is an index beside it.
        scratch: Folder for the index of a pack that has none.
        totals: Counts the pack and what is passed by in it.

    Raises:
        ArchiveError: It is no tar file, is torn, or is not the one of its index.
    """
    with pack_errors(pack):
        size = packs.state(pack).size
        if has_index:
            index = pack + INDEX_SUFFIX
            rows = _stored(packs, index)
            length = min(packs.state(index).size, MAX_HEAD_BYTES)
            head = packs.read(index, 0, length).partition(b"\n")[0]
        else:
            rows = _made(packs, pack, size, scratch / f"{totals.packs}.jsonl", totals)
            head = rows().partition(b"\n")[0]
        facts = parse_facts(head)
        require_whole(packs, pack, size, facts)
    totals.packs += 1
    return FoundPack(pack, facts, rows)


def require_whole(packs: PackBytes, pack: bytes, size: int, facts: PackFacts) -> None:
    """The quick look at a pack: its size, and the mark at its end.

    Raises:
        TarError: It is not the pack of the index, or is torn.
    """
    if size != facts.tar_bytes:
        raise TarError(f"it has {size} bytes, and its index knows {facts.tar_bytes}")
    tail = packs.read(pack, max(size - 2 * BLOCK, 0), 2 * BLOCK)
    if len(tail) < 2 * BLOCK or tail.strip(b"\0"):
        raise TarError("it is torn: the mark at its end is missing")


@contextmanager
def pack_errors(pack: bytes) -> Iterator[None]:
    """Name the pack in what goes wrong with it.

    Raises:
        ArchiveError: Something did.
    """
    try:
        yield
    except TarError as error:
        raise ArchiveError(f"pack {card_id_of(pack)}: {error}", _ADVICE) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArchiveError(
            f"pack {card_id_of(pack)} cannot be read: {reason}",
            "Check disk, network and permissions; the same command then goes on.",
        ) from error


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for indexes that are made during a walk."""
    return tempfile.TemporaryDirectory(prefix="vin_batch_packs_")


def _stored(packs: PackBytes, index: bytes) -> Callable[[], bytes]:
    def read() -> bytes:
        size = packs.state(index).size
        if size > MAX_INDEX_BYTES:
            raise TarError(f"its index has {size} bytes")
        return packs.read(index, 0, size)

    return read


def _made(
    packs: PackBytes, pack: bytes, size: int, file: Path, totals: WalkTotals
) -> Callable[[], bytes]:
    logger.warning(
        "pack %s has no index: it is read from end to end to find its cards", card_id_of(pack)
    )

    def direct(offset: int, length: int) -> bytes:
        return packs.read(pack, offset, length)

    read: ReadAt = windowed(direct, size, REMOTE_WINDOW)
    contents = index_members(read, size)
    totals.links_skipped += contents.links
    totals.hidden_folders += contents.hidden_folders
    file.write_bytes(dump_index(contents.rows, size))
    return file.read_bytes


def _card(pack: bytes, base: bytes, row: IndexRow) -> PackedCard:
    relative = _joined(base, row.path)
    place = Place(pack, row.offset, row.length, row.ignored_files)
    return PackedCard(relative, ref_of(relative, row.listing, place), row.images)


def _joined(base: bytes, path: bytes) -> bytes:
    return base + b"/" + path if base and path else base or path
