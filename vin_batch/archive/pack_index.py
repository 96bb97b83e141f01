"""The index of a pack: which cards it holds, and where.

A text file beside the pack: a line that tells about the pack, then a line per card in the
order of the walk. Offsets, lengths and sizes are in bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from vin_batch.archive.names import (
    card_id_of,
    is_hidden,
    is_image_name,
    listing_digest,
    order_key,
    path_of,
)
from vin_batch.archive.tar_members import (
    BLOCK,
    Kind,
    ReadAt,
    TarError,
    members,
    require_plain_end,
)

FORMAT: Final = "vin_batch pack index 1"
COLUMNS: Final = ("card", "listing", "offset", "length", "images", "ignored_files", "source")
MAX_FOREIGN_CARDS: Final = 1_000_000
"""Cards of a pack without an index; they are held in memory, about 0.5 KB each."""
MAX_SPREAD: Final = 8
"""A card may lie between files of others; beyond so many times the size of the whole pack,
reading every card would mean to read all of it again and again."""


class IndexRow(NamedTuple):
    """One card in a pack.

    Attributes:
        path: Of the card, below the folder into which the pack counts as unpacked.
        listing: Digest of the names of its images.
        offset: Where the first header of its images begins.
        length: Up to the end of its last image.
        images: Number of image files.
        ignored_files: Number of other files.
        source: Digest over names, sizes and times of the files it was made from; empty
            where nobody knows them.
    """

    path: bytes
    listing: str
    offset: int
    length: int
    images: int
    ignored_files: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class PackFacts:
    """The first line of an index.

    Attributes:
        tar_bytes: Size of the pack.
        tar_sha256: Its digest; empty where nobody took one.
        cards: Number of cards.
        first: Path of the first one; empty where there is none.
        unreadable: Files whose bytes nobody gave when the pack was made.
        rows_sha256: Digest of the other lines.
    """

    tar_bytes: int
    tar_sha256: str
    cards: int
    first: bytes
    unreadable: int
    rows_sha256: str


def dump_index(
    rows: Iterable[IndexRow], tar_bytes: int, tar_sha256: str = "", unreadable: int = 0
) -> bytes:
    """Write an index."""
    first, count, lines = "", 0, []
    for row in rows:
        name = card_id_of(row.path)
        first = first if count else name
        count += 1
        lines.append(json.dumps((name, *row[1:]), ensure_ascii=False))
    body = "".join(line + "\n" for line in lines).encode()
    head = {
        "format": FORMAT,
        "columns": COLUMNS,
        "tar_bytes": tar_bytes,
        "tar_sha256": tar_sha256,
        "cards": count,
        "first": first,
        "unreadable": unreadable,
        "rows_sha256": hashlib.sha256(body).hexdigest(),
    }
    return json.dumps(head, ensure_ascii=False).encode() + b"\n" + body


def parse_facts(line: bytes) -> PackFacts:
    """Read the first line of an index.

    Raises:
        TarError: It is none.
    """
    try:
        head = json.loads(line)
        if head["format"] != FORMAT:
            raise TarError(f"its index has another format: {head['format']!r}")
        return PackFacts(
            tar_bytes=int(head["tar_bytes"]),
            tar_sha256=str(head["tar_sha256"]),
            cards=int(head["cards"]),
            first=path_of(head["first"]) if head["cards"] else b"",
            unreadable=int(head["unreadable"]),
            rows_sha256=str(head["rows_sha256"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise TarError("its index is damaged") from error


def parse_rows(index: bytes) -> Iterator[IndexRow]:
    """Read the other lines of an index, after making sure that they are as written.

    Raises:
        TarError: They are not, or their order is not that of the walk.
    """
    line, _, body = index.partition(b"\n")
    facts = parse_facts(line)
    if hashlib.sha256(body).hexdigest() != facts.rows_sha256:
        raise TarError("its index is damaged")
    before: tuple[bytes, ...] | None = None
    for text in body.splitlines():
        row = _row(json.loads(text), facts.tar_bytes)
        key = order_key(row.path)
        if before is not None and key <= before:
            raise TarError("its index is not in order")
        before = key
        yield row


def _row(values: Sequence[Any], tar_bytes: int) -> IndexRow:
    name, listing, offset, length, images, ignored, source = values
    if not 0 <= offset <= offset + length <= tar_bytes or offset % BLOCK:
        raise TarError("its index points outside of it")
    return IndexRow(path_of(name), listing, offset, length, images, ignored, source)


@dataclass(slots=True)
class _Gathered:
    names: list[bytes]
    first: int
    end: int
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class Contents:
    """What the headers of a pack say.

    Attributes:
        rows: Its cards, in the order of the walk.
        links: Links among its members; they are not followed.
        hidden_folders: Folders whose name starts with a dot, or that lie in such a one.
    """

    rows: list[IndexRow]
    links: int
    hidden_folders: int


def index_members(read: ReadAt, size: int) -> Contents:
    """Make the rows of an index from the headers of a pack.

    Args:
        read: Gives bytes of the pack.
        size: Of the pack.

    Raises:
        TarError: It is no tar file, is torn, or holds what no pack may hold.
    """
    folders: dict[bytes, _Gathered] = {}
    hidden: set[bytes] = set()
    links = end = 0
    for member in members(read, 0, size):
        end = member.end
        folder, _, name = member.name.rpartition(b"/")
        if member.kind is Kind.FOLDER:
            continue
        if any(map(is_hidden, folder.split(b"/"))):
            hidden.add(folder)
            continue
        if member.kind is Kind.LINK:
            links += 1
            continue
        there = folders.get(folder)
        if there is None:
            there = folders[folder] = _Gathered([], -1, 0)
            if len(folders) > MAX_FOREIGN_CARDS:
                raise TarError(f"it has more than {MAX_FOREIGN_CARDS} folders and no index")
        if not is_image_name(name) or is_hidden(name):
            there.ignored += 1
            continue
        there.names.append(name)
        there.first = member.start if there.first < 0 else there.first
        there.end = member.end
    require_plain_end(read, end, size)
    rows = [_row_of(path, there) for path, there in folders.items() if there.names]
    if sum(row.length for row in rows) > MAX_SPREAD * size:
        raise TarError("the files of a card do not lie together")
    return Contents(sorted(rows, key=lambda row: order_key(row.path)), links, len(hidden))


def _row_of(path: bytes, there: _Gathered) -> IndexRow:
    names = set(there.names)
    if len(names) < len(there.names):
        twice = next(name for name in sorted(names) if there.names.count(name) > 1)
        raise TarError(f"it holds {card_id_of(path)}/{card_id_of(twice)} twice")
    return IndexRow(
        path,
        listing_digest(there.names),
        there.first,
        there.end - there.first,
        len(there.names),
        there.ignored,
    )
