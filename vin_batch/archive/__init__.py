"""Finding and reading cards: the only room that knows how an archive is laid out."""

from vin_batch.archive.card_files import (
    BoxFile,
    CardFiles,
    FileStamp,
    ListingChangedError,
)
from vin_batch.archive.listing import Listing, list_folder
from vin_batch.archive.names import ref_of, relative_path
from vin_batch.archive.packs import PackedCard
from vin_batch.archive.roots import ArchiveRoot, FolderRoot, open_archive, open_folders
from vin_batch.archive.totals import WalkTotals
from vin_batch.archive.url import ArchiveUrl
from vin_batch.archive.walk import (
    There,
    changed_ns,
    expect_cards,
    holds,
    read_card,
    stamp_card,
    stamp_listed,
    walk,
    walk_folders,
)

__all__ = [
    "ArchiveRoot",
    "ArchiveUrl",
    "BoxFile",
    "CardFiles",
    "FileStamp",
    "FolderRoot",
    "Listing",
    "ListingChangedError",
    "PackedCard",
    "There",
    "WalkTotals",
    "changed_ns",
    "expect_cards",
    "holds",
    "list_folder",
    "open_archive",
    "open_folders",
    "read_card",
    "ref_of",
    "relative_path",
    "stamp_card",
    "stamp_listed",
    "walk",
    "walk_folders",
]
