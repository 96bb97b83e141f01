"""What changed in an archive since its plan was frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.archive import (
    ArchiveRoot,
    CardFiles,
    FileStamp,
    ListingChangedError,
    read_card,
    relative_path,
    stamp_card,
)
from vin_batch.archive.names import order_key
from vin_batch.errors import ArchiveError, ChangedUnderRunError
from vin_batch.records import BoxIssue, CardRef

MAX_EXAMPLES: Final = 5
CONTENT_DIGEST_BYTES: Final = 8
STAMP_DIGEST_BYTES: Final = 8
ADVICE: Final = (
    "The readings so far stay as they are. Put the archive back as it was and give the same "
    "command, or read the archive as it is now into a new RUN_DIR."
)


@dataclass(slots=True)
class Changes:
    """Cards that differ between plan and archive.

    Attributes:
        counts: How many, by kind of difference.
        examples: The first few of each.
        remark: What may explain them.
    """

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    remark: str = ""

    def note(self, kind: str, card_id: str) -> None:
        """Count one difference."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        shown = self.examples.setdefault(kind, [])
        if len(shown) < MAX_EXAMPLES:
            shown.append(card_id)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def describe(self) -> str:
        """One line for people, e.g. ``2 cards added (a, b); 1 card removed (c)``."""
        pieces = []
        for kind, count in self.counts.items():
            shown = ", ".join(self.examples[kind]) + (", …" if count > MAX_EXAMPLES else "")
            pieces.append(f"{count} card{'s' * (count != 1)} {kind} ({shown})")
        return "; ".join(pieces + [self.remark] * bool(self.remark))

    def raise_if_any(self, advice: str = ADVICE) -> None:
        """Stop the run over them.

        Raises:
            ChangedUnderRunError: There are any.
        """
        if self:
            raise ChangedUnderRunError(
                f"the archive changed under the run: {self.describe()}", advice
            )


def compare_listings(planned: Iterable[CardRef], found: Iterable[CardRef]) -> Changes:
    """Compare a plan with a new walk, holding one card of each in memory.

    Args:
        planned: Cards of the plan, in the order of the walk.
        found: Cards of the walk.
    """
    changes = Changes()
    old, new = iter(planned), iter(found)
    left, right = next(old, None), next(new, None)
    while left is not None or right is not None:
        if left == right:
            left, right = next(old, None), next(new, None)
        elif right is None or (left is not None and _key(left) < _key(right)):
            assert left is not None
            changes.note("removed", left.card_id)
            left = next(old, None)
        elif left is None or _key(right) < _key(left):
            changes.note("added", right.card_id)
            right = next(new, None)
        else:
            moved = left.digest == right.digest
            changes.note("in another place" if moved else "with other files", left.card_id)
            left, right = next(old, None), next(new, None)
    return changes


def stamps_digest(cards: Iterable[Sequence[FileStamp | None]]) -> str:
    """Digest over names, sizes and times of the box files of a shard, 32 hex digits."""
    hasher = hashlib.blake2b(digest_size=16)
    for stamps in cards:
        hasher.update(_stamps_text(stamps) + b"/")
    return hasher.hexdigest()


def card_stamps_digest(stamps: Sequence[FileStamp | None]) -> bytes:
    """Digest over names, sizes and times of the box files of one card, 8 bytes."""
    return hashlib.blake2b(_stamps_text(stamps), digest_size=STAMP_DIGEST_BYTES).digest()


def _stamps_text(stamps: Sequence[FileStamp | None]) -> bytes:
    return b"".join(
        b"-"
        if stamp is None
        else b"%d:%d:%b\0%b" % (stamp.size, stamp.mtime_ns, stamp.name, stamp.tag)
        for stamp in stamps
    )


def content_digest(files: CardFiles) -> NDArray[np.uint8]:
    """Digest over names, issues and bytes of the box files of a card, ``uint8[8]``."""
    hasher = hashlib.blake2b(digest_size=CONTENT_DIGEST_BYTES)
    for box in files.boxes:
        name = box.stamp.name if box.stamp else b""
        hasher.update(b"%d:%d:%d:" % (len(name), len(box.data), box.issue))
        hasher.update(name)
        hasher.update(box.data)
    return np.frombuffer(hasher.digest(), dtype=np.uint8)


def current_stamps(root: ArchiveRoot, cards: Iterable[CardRef]) -> str:
    """``stamps_digest`` of a shard as it lies in the archive now.

    Raises:
        ListingChangedError: Files were added, removed or renamed.
    """
    return stamps_digest(stamp_card(root, card) for card in cards)


def changed_contents(
    root: ArchiveRoot, cards: Iterable[CardRef], digests: NDArray[np.uint8]
) -> Iterator[str]:
    """Read a finished shard again and name the cards whose bytes are not those read before.

    Args:
        root: The archive.
        cards: ``n`` cards of the shard.
        digests: ``uint8[n, 8]`` of ``content_digest``, from the receipt. Cards with zeros
            were not read, so that nobody can tell.

    Yields:
        Ids of changed cards.

    Raises:
        ArchiveError: The system does not give the bytes, so that nobody can tell.
    """
    for card, digest in zip(cards, digests, strict=True):
        if not digest.any():
            continue
        try:
            files = read_card(root, card)
        except ListingChangedError:
            yield card.card_id
            continue
        if not np.array_equal(content_digest(files), digest):
            _refuse_unreadable(card, files)
            yield card.card_id


def _refuse_unreadable(card: CardRef, files: CardFiles) -> None:
    if any(box.issue is BoxIssue.UNREADABLE_FILE for box in files.boxes):
        raise ArchiveError(
            f"card {card.card_id} was read and cannot be read any more",
            "Check disk, mount and permissions; the same command then goes on.",
        )


def _key(card: CardRef) -> tuple[bytes, ...]:
    return order_key(relative_path(card))
