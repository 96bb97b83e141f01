"""``vin-batch pack``: an archive of folders into packs, tar by tar, each with its index.

A pack takes its name when it is whole and on the disk, its index after it. What has a valid
index is done: the same command goes on with the rest.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from vin_batch.archive import FolderRoot, WalkTotals, walk
from vin_batch.archive.names import INDEX_SUFFIX, card_id_of, relative_path
from vin_batch.archive.pack_index import (
    IndexRow,
    PackFacts,
    dump_index,
    index_members,
    parse_facts,
    parse_rows,
)
from vin_batch.archive.packing import PackWriter, opened_card
from vin_batch.archive.tar_members import TarError
from vin_batch.archive.windows import windowed
from vin_batch.batch.atomic import atomic_file, disk_errors, make_folder, sweep, write_atomic
from vin_batch.batch.resume import refuse_device_errors
from vin_batch.errors import ArchiveError, ChangedUnderRunError, LockedError, UsageError
from vin_batch.records import CardRef

logger = logging.getLogger(__name__)

DEFAULT_CARDS: Final = 10_000
"""Cards per pack: some 400 MB of 48-pixel crops, a few minutes of work to lose."""
MAX_EXAMPLES: Final = 20
CHUNK_BYTES: Final = 2**20
_NAME: Final = re.compile(r"cards-[0-9]{5,}\.tar")


@dataclass(slots=True)
class PackOutcome:
    """What became of an archive.

    Attributes:
        cards: Cards in all packs.
        packs: Packs there are now.
        kept: Packs that were there already.
        tar_bytes: Their size together.
        unreadable: Files that nobody gave.
        examples: The first of them.
        lost: Card folders that could not be listed any more; they are in no pack.
        totals: What the walk passed by.
    """

    cards: int = 0
    packs: int = 0
    kept: int = 0
    tar_bytes: int = 0
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    totals: WalkTotals = field(default_factory=WalkTotals)

    @property
    def is_complete(self) -> bool:
        """True where everything could be read."""
        return not (self.unreadable or self.lost or self.totals.unreadable_folders)


def pack_archive(
    root: FolderRoot, out: Path, cards_per_pack: int, tell: Callable[[int], None]
) -> PackOutcome:
    """Write packs of all cards of an archive of folders.

    Args:
        root: The archive.
        out: Folder of the packs; made if it is missing.
        cards_per_pack: The last pack may have fewer.
        tell: Called with the number of cards after some of them.

    Returns:
        What came of it.

    Raises:
        UsageError: The folder holds something else, or lies in the archive.
        ArchiveError: The archive holds no card or packs, or the disk under it fails.
        ChangedUnderRunError: A finished pack holds other cards than it would hold now.
        LockedError: Another process packs into the folder.
        DiskError: The system refused to write.
    """
    _prepare(root, out)
    outcome = PackOutcome()
    with _locked(out):
        sweep([out])
        cards = _folders_only(walk(root, outcome.totals))
        while group := list(islice(cards, cards_per_pack)):
            path = out / f"cards-{outcome.packs:05d}.tar"
            _one_pack(root, path, group, outcome, tell)
        _refuse_leftovers(out, outcome.packs)
    refuse_device_errors(outcome.totals)
    if not outcome.packs:
        raise ArchiveError(
            f"archive {os.fsdecode(root.path)} holds no card",
            "A card is a folder that holds image files (png, jpg, tif, bmp, webp).",
        )
    return outcome


def _prepare(root: FolderRoot, out: Path) -> None:
    real, archive = out.resolve(), Path(os.fsdecode(root.real))
    if real == archive or archive in real.parents:
        raise UsageError(f"OUT {out} lies inside the archive", "Every card would be there twice.")
    make_folder(out)
    with disk_errors("read", out):
        names = sorted(path.name for path in out.iterdir())
    own = [name for name in names if _NAME.fullmatch(name.removesuffix(INDEX_SUFFIX.decode()))]
    foreign = [name for name in names if name not in own and not name.endswith(".tmp")]
    if foreign:
        raise UsageError(
            f"{out} holds something else ({foreign[0]})", "Give a new or empty folder."
        )


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"another process packs into {out}", "Wait for it.") from None
        yield
    finally:
        os.close(descriptor)


def _folders_only(cards: Iterable[CardRef]) -> Iterator[CardRef]:
    for card in cards:
        if card.place is not None:
            raise UsageError(
                f"the archive holds packs already ({card_id_of(card.place.pack)})",
                "Give an archive of folders, or move the packs out of it.",
            )
        yield card


def _one_pack(
    root: FolderRoot,
    path: Path,
    cards: list[CardRef],
    outcome: PackOutcome,
    tell: Callable[[int], None],
) -> None:
    index = index_path(path)
    facts = _finished(path)
    if facts is not None and facts.unreadable:
        logger.info("making %s again: %d files could not be read", path.name, facts.unreadable)
        facts = None
    if facts is not None:
        _require_same(root, path, cards)
        outcome.kept += 1
        tell(len(cards))
    else:
        with disk_errors("remove", index):
            index.unlink(missing_ok=True)
        facts = _write(root, path, cards, outcome, tell)
    outcome.packs += 1
    outcome.cards += facts.cards
    outcome.tar_bytes += facts.tar_bytes
    outcome.unreadable += facts.unreadable


def _write(
    root: FolderRoot,
    path: Path,
    cards: list[CardRef],
    outcome: PackOutcome,
    tell: Callable[[int], None],
) -> PackFacts:
    with atomic_file(path, "pack") as file:
        writer = PackWriter(file)
        for number, card in enumerate(cards, 1):
            _add(writer, root, card, outcome)
            if number % 100 == 0:
                tell(100)
        size = writer.finish()
    tell(len(cards) % 100)
    with disk_errors("read", path):
        digest = _sha256(path)
    text = dump_index(writer.rows, size, digest, len(writer.unreadable))
    write_atomic(index_path(path), text, "pack_index")
    for name in writer.unreadable[: MAX_EXAMPLES - len(outcome.examples)]:
        outcome.examples.append(name)
    logger.debug("%s: %d cards, %d bytes", path.name, len(writer.rows), size)
    return parse_facts(text.partition(b"\n")[0])


def _add(writer: PackWriter, root: FolderRoot, card: CardRef, outcome: PackOutcome) -> None:
    opening = opened_card(root, card)
    try:
        opened = opening.__enter__()
    except OSError as error:
        outcome.lost.append(card.card_id)
        logger.warning("card %s is in no pack: %s", card.card_id, error.strerror)
        return
    try:
        writer.add(opened)
    finally:
        opening.__exit__(None, None, None)


def index_path(pack: Path) -> Path:
    """Where the index of a pack lies."""
    return pack.with_name(pack.name + INDEX_SUFFIX.decode())


def _finished(path: Path) -> PackFacts | None:
    """What the index of a finished pack says; None where there is none that holds."""
    try:
        with index_path(path).open("rb") as file:
            facts = parse_facts(file.readline())
        return facts if path.stat().st_size == facts.tar_bytes else None
    except FileNotFoundError:
        return None
    except TarError as error:
        logger.warning("%s is made again: %s", path.name, error)
        return None


def _require_same(root: FolderRoot, path: Path, cards: list[CardRef]) -> None:
    """Refuse to keep, or to replace, a finished pack of other cards or other files."""
    with disk_errors("read", index_path(path)):
        text = index_path(path).read_bytes()
    for row, card in _zipped(parse_rows(text), cards):
        if row is None or card is None or not _is_same(root, row, card):
            which = card.card_id if card is not None else card_id_of(row.path) if row else ""
            raise ChangedUnderRunError(
                f"{path} does not hold what it would hold now, from card {which} on",
                "Give a new folder, or remove this pack and those after it to have them made "
                "again. Packs are never replaced: their folders may be gone by then.",
            )


def _zipped(
    rows: Iterator[IndexRow], cards: list[CardRef]
) -> Iterator[tuple[IndexRow | None, CardRef | None]]:
    left = iter(cards)
    for row in rows:
        yield row, next(left, None)
    for card in left:
        yield None, card


def _is_same(root: FolderRoot, row: IndexRow, card: CardRef) -> bool:
    if row.path != relative_path(card):
        return False
    try:
        with opened_card(root, card) as opened:
            return (row.listing, row.source) == (opened.listing, opened.source)
    except OSError:
        return False


def _refuse_leftovers(out: Path, packs: int) -> None:
    known = {f"cards-{number:05d}.tar" for number in range(packs)}
    more = sorted(path.name for path in out.glob("cards-*.tar") if path.name not in known)
    if more:
        raise ChangedUnderRunError(
            f"{out} holds packs of cards that the archive has no more ({more[0]})",
            "Remove them if they are not wanted, or give a new folder.",
        )


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def check_packs(folder: Path, tell: Callable[[int], None]) -> Iterator[tuple[Path, str, bool]]:
    """Compare every pack with its index, byte for byte.

    Args:
        folder: Folder of the packs.
        tell: Called with the number of cards of every pack.

    Yields:
        The pack, what is wrong with it, and whether it is damaged and not only incomplete.

    Raises:
        DiskError: The folder cannot be read.
        UsageError: It holds no pack.
    """
    with disk_errors("read", folder):
        packs = sorted(path for path in folder.iterdir() if path.name.endswith(".tar"))
        indexes = {path.name for path in folder.iterdir()}
    if not packs:
        raise UsageError(f"{folder} holds no pack", "Give the folder that `vin-batch pack` wrote.")
    for path in packs:
        if index_path(path).name not in indexes:
            yield path, "it has no index: `vin-batch pack` did not finish it", True
            continue
        try:
            facts = _checked(path)
        except (TarError, OSError) as error:
            yield path, str(error), True
            continue
        if facts.unreadable:
            yield path, f"{facts.unreadable} files could not be read when it was made", False
        tell(facts.cards)


def _checked(path: Path) -> PackFacts:
    text = index_path(path).read_bytes()
    facts = parse_facts(text.partition(b"\n")[0])
    size = path.stat().st_size
    if size != facts.tar_bytes:
        raise TarError(f"it has {size} bytes, and its index knows {facts.tar_bytes}")
    if _sha256(path) != facts.tar_sha256:
        raise TarError("its bytes are not those that were written")
    rows = [row._replace(source="") for row in parse_rows(text)]
    with path.open("rb") as file:
        found = index_members(windowed(_reader(file.fileno()), size), size).rows
    if rows != found:
        raise TarError("its index does not say what it holds")
    return facts


def _reader(descriptor: int) -> Callable[[int, int], bytes]:
    return lambda offset, length: os.pread(descriptor, length, offset)
