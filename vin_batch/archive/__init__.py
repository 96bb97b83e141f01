"""Finding and reading cards: the only room that knows how an archive is laid out."""

from vin_batch.archive.reader import (
    BoxFile,
    CardFiles,
    FileStamp,
    ListingChangedError,
    read_card,
    stamp_card,
)
from vin_batch.archive.walk import (
    ArchiveRoot,
    WalkTotals,
    card_ref,
    list_folder,
    open_archive,
    relative_path,
    walk,
)

__all__ = [
    "ArchiveRoot",
    "BoxFile",
    "CardFiles",
    "FileStamp",
    "ListingChangedError",
    "WalkTotals",
    "card_ref",
    "list_folder",
    "open_archive",
    "read_card",
    "relative_path",
    "stamp_card",
    "walk",
]
