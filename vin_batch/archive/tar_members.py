"""The members of a tar file, read from its headers and believed only as far as they check out.

POSIX ustar and pax, and what GNU tar adds for long names and large sizes. The file may come
from anybody: nothing is read outside the span that is asked for, extensions are bounded, and
whatever is not plain is an error that says what it is. The formats are those of POSIX.1-2017
(pax, "ustar Interchange Format") and of GNU tar's manual ("Basic Tar Format").
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

BLOCK: Final = 512
MAX_EXTENSION_BYTES: Final = 2**20
"""Bytes of one extended header: 1,000 times what a long path takes."""

_ADLER: Final = 65521
_FIELDS: Final = struct.Struct("100s24x12s12x8sc188xB")
"""Of a header: name, size, checksum, type, and the first byte of the prefix."""
_CHECKSUM: Final = slice(148, 156)
_CHECKSUM_END: Final = b"\0 "
"""What follows its six digits in the header of every writer."""
_ZEROS: Final = bytes(BLOCK)

ReadAt = Callable[[int, int], bytes]
"""Gives ``length`` bytes at ``offset``; fewer only at the end of the file."""


class TarError(Exception):
    """The bytes are no tar file that can be used; the text says why."""


class Kind(IntEnum):
    """What a member is."""

    FILE = 0
    FOLDER = 1
    LINK = 2
    SPECIAL = 3
    """A device or a FIFO: something is there, and nobody gives its bytes."""


class Member(NamedTuple):
    """One member.

    Attributes:
        name: Path as written, without ``./`` in front.
        kind: What it is.
        start: Offset of its first header, extensions included.
        data: Offset of its bytes.
        size: Number of its bytes; 0 unless it is a file.
    """

    name: bytes
    kind: Kind
    start: int
    data: int
    size: int

    @property
    def end(self) -> int:
        """Offset behind its last block."""
        return self.data + -(-self.size // BLOCK) * BLOCK


_KINDS: Final = {
    b"0": Kind.FILE, b"\0": Kind.FILE, b"7": Kind.FILE, b"1": Kind.LINK, b"2": Kind.LINK,
    b"3": Kind.SPECIAL, b"4": Kind.SPECIAL, b"5": Kind.FOLDER, b"6": Kind.SPECIAL,
}  # fmt: skip


def members(read: ReadAt, start: int, end: int) -> Iterator[Member]:
    """Members between two offsets, up to the end-of-archive mark if there is one.

    Args:
        read: Gives bytes.
        start: Where a header begins.
        end: Nothing at or beyond this offset belongs to a member.

    Yields:
        Members in the order of the file.

    Raises:
        TarError: The bytes are not what they should be.
    """
    offset = began = start
    name: bytes | None = None
    size: int | None = None
    while offset < end:
        block = read(offset, BLOCK)
        if len(block) < BLOCK:
            raise TarError(f"it ends within a header, at byte {offset}")
        if block == _ZEROS:
            if name is not None or size is not None:
                raise TarError(f"an extended header at byte {began} belongs to nothing")
            return
        _require_checksum(block, offset)
        kind, written = block[156:157], _number(block[124:136], offset)
        offset += BLOCK
        if kind in b"xgLK":
            payload = _extension(read, offset, written, end)
            offset += -(-written // BLOCK) * BLOCK
            if kind == b"L":
                name = payload.rstrip(b"\0")
            elif kind == b"x":
                name, size = _pax(payload, name, size)
            elif kind == b"g" and _pax(payload, None, None) != (None, None):
                raise TarError("a global header gives all members one name or size")
            continue
        member = _member(block, began, offset, name, written if size is None else size)
        if member.end > end:
            raise TarError(f"it ends within {_shown(member.name)}")
        yield member
        offset = began = member.end
        name = size = None
    if began != offset:
        raise TarError(f"an extended header at byte {began} belongs to nothing")


def plain_files(span: bytes, prefix: bytes) -> dict[bytes, tuple[int, int]] | None:
    """The quick way through a span that holds nothing but plain files of one folder.

    Args:
        span: Headers and bytes of members, whole ones.
        prefix: What their names begin with.

    Returns:
        Offset in the span and size by the rest of the name; None where anything at all is
        not plain, so that ``members`` must look.
    """
    found: dict[bytes, tuple[int, int]] = {}
    offset, end, length = 0, len(span), len(prefix)
    while offset < end:
        if end - offset < BLOCK:
            return None
        name, digits, field, kind, more = _FIELDS.unpack_from(span, offset)
        name = name.partition(b"\0")[0]
        plain = kind == b"0" and not more and not digits[11] and field[6:] == _CHECKSUM_END
        if not plain or name[:length] != prefix:
            return None
        name = name[length:]
        try:
            size, wanted = int(digits[:11], 8), int(field[:6], 8)
        except ValueError:
            return None
        # See _require_checksum.
        total = (zlib.adler32(span[offset : offset + BLOCK]) & 0xFFFF) - 1 - sum(field) + 8 * 0x20
        if (total - wanted) % _ADLER or b"/" in name or size < 0 or name in found:
            return None
        found[name] = offset + BLOCK, size
        offset += BLOCK + -(-size // BLOCK) * BLOCK
    return found if offset == end else None


def require_plain_end(read: ReadAt, offset: int, size: int) -> None:
    """Make sure that a tar file ends properly and hides nothing behind its end.

    Args:
        read: Gives bytes.
        offset: Where the end-of-archive mark should be, two blocks of zeros.
        size: Of the file, in bytes.

    Raises:
        TarError: It does not.
    """
    if size - offset < 2 * BLOCK:
        raise TarError("it is torn: the mark at its end is missing")
    while offset < size:
        chunk = read(offset, min(2**20, size - offset))
        if not chunk or chunk.strip(b"\0"):
            raise TarError(f"there is something behind its end, at byte {offset}")
        offset += len(chunk)


def _require_checksum(block: bytes, offset: int) -> None:
    field = block[_CHECKSUM]
    try:
        wanted = int(field.strip(b" \0") or b"x", 8)
    except ValueError:
        raise TarError(f"there is no header at byte {offset}") from None
    # The low half of Adler-32 is one more than the sum of the bytes: the quick way to a sum.
    total = (zlib.adler32(block) & 0xFFFF) - 1 - sum(field) + 8 * 0x20
    if (total - wanted) % _ADLER:
        raise TarError(f"there is no header at byte {offset}")


def _number(field: bytes, offset: int) -> int:
    """A number in octal digits, or in base 256 where it is too large for them."""
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise TarError(f"the header at byte {offset} has a negative size")
        return int.from_bytes(field[1:], "big")
    try:
        value = int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise TarError(f"the header at byte {offset} has no size") from None
    if value < 0:
        raise TarError(f"the header at byte {offset} has a negative size")
    return value


def _extension(read: ReadAt, offset: int, size: int, end: int) -> bytes:
    if size > MAX_EXTENSION_BYTES:
        raise TarError(f"the extended header at byte {offset} has {size} bytes")
    payload = read(offset, size) if offset + size <= end else b""
    if len(payload) < size:
        raise TarError(f"it ends within an extended header, at byte {offset}")
    return payload


def _pax(payload: bytes, name: bytes | None, size: int | None) -> tuple[bytes | None, int | None]:
    """Path and size from the records of a pax header."""
    position = 0
    while position < len(payload) and payload[position]:
        digits, blank, _ = payload[position : position + 20].partition(b" ")
        length = int(digits) if blank and digits.isdigit() else 0
        record = payload[position + len(digits) + 1 : position + length]
        key, equals, value = record.partition(b"=")
        if not equals or not record.endswith(b"\n") or position + length > len(payload):
            raise TarError("an extended header is no list of records")
        value = value[:-1]
        if key == b"path":
            name = value
        elif key == b"size":
            if not value.isdigit() or len(value) > 20:
                raise TarError("an extended header has no size")
            size = int(value)
        elif key.startswith(b"GNU.sparse."):
            raise TarError("it holds sparse files")
        position += length
    return name, size


def _member(block: bytes, start: int, data: int, name: bytes | None, size: int) -> Member:
    if name is None:
        name = block[:100].partition(b"\0")[0]
        # GNU tar keeps times where POSIX has the prefix.
        if block[257:263] == b"ustar\0" and block[345]:
            name = block[345:500].partition(b"\0")[0] + b"/" + name
    flag = block[156:157]
    kind = _KINDS.get(flag)
    if kind is None:
        what = "sparse files" if flag == b"S" else f"members of type {flag!r}"
        raise TarError(f"it holds {what} ({_shown(name)})")
    if kind is Kind.FILE and name.endswith(b"/"):
        kind = Kind.FOLDER
    if kind is not Kind.FILE:
        if size and kind is Kind.LINK:
            raise TarError(f"the link {_shown(name)} has bytes of its own")
        size = 0
    if b"\0" in name:
        raise TarError(f"a name holds a zero byte: {_shown(name)}")
    return Member(_plain(name) if name[:1] in b"./" or b"//" in name or b"/." in name else name,
                  kind, start, data, size)  # fmt: skip


def _plain(name: bytes) -> bytes:
    """A name without ``.`` and empty steps."""
    if name.startswith(b"/"):
        raise TarError(f"it holds an absolute path: {_shown(name)}")
    steps = name.split(b"/")
    if b".." in steps:
        raise TarError(f"it holds a path that leaves its folder: {_shown(name)}")
    return b"/".join(step for step in steps if step not in {b"", b"."})


def _shown(name: bytes) -> str:
    text = name.decode("utf-8", "backslashreplace")
    return text if len(text) <= 200 else text[:199] + "…"
