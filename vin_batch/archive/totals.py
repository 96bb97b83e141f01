"""What a walk passed by."""

from __future__ import annotations

import errno
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from vin_batch.archive.listing import Listing
from vin_batch.archive.names import card_id_of

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


@dataclass(slots=True)
class WalkTotals:
    """What a walk passed by; filled while it runs.

    Attributes:
        cards: Cards found.
        image_files: Image files in them.
        ignored_files: Other files, hidden ones among them.
        empty_folders: Folders that hold neither images nor folders nor packs.
        hidden_folders: Folders whose name starts with a dot; not walked.
        links_skipped: Symbolic links that are broken, lead to folders or leave the archive,
            and links in packs.
        unreadable_folders: Folders that could not be listed: their cards are missing.
        unreadable_examples: The first of these, with the reason.
        device_errors: Those among them that the disk or the network is to blame for.
        packs: Packs found.
        packed_cards: Cards found in them.
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
    packs: int = 0
    packed_cards: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The totals for JSON."""
        return asdict(self)

    def count(self, listing: Listing) -> None:
        """Count what a folder holds."""
        self.cards += bool(listing.images)
        self.image_files += len(listing.images)
        self.ignored_files += listing.ignored_files
        self.hidden_folders += listing.hidden_folders
        self.links_skipped += listing.links_skipped
        self.empty_folders += not (listing.images or listing.folders or listing.packs)

    def note_unreadable(self, relative: bytes, error: OSError) -> None:
        """Count a folder that could not be listed."""
        self.unreadable_folders += 1
        self.device_errors += error.errno in DEVICE_ERRORS
        if len(self.unreadable_examples) < MAX_EXAMPLES:
            reason = error.strerror or str(error)
            self.unreadable_examples.append(f"{_shortened(card_id_of(relative))}: {reason}")


def _shortened(path: str) -> str:
    return path if len(path) <= MAX_EXAMPLE_LENGTH else "…" + path[1 - MAX_EXAMPLE_LENGTH :]
