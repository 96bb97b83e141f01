"""Looking at the archive for the rules of the night: the walk, times, markers, contents."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vin_batch.archive import (
    ArchiveRoot,
    FileStamp,
    ListingChangedError,
    There,
    WalkTotals,
    changed_ns,
    holds,
    read_card,
    stamp_listed,
    walk_folders,
)
from vin_batch.archive.names import card_id_of, order_key
from vin_batch.batch.changes import card_stamps_digest, content_digest
from vin_batch.nightly.selection import Found
from vin_batch.records import CardRef


def clock() -> int:
    """The time in nanoseconds since 1970."""
    return time.time_ns()


@dataclass(frozen=True, slots=True)
class Settling:
    """How to tell that a card is not being written any more.

    Attributes:
        seconds: Its folder and files must be untouched for so long; 0 for no such rule.
        complete_marker: A file that must be in the folder; None for no such rule.
        busy_marker: A file that must not be there; None for no such rule.
        now: The time in nanoseconds since 1970.
    """

    seconds: float
    complete_marker: bytes | None = None
    busy_marker: bytes | None = None
    now: Callable[[], int] = clock

    def is_quiet(self, newest_ns: int) -> bool:
        """Tell whether a time of the archive is far enough from now.

        A time that lies as far in the future counts as quiet, too: no writer of tonight
        left it, but a wrong clock, and the card must not wait until that clock is right.

        Args:
            newest_ns: Latest modification, nanoseconds since 1970.
        """
        return abs(self.now() - newest_ns) >= self.seconds * 1e9


class CardLook:
    """Answers questions about one card that was walked; see ``selection.Look``.

    Args:
        root: The archive.
        relative: Path of the card below it.
        there: Its folder, or its place in a pack.
        ref: The card.
        settling: When it counts as complete.
    """

    __slots__ = ("_ref", "_relative", "_root", "_settling", "_stamps", "_there")

    def __init__(
        self, root: ArchiveRoot, relative: bytes, there: There, ref: CardRef, settling: Settling
    ) -> None:
        self._root = root
        self._relative = relative
        self._there = there
        self._ref = ref
        self._settling = settling
        self._stamps: tuple[FileStamp | None, ...] | None = None

    def settled(self) -> bool:
        """Tell whether nobody seems to be writing the card.

        Markers are for folders; a pack has its name only when it is whole.
        """
        rule = self._settling
        if rule.complete_marker and self._has(rule.complete_marker) is False:
            return False
        if rule.busy_marker and self._has(rule.busy_marker):
            return False
        if not rule.seconds:
            return True
        times = [stamp.mtime_ns for stamp in self._seen() if stamp is not None]
        changed = changed_ns(self._root, self._relative, self._there)
        if changed is not None:
            times.append(changed)
        return all(map(rule.is_quiet, times))

    def stamps(self) -> bytes:
        """Digest over names, sizes and times of the box files, 8 bytes."""
        return card_stamps_digest(self._seen())

    def contents(self) -> bytes:
        """Digest over names and bytes of the box files, 8 bytes; empty if the card moved."""
        try:
            return content_digest(read_card(self._root, self._ref)).tobytes()
        except ListingChangedError:
            return b""

    def _seen(self) -> tuple[FileStamp | None, ...]:
        if self._stamps is None:
            self._stamps = stamp_listed(self._root, self._relative, self._there)
        return self._stamps

    def _has(self, name: bytes) -> bool | None:
        return holds(self._root, self._relative, self._there, name)


class NoLook:
    """Stands for a folder that could not be listed: there is nothing to ask."""

    def settled(self) -> bool:
        """Never."""
        return False

    def stamps(self) -> bytes:
        """Nothing."""
        return b""

    def contents(self) -> bytes:
        """Nothing."""
        return b""


_NO_LOOK = NoLook()


def find(
    root: ArchiveRoot, totals: WalkTotals, settling: Settling, check: Callable[[], None]
) -> Iterator[Found]:
    """Walk the archive.

    Args:
        root: The archive.
        totals: Filled as the walk proceeds.
        settling: When a card counts as complete.
        check: Called before every folder; may raise to stop.

    Yields:
        Cards, and folders that could not be listed, in the order of the walk.
    """
    for relative, there in walk_folders(root, totals):
        check()
        if there is None:
            yield Found(order_key(relative), card_id_of(relative), relative, None, _NO_LOOK)
        elif (ref := there.card(relative)) is not None:
            look = CardLook(root, relative, there, ref, settling)
            yield Found(order_key(relative), ref.card_id, ref.path, ref.digest, look, ref.place)
