"""Finding and reading cards: the only room that knows how an archive is laid out."""

from vin_batch.archive.reader import (
    BoxFile,
    CardFiles,
    FileStamp,
    ListingChangedError,
    read_card,
    stamp_card,
    stamp_listed,
)
from vin_batch.archive.walk import (
    ArchiveRoot,
    Listing,
    WalkTotals,
    card_ref,
    list_folder,
    open_archive,
    relative_path,
    walk,
    walk_folders,
)

__all__ = [
    "ArchiveRoot",
    "BoxFile",
    "CardFiles",
    "FileStamp",
    "Listing",
    "ListingChangedError",
    "WalkTotals",
    "card_ref",
    "list_folder",
    "open_archive",
    "read_card",
    "relative_path",
    "stamp_card",
    "stamp_listed",
    "walk",
    "walk_folders",
]
