"""What becomes of each card tonight: a merge of the walk with the catalogue. Pure rules.

A card that was walked is read tonight for one reason, or waits, or is known. A card that is
known and was not walked is missing, or lies where the archive could not be listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from vin_batch.nightly.catalogue import Key, key_of
from vin_batch.records import Place


class Fate(StrEnum):
    """What becomes of a card tonight. Values are keys of the night's summary."""

    NEW = "new"
    """Never read."""
    CHANGED = "changed"
    """Its files are not those that were read."""
    RETRY = "retry"
    """It could not be read for a cause that may have passed."""
    OLDER_MODEL = "older_model"
    """Another model, or another calibration of it, read it."""
    KNOWN = "known"
    """Read, and the same as then."""
    WAITING = "waiting"
    """New or changed, and perhaps still being written: left for another night."""
    MISSING = "missing"
    """Read once, and not in the archive now."""
    UNLISTED = "unlisted"
    """Read once, and in a folder that could not be listed tonight."""


SELECTED: Final = (Fate.NEW, Fate.CHANGED, Fate.RETRY, Fate.OLDER_MODEL)
"""Cards that are read, the most urgent first."""


class Look(Protocol):
    """What can be found out about a card that was walked; each answer costs system calls."""

    def settled(self) -> bool:
        """Tell whether nobody seems to be writing it."""
        ...

    def stamps(self) -> bytes:
        """Digest over names, sizes and times of its box files, 8 bytes."""
        ...

    def contents(self) -> bytes:
        """Digest over names and bytes of its box files, 8 bytes; empty if it moved away."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A card that was walked, or a folder that could not be listed.

    Attributes:
        key: Sort key.
        card_id: See ``CardRef``.
        path: See ``CardRef``.
        digest: Of its folder listing; None for a folder that could not be listed.
        look: For more questions about a card.
        place: See ``CardRef``.
    """

    key: Key
    card_id: str
    path: bytes | None
    digest: str | None
    look: Look
    place: Place | None = None


@dataclass(slots=True)
class KnownCard:
    """A card of the catalogue; what the night learns about it is noted here.

    Attributes:
        card_id: See ``CatalogueRow``, like all that are not listed here.
        is_dirty: Something was noted.
    """

    card_id: str
    path: bytes | None
    digest: str
    stamps: bytes | None
    contents: bytes | None
    run: str
    tries: int
    missing_since: str | None
    is_dirty: bool = False

    @property
    def key(self) -> Key:
        """Sort key."""
        return key_of(self.card_id, self.path)

    def note_stamps(self, stamps: bytes) -> None:
        """Remember new times of the same bytes."""
        self.stamps, self.is_dirty = stamps, True

    def note_missing(self, since: str | None) -> None:
        """Remember since when the card is not there, or that it is there."""
        if self.missing_since != since:
            self.missing_since, self.is_dirty = since, True


@dataclass(frozen=True, slots=True)
class Rules:
    """What is read again.

    Attributes:
        compare_stamps: Look at sizes and times of the files, and not at their names alone.
        older_runs: Runs whose readings were made by another reader than tonight's, if those
            are to be read again.
        retry_nights: Most nights in a row in which a failed card is tried once more.
    """

    compare_stamps: bool
    older_runs: frozenset[str]
    retry_nights: int


@dataclass(frozen=True, slots=True)
class Judged:
    """One card and its fate.

    Attributes:
        fate: What becomes of it.
        found: The card as it was walked.
        known: The card as it was known.
        was_present: It was known and in the archive the night before.
        returned: It was known and missing the night before, and is there again.
        touched: It has the same bytes under new times.
    """

    fate: Fate
    found: Found | None
    known: KnownCard | None
    was_present: bool = False
    returned: bool = False
    touched: bool = False


def judge(found: Iterable[Found], known: Iterable[KnownCard], rules: Rules) -> Iterator[Judged]:
    """Decide about every card, holding one of each side in memory.

    Args:
        found: What was walked, in order.
        known: The catalogue, in the same order. Notes are made on the cards before they are
            yielded; missing cards are left to the caller.
        rules: What is read again.

    Yields:
        Every walked card and every known card, once.
    """
    for walked, card, listed in _aligned(iter(found), iter(known)):
        was_present = card is not None and card.missing_since is None
        if walked is None:
            fate = Fate.MISSING if listed else Fate.UNLISTED
            yield Judged(fate, None, card, was_present)
        elif card is None:
            yield Judged(Fate.NEW if walked.look.settled() else Fate.WAITING, walked, None)
        else:
            card.note_missing(None)
            fate, touched = _of_both(walked, card, rules)
            yield Judged(fate, walked, card, was_present, not was_present, touched)


def _of_both(found: Found, known: KnownCard, rules: Rules) -> tuple[Fate, bool]:
    """Fate of a known card that was walked, and whether only its times are new."""
    touched = False
    if found.digest != known.digest:
        return Fate.CHANGED if found.look.settled() else Fate.WAITING, False
    if rules.compare_stamps:
        stamps = found.look.stamps()
        if stamps != known.stamps:
            if not found.look.settled():
                return Fate.WAITING, False
            if _other_contents(found.look, known):
                return Fate.CHANGED, False
            known.note_stamps(stamps)
            touched = True
    if 0 < known.tries <= rules.retry_nights:
        return Fate.RETRY, touched
    return Fate.OLDER_MODEL if known.run in rules.older_runs else Fate.KNOWN, touched


def _other_contents(look: Look, known: KnownCard) -> bool:
    if known.contents is not None:
        return look.contents() != known.contents
    # Nobody ever read it: the first times that are seen are the ones to compare with.
    return known.stamps is not None


def _aligned(
    found: Iterator[Found], known: Iterator[KnownCard]
) -> Iterator[tuple[Found | None, KnownCard | None, bool]]:
    """Pairs of the same card; the flag is False below a folder that could not be listed."""
    closed: Key | None = None
    walked, card = next(found, None), next(known, None)
    while walked is not None or card is not None:
        is_closed = walked is not None and walked.digest is None
        if is_closed and walked is not None and (card is None or card.key >= walked.key):
            # Known cards in it come next, and are not missing.
            closed = walked.key
            walked = next(found, None)
        elif walked is not None and card is not None and walked.card_id == card.card_id:
            yield walked, card, True
            walked, card = next(found, None), next(known, None)
        elif walked is None or (card is not None and card.key < walked.key):
            assert card is not None
            yield None, card, not _is_below(card.key, closed)
            card = next(known, None)
        else:
            yield walked, None, True
            walked = next(found, None)


def _is_below(key: Key, folder: Key | None) -> bool:
    return folder is not None and key[: len(folder)] == folder


def quotas(counts: Callable[[Fate], int], most: int | None) -> dict[Fate, int]:
    """Share a limit among the reasons, the most urgent first.

    Args:
        counts: Cards by reason.
        most: Cards that may be read tonight; None for all.

    Returns:
        Cards that are read by reason.
    """
    left = sum(map(counts, SELECTED)) if most is None else most
    shares = {}
    for fate in SELECTED:
        shares[fate] = min(counts(fate), left)
        left -= shares[fate]
    return shares
