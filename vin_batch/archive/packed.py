"""Reading a card out of a pack: one read of the bytes where its images lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Protocol

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
from vin_batch.archive.names import (
    is_visible_image,
    lay_out,
    listing_digest,
    pack_base,
    relative_path,
)
from vin_batch.archive.tar_members import Kind, Member, ReadAt, TarError, members, plain_files
from vin_batch.archive.windows import windowed
from vin_batch.records import CardRef, Place

MAX_SPAN_BYTES: Final = 4 * 2**20
"""Bytes that are read at once for one card; larger ones are read member by member."""

_known_layout = cached_layout(lay_out)


class PackState(NamedTuple):
    """What tells a changed pack apart: its size in bytes, its time in ns, its version."""

    size: int
    mtime_ns: int
    tag: bytes = b""


class PackBytes(Protocol):
    """Gives bytes of packs; paths are below the archive root."""

    def state(self, pack: bytes) -> PackState:
        """How the pack is now.

        Raises:
            OSError: It is gone, or the system refuses.
        """
        ...

    def read(self, pack: bytes, offset: int, length: int) -> bytes:
        """Bytes of a pack; fewer at its end.

        Raises:
            OSError: It is gone, or the system refuses.
        """
        ...


class _Image(NamedTuple):
    """Where an image lies in its pack; the size is None where nobody gives its bytes."""

    data: int
    size: int | None


class _Found(NamedTuple):
    read: ReadAt
    images: dict[bytes, _Image]
    state: PackState


def read_packed(packs: PackBytes, ref: CardRef, place: Place) -> CardFiles:
    """Read the box files of a packed card; see ``read_card``.

    Raises:
        ListingChangedError: The card is not, or not so, where the plan says.
    """
    try:
        with _vanishing(ref):
            card = _find(packs, ref, place)
    except OSError:
        return UNREADABLE_CARD

    def box(name: bytes) -> BoxFile:
        return _box(card, name, card.images[name])

    return files_of(_known_layout(tuple(card.images)), place.ignored_files, box)


def stamp_packed(packs: PackBytes, ref: CardRef, place: Place) -> Stamps:
    """Sizes and times of the box files of a packed card; see ``stamp_card``.

    Raises:
        ListingChangedError: The card is not, or not so, where the plan says.
    """
    try:
        with _vanishing(ref):
            card = _find(packs, ref, place)
    except OSError:
        return NO_STAMPS
    layout = _known_layout(tuple(card.images))
    return tuple(
        None if name is None else _stamp(card, name, card.images[name]) for name in layout.boxes
    )


@contextmanager
def _vanishing(ref: CardRef) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, TarError) as error:
        raise ListingChangedError(ref.card_id) from error


def _find(packs: PackBytes, ref: CardRef, place: Place) -> _Found:
    state = packs.state(place.pack)
    end = place.offset + place.length
    if end > state.size:
        raise TarError("it is shorter than it was")
    folder = inner_path(relative_path(ref), place.pack)
    prefix = folder + b"/" if folder else b""
    span = b""
    if place.length <= MAX_SPAN_BYTES:
        span = packs.read(place.pack, place.offset, place.length)

    def within(offset: int, length: int) -> bytes:
        begin = offset - place.offset
        return span[begin : begin + length]

    def direct(offset: int, length: int) -> bytes:
        return packs.read(place.pack, offset, length)

    read = within if span else windowed(direct, end)
    images = _plain_images(span, prefix, place.offset)
    if images is None:
        images = _images(members(read, place.offset, end), prefix)
    if listing_digest(images) != ref.digest:
        raise TarError("it holds other files")
    return _Found(read, images, state)


def _plain_images(span: bytes, prefix: bytes, offset: int) -> dict[bytes, _Image] | None:
    files = plain_files(span, prefix) if span else None
    if files is None or not all(map(is_visible_image, files)):
        return None
    return {name: _Image(offset + begin, size) for name, (begin, size) in files.items()}


def inner_path(path: bytes, pack: bytes) -> bytes:
    """Path of a card as its pack has it."""
    base = pack_base(pack)
    return path.removeprefix(base).removeprefix(b"/") if base else path


def _images(found: Iterator[Member], prefix: bytes) -> dict[bytes, _Image]:
    images: dict[bytes, _Image] = {}
    for member in found:
        name = member.name.removeprefix(prefix)
        if (
            (len(name) < len(member.name) or not prefix)
            and b"/" not in name
            and member.kind in {Kind.FILE, Kind.SPECIAL}
            and is_visible_image(name)
        ):
            if name in images:
                raise TarError("it holds a file twice")
            size = member.size if member.kind is Kind.FILE else None
            images[name] = _Image(member.data, size)
    return images


def _stamp(card: _Found, name: bytes, image: _Image) -> FileStamp:
    return FileStamp(name, image.size or 0, card.state.mtime_ns, card.state.tag)


def _box(card: _Found, name: bytes, image: _Image) -> BoxFile:
    stamp = _stamp(card, name, image)
    if image.size is None:
        return unreadable(stamp)
    if image.size > MAX_FILE_BYTES:
        return oversized(stamp)
    try:
        data = card.read(image.data, image.size)
    except OSError:
        return unreadable(stamp)
    return file_of(data, stamp) if len(data) == image.size else unreadable(stamp)
