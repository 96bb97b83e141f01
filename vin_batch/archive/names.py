"""What file and folder names mean: image or not, which box, which card."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from vin_batch.records import CardRef, Place
from vin_batch.vin.alphabet import VIN_LENGTH

IMAGE_SUFFIXES: Final = frozenset(
    (b"png", b"jpg", b"jpeg", b"jpe", b"tif", b"tiff", b"bmp", b"webp")
)

PACK_SUFFIX: Final = b".tar"
INDEX_SUFFIX: Final = b".index.jsonl"
"""What the index of a pack has behind the name of the pack."""
PACKS_FOLDER: Final = b"packs"
"""Packs in a folder of this name count as unpacked in the folder above."""

ROOT_CARD_ID: Final = "."
"""Card id of the archive root itself, where it holds images directly."""
LISTING_DIGEST_BYTES: Final = 8

REMEMBERED_NAMES: Final = 4096
_VISIBLE_IMAGES: Final[dict[str, bytes]] = {}

_LAST_NUMBER: Final = re.compile(rb"([0-9]+)[^0-9]*\Z")
_ESCAPE: Final = re.compile(r"\\x([0-9a-f]{2})")
_NEEDS_ESCAPE: Final = re.compile(r"\\(?=x[0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class BoxLayout:
    """Which file holds which box.

    Attributes:
        boxes: 17 file names in reading order; None where no file, or more than one, claims
            the position.
        duplicates: Positions (1 to 17) that two or more files claim.
        extra: Image files beyond position 17, at position 0 of a 1-based card, or without
            a number.
    """

    boxes: tuple[bytes | None, ...]
    duplicates: frozenset[int]
    extra: int


def is_image_name(name: bytes) -> bool:
    """Tell by its suffix whether a file holds an image."""
    stem, dot, suffix = name.rpartition(b".")
    return bool(dot and stem) and suffix.lower() in IMAGE_SUFFIXES


@lru_cache(maxsize=REMEMBERED_NAMES)
def is_visible_image(name: bytes) -> bool:
    """Tell whether a file of this name is taken for an image; see ``visible_image``."""
    return is_image_name(name) and not is_hidden(name)


def visible_image(entry: str) -> bytes | None:
    """Name of a directory entry in bytes, where it is that of a visible image.

    Remembered, because most cards of an archive name their files alike.
    """
    name = _VISIBLE_IMAGES.get(entry)
    if name is None:
        raw = os.fsencode(entry)
        if not is_image_name(raw) or is_hidden(raw):
            return None
        name = raw
        if len(_VISIBLE_IMAGES) < REMEMBERED_NAMES:
            _VISIBLE_IMAGES[entry] = name
    return name


def is_hidden(name: bytes) -> bool:
    """Tell whether a file manager would hide this name."""
    return name.startswith(b".")


def is_pack_name(name: bytes) -> bool:
    """Tell whether a file is taken for a pack of cards."""
    return name.endswith(PACK_SUFFIX) and not is_hidden(name)


def is_pack_index(name: bytes) -> bool:
    """Tell whether a file is taken for the index of a pack."""
    return name.endswith(PACK_SUFFIX + INDEX_SUFFIX) and not is_hidden(name)


def pack_base(pack: bytes) -> bytes:
    """Folder into which a pack counts as unpacked.

    It is the folder where the pack lies, or the one above if that is called ``packs``.

    Args:
        pack: Path of the pack below the archive root.
    """
    folder = pack.rpartition(b"/")[0]
    above, _, name = folder.rpartition(b"/")
    return above if name == PACKS_FOLDER else folder


def box_number(name: bytes) -> int | None:
    """Last number in the stem of a file name, None where there is none."""
    match = _LAST_NUMBER.search(name.rpartition(b".")[0])
    return int(match[1]) if match else None


def lay_out(names: Sequence[bytes]) -> BoxLayout:
    """Assign the image files of one card to its 17 boxes.

    Numbering starts at 1; it is taken to start at 0 where a number 0 occurs and no 17 does.

    Args:
        names: Image file names in any order; the result does not depend on it.

    Returns:
        The layout. Every name is in ``boxes``, in a duplicated position, or counted as extra.
    """
    numbers = [(box_number(name), name) for name in names]
    present = {number for number, _ in numbers}
    shift = 1 if 0 in present and VIN_LENGTH not in present else 0
    claims: dict[int, list[bytes]] = {}
    extra = 0
    for number, name in numbers:
        position = -1 if number is None else number + shift
        if 1 <= position <= VIN_LENGTH:
            claims.setdefault(position, []).append(name)
        else:
            extra += 1
    boxes = [claims.get(position, ()) for position in range(1, VIN_LENGTH + 1)]
    return BoxLayout(
        boxes=tuple(claim[0] if len(claim) == 1 else None for claim in boxes),
        duplicates=frozenset(position for position, claim in claims.items() if len(claim) > 1),
        extra=extra,
    )


def listing_digest(names: Iterable[bytes]) -> str:
    """Digest over the image file names of a card, 16 hex digits; the order does not matter.

    Names only: sizes and times change when an archive is copied, the work does not.
    """
    return _digest_of(tuple(sorted(names)))


@lru_cache(maxsize=256)
def _digest_of(names: tuple[bytes, ...]) -> str:
    text = b"".join([name + b"\0" for name in names])
    return hashlib.blake2b(text, digest_size=LISTING_DIGEST_BYTES).hexdigest()


def _is_literal(path: bytes) -> bool:
    """True where a path is its own card id; false is no answer."""
    return path.isascii() and b"\\" not in path and path != b"." and bool(path)


def card_id_of(path: bytes) -> str:
    r"""Write a path below the archive root as readable, valid Unicode, without loss.

    Bytes that are not UTF-8 become ``\xHH``; a backslash that would read as such an escape
    becomes ``\x5c``, so two different paths never share an id.

    Args:
        path: POSIX path below the root; empty for the root itself.
    """
    if not path:
        return ROOT_CARD_ID
    if _is_literal(path):
        return path.decode("ascii")
    text = path.decode("utf-8", "surrogateescape")
    text = _NEEDS_ESCAPE.sub(r"\\x5c", text)
    return "".join(
        f"\\x{ord(character) - 0xDC00:02x}" if "\udc80" <= character <= "\udcff" else character
        for character in text
    )


def path_of(card_id: str) -> bytes:
    """Undo ``card_id_of``."""
    if card_id == ROOT_CARD_ID:
        return b""
    escaped = _ESCAPE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), card_id)
    return b"".join(
        bytes((ord(character) - 0xDC00,))
        if "\udc00" <= character <= "\udcff"
        else character.encode()
        for character in escaped
    )


def plain_bytes_of(card_id: str) -> bytes:
    """The path that an id expresses when it is taken literally."""
    return b"" if card_id == ROOT_CARD_ID else card_id.encode()


def relative_path(ref: CardRef) -> bytes:
    """Path of a card below the archive root, as the file system spells it."""
    return plain_bytes_of(ref.card_id) if ref.path is None else ref.path


def ref_of(relative: bytes, digest: str, place: Place | None = None) -> CardRef:
    """Describe a card.

    Args:
        relative: Its path below the archive root.
        digest: Of its listing.
        place: Where it lies in a pack.
    """
    card_id = card_id_of(relative)
    literal = _is_literal(relative) or plain_bytes_of(card_id) == relative
    return CardRef(card_id, None if literal else relative, digest, place)


def order_key(path: bytes) -> tuple[bytes, ...]:
    """Sort key that puts paths into the order of the walk."""
    return tuple(path.split(b"/")) if path else ()
