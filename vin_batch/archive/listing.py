"""What one folder of a file system holds; no file is opened."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from vin_batch.archive.beneath import opened_folder
from vin_batch.archive.names import (
    is_hidden,
    is_image_name,
    is_pack_index,
    is_pack_name,
    listing_digest,
    ref_of,
    visible_image,
)
from vin_batch.archive.roots import FolderRoot
from vin_batch.records import CardRef


@dataclass(slots=True)
class Listing:
    """What one folder holds, hidden things and passed-by things only counted.

    Attributes:
        images: Names of image files.
        links: Paths below the real root of the images behind those names that are links.
        folders: Names of sub-folders.
        ignored_files: Other files; packs and their indexes are none of them.
        hidden_folders: Folders whose name starts with a dot.
        links_skipped: Symbolic links that are broken, lead to folders or leave the archive.
        packs: Names of tar files.
        indexes: Names of the indexes of tar files.
        irregular: Images that were no regular files when the folder was listed.
    """

    images: list[bytes]
    links: dict[bytes, bytes]
    folders: list[bytes]
    ignored_files: int = 0
    hidden_folders: int = 0
    links_skipped: int = 0
    packs: tuple[bytes, ...] = ()
    indexes: tuple[bytes, ...] = ()
    irregular: frozenset[bytes] = frozenset()

    def card(self, relative: bytes) -> CardRef | None:
        """The card that the folder is, if it holds images.

        Args:
            relative: Path of the folder below the archive root.
        """
        return ref_of(relative, listing_digest(self.images)) if self.images else None


def list_folder(root: FolderRoot, relative: bytes = b"") -> Listing:
    """List one folder; no file is opened and, links apart, none is looked up.

    Args:
        root: The archive.
        relative: Path of the folder below it.

    Raises:
        OSError: The folder cannot be listed completely, or is reached through a link.
    """
    with opened_folder(root.path, relative) as folder:
        return list_opened(folder, root, relative)


def list_opened(folder: int, root: FolderRoot, relative: bytes) -> Listing:
    """List a folder that is open for listing; see ``list_folder``."""
    listing = Listing([], {}, [])
    add_image = listing.images.append
    with os.scandir(folder) as entries:
        for entry in entries:
            name = visible_image(entry.name)
            if name is not None and entry.is_file(follow_symlinks=False):
                add_image(name)
            else:
                _sort_in(listing, entry, root, relative)
    return listing


def _sort_in(listing: Listing, entry: os.DirEntry[str], root: FolderRoot, relative: bytes) -> None:
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
        listing.irregular |= {name}
        listing.images.append(name)
    elif is_pack_name(name) and entry.is_file(follow_symlinks=False):
        listing.packs += (name,)
    elif is_pack_index(name):
        listing.indexes += (name,)
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
