"""One streaming, sorted pass over an archive of card folders."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from vin_batch.archive.beneath import opened_folder
from vin_batch.archive.names import (
    card_id_of,
    is_hidden,
    is_image_name,
    listing_digest,
    plain_bytes_of,
)
from vin_batch.errors import ArchiveError
from vin_batch.records import CardRef

MAX_EXAMPLES: Final = 20
"""Paths of unreadable folders that are kept by name; the rest are only counted."""
MAX_EXAMPLE_LENGTH: Final = 300
"""Characters of such a path that are kept, its end; a hostile one may have 100,000."""

DEVICE_ERRORS: Final = frozenset(
    (errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN,
     errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EREMOTEIO, errno.ENOMEM, errno.EMFILE,
     errno.ENFILE)
)  # fmt: skip
"""Errors that say nothing about a folder, but that the disk, the network or the machine is not
well: what is found then is not the archive."""


@dataclass(frozen=True, slots=True)
class ArchiveRoot:
    """Where an archive lies; small enough to travel to every worker.

    Attributes:
        path: The root as given, absolute.
        real: The root with every symbolic link resolved.
    """

    path: bytes
    real: bytes

    def join(self, relative: bytes) -> bytes:
        """Path of something below the root; the root itself for an empty path."""
        return self.path + b"/" + relative if relative else self.path


@dataclass(slots=True)
class WalkTotals:
    """What a walk passed by; filled while it runs.

    Attributes:
        cards: Card folders found.
        image_files: Image files in them.
        ignored_files: Other files, hidden ones among them.
        empty_folders: Folders that hold neither images nor folders.
        hidden_folders: Folders whose name starts with a dot; not walked.
        links_skipped: Symbolic links that are broken, lead to folders or leave the archive.
        unreadable_folders: Folders that could not be listed: their cards are missing.
        unreadable_examples: The first of these, with the reason.
        device_errors: Those among them that the disk or the network is to blame for.
    """

    cards: int = 0
    image_files: int = 0
    ignored_files: int = 0
    empty_folders: int = 0
    hidden_folders: int = 0
    links_skipped: int = 0
    unreadable_folders: int = 0
    unreadable_examples: list[str] = field(default_factory=list)
    device_errors: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The totals for JSON."""
        return asdict(self)


@dataclass(slots=True)
class Listing:
    """What one folder holds, hidden things and passed-by things only counted.

    Attributes:
        images: Names of image files.
        links: Paths below the real root of the images behind those names that are links.
        folders: Names of sub-folders.
    """

    images: list[bytes]
    links: dict[bytes, bytes]
    folders: list[bytes]
    ignored_files: int = 0
    hidden_folders: int = 0
    links_skipped: int = 0


def open_archive(path: str | os.PathLike[str]) -> ArchiveRoot:
    """Check that an archive root is a folder that can be listed.

    Raises:
        ArchiveError: It is not.
    """
    absolute = os.path.abspath(os.fsencode(path))  # noqa: PTH100 - bytes, links kept
    advice = "Check the path, that the archive is mounted, and that you may list it."
    try:
        with os.scandir(absolute):
            pass
    except FileNotFoundError:
        raise ArchiveError(f"archive {os.fspath(path)} does not exist", advice) from None
    except NotADirectoryError:
        raise ArchiveError(f"archive {os.fspath(path)} is not a folder", advice) from None
    except OSError as error:
        raise ArchiveError(f"cannot list archive {os.fspath(path)}: {error}", advice) from error
    return ArchiveRoot(absolute, os.path.realpath(absolute))


def walk(root: ArchiveRoot, totals: WalkTotals | None = None) -> Iterator[CardRef]:
    """Find every card, depth first, names in byte order.

    Holds the sub-folder names along one path at a time, never a list of all cards. A folder
    that cannot be listed is counted, with its path, and the walk goes on.

    Args:
        root: The archive.
        totals: Filled as the walk proceeds.

    Yields:
        Cards, in an order that depends on the names alone.
    """
    totals = WalkTotals() if totals is None else totals
    for relative, listing in walk_folders(root, totals):
        if listing is not None and listing.images:
            yield card_ref(relative, listing.images)


def walk_folders(root: ArchiveRoot, totals: WalkTotals) -> Iterator[tuple[bytes, Listing | None]]:
    """Visit every folder, in the order of ``walk``.

    Args:
        root: The archive.
        totals: Filled as the walk proceeds.

    Yields:
        Path below the root, and what the folder holds; None where it could not be listed.
    """
    stack: list[Iterator[bytes]] = [iter((b"",))]
    while stack:
        relative = next(stack[-1], None)
        if relative is None:
            stack.pop()
            continue
        try:
            listing = list_folder(root, relative)
        except OSError as error:
            _note_unreadable(totals, relative, error)
            yield relative, None
            continue
        _count(totals, listing)
        yield relative, listing
        if listing.folders:
            stack.append(_children(relative, sorted(listing.folders)))


def card_ref(relative: bytes, images: list[bytes]) -> CardRef:
    """Describe the card in a folder."""
    card_id = card_id_of(relative)
    literal = plain_bytes_of(card_id) == relative
    return CardRef(card_id, None if literal else relative, listing_digest(images))


def relative_path(ref: CardRef) -> bytes:
    """Path of a card below the archive root, as the file system spells it."""
    return plain_bytes_of(ref.card_id) if ref.path is None else ref.path


def list_folder(root: ArchiveRoot, relative: bytes = b"") -> Listing:
    """List one folder; no file is opened and, links apart, none is looked up.

    Args:
        root: The archive.
        relative: Path of the folder below it.

    Raises:
        OSError: The folder cannot be listed completely, or is reached through a link.
    """
    with opened_folder(root.path, relative) as folder:
        return list_opened(folder, root, relative)


def list_opened(folder: int, root: ArchiveRoot, relative: bytes) -> Listing:
    """List a folder that is open for listing; see ``list_folder``."""
    listing = Listing([], {}, [])
    with os.scandir(folder) as entries:
        for entry in entries:
            _sort_in(listing, entry, root, relative)
    return listing


def _sort_in(listing: Listing, entry: os.DirEntry[str], root: ArchiveRoot, relative: bytes) -> None:
    name = os.fsencode(entry.name)
    if entry.is_symlink():
        target = None
        if is_image_name(name) and not is_hidden(name):
            target = _target_inside(root.join(relative) + b"/" + name, root.real)
        if target is None:
            listing.links_skipped += 1
            return
        listing.links[name] = target
        listing.images.append(name)
    elif entry.is_dir(follow_symlinks=False):
        if is_hidden(name):
            listing.hidden_folders += 1
        else:
            listing.folders.append(name)
    elif is_image_name(name) and not is_hidden(name):
        listing.images.append(name)
    else:
        listing.ignored_files += 1


def _target_inside(link: bytes, real_root: bytes) -> bytes | None:
    """Path below the real root of the regular file that a link leads to."""
    prefix = real_root.rstrip(b"/") + b"/"
    target = os.path.realpath(link)
    if not target.startswith(prefix):
        return None
    try:
        return target.removeprefix(prefix) if stat.S_ISREG(os.lstat(target).st_mode) else None
    except OSError:
        return None


def _children(relative: bytes, names: list[bytes]) -> Iterator[bytes]:
    prefix = relative + b"/" if relative else b""
    return (prefix + name for name in names)


def _count(totals: WalkTotals, listing: Listing) -> None:
    totals.cards += bool(listing.images)
    totals.image_files += len(listing.images)
    totals.ignored_files += listing.ignored_files
    totals.hidden_folders += listing.hidden_folders
    totals.links_skipped += listing.links_skipped
    totals.empty_folders += not (listing.images or listing.folders)


def _note_unreadable(totals: WalkTotals, relative: bytes, error: OSError) -> None:
    totals.unreadable_folders += 1
    totals.device_errors += error.errno in DEVICE_ERRORS
    if len(totals.unreadable_examples) < MAX_EXAMPLES:
        totals.unreadable_examples.append(f"{_shortened(card_id_of(relative))}: {error.strerror}")


def _shortened(path: str) -> str:
    return path if len(path) <= MAX_EXAMPLE_LENGTH else "…" + path[1 - MAX_EXAMPLE_LENGTH :]
