"""A worker's whole job: the cards of one shard to pixels, or to log-probabilities.

Never imports TensorFlow.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.archive import (
    ArchiveRoot,
    BoxFile,
    CardFiles,
    FileStamp,
    ListingChangedError,
    expect_cards,
    read_card,
)
from vin_batch.batch.answers import Answers, WorkerInference
from vin_batch.batch.changes import (
    CONTENT_DIGEST_BYTES,
    STAMP_DIGEST_BYTES,
    card_stamps_digest,
    content_digest,
    stamps_digest,
)
from vin_batch.batch.mark import NO_ROW
from vin_batch.errors import ModelError
from vin_batch.records import BoxIssue, CardPack, CardRef
from vin_batch.vin.alphabet import VIN_LENGTH

SIDE: Final = 28
"""Pixels; height and width of a box image, the format of the EMNIST data set."""

MAX_ERRORS: Final = 20

Prepare = Callable[[bytes], tuple[NDArray[np.uint8], BoxIssue]]
"""Turns the bytes of one file into ``uint8[28, 28]`` and an issue."""

Tell = Callable[[int], None]
"""Says which row of its task a worker is on; see ``mark``."""

Stamps = tuple[FileStamp | None, ...]
"""Sizes and times of the box files of one card."""


@dataclass(frozen=True, slots=True)
class ShardTask:
    """What a worker is told: small, so that it travels fast.

    Attributes:
        root: The archive.
        shard: Number in the plan.
        cards: Its cards, in plan order.
        prepare: How file bytes become pixels; a function that workers can import.
        suspect: The cards are a part of a shard that was lost; nothing else is in flight.
        keep_changed: Give a card whose folder changed an issue in every box, instead of
            giving the shard up.
        inference: How the worker classifies what it packed; None where it sends the pixels.
    """

    root: ArchiveRoot
    shard: int
    cards: tuple[CardRef, ...]
    prepare: Prepare
    suspect: bool = False
    keep_changed: bool = False
    inference: WorkerInference | None = None

    @property
    def is_last_resort(self) -> bool:
        """True for one card that is read alone: what fails now is the card's own doing."""
        return self.suspect and len(self.cards) == 1


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What a worker answers.

    Attributes:
        pack: The pixels or what they say; None where the run must stop.
        changed: Cards whose folder is not as the plan says, where the run must stop.
        errors: First few unexpected errors; their boxes carry an issue.
        rss_bytes: Largest resident memory of the worker so far.
        stamps: Per card, of suspects only: what parts need to become a whole again.
        refusal: What is wrong with the model, and what to do about it, where the run must stop.
    """

    pack: CardPack | None
    changed: tuple[str, ...]
    errors: tuple[str, ...]
    rss_bytes: int
    stamps: tuple[Stamps, ...] = ()
    refusal: tuple[str, str] | None = None


@dataclass(slots=True)
class _Packing:
    pixels: NDArray[np.uint8]
    issues: NDArray[np.uint8]
    extra_boxes: NDArray[np.int32]
    ignored_files: NDArray[np.int32]
    contents: NDArray[np.uint8]
    card_stamps: NDArray[np.uint8]
    prepare: Prepare
    is_last_resort: bool
    stamps: list[Stamps] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    read_bytes: int = 0
    read_seconds: float = 0.0
    preprocess_seconds: float = 0.0

    def note(self, card: CardRef, error: Exception) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(f"{card.card_id}: {error!r}"[:500])

    def issue_of(self, error: Exception, usual: BoxIssue) -> BoxIssue:
        """What an unexpected error makes of a box."""
        if not isinstance(error, MemoryError):
            return usual
        if not self.is_last_resort:
            raise error
        return BoxIssue.NOT_READ


def nobody_asks(row: int) -> None:
    """Tell nobody which row comes now."""


def pack_shard(task: ShardTask, tell: Tell = nobody_asks) -> ShardResult:
    """Read and preprocess every card of a shard.

    Whatever is wrong with a card or a box is a value in the result, so that one bad card
    never costs its neighbours.

    Args:
        task: The shard.
        tell: Called with the index of every card before it is read, and with ``NO_ROW``
            after the last.

    Returns:
        Its pixels, or what they say, or the cards that changed since the plan was made, or
        what is wrong with the model.

    Raises:
        MemoryError: There was too little memory, which may be no card's fault; raised by
            tasks that are no last resort.
    """
    n = len(task.cards)
    packing = _Packing(
        pixels=np.zeros((n, VIN_LENGTH, SIDE, SIDE), dtype=np.uint8),
        issues=np.zeros((n, VIN_LENGTH), dtype=np.uint8),
        extra_boxes=np.zeros(n, dtype=np.int32),
        ignored_files=np.zeros(n, dtype=np.int32),
        contents=np.zeros((n, CONTENT_DIGEST_BYTES), dtype=np.uint8),
        card_stamps=np.zeros((n, STAMP_DIGEST_BYTES), dtype=np.uint8),
        prepare=task.prepare,
        is_last_resort=task.is_last_resort,
    )
    try:
        answers = _pack_cards(packing, task, tell)
    except ModelError as error:
        return ShardResult(None, (), (), 0, refusal=(error.message, error.advice))
    return ShardResult(
        pack=None if packing.changed else _finish(packing, task, answers),
        changed=tuple(packing.changed),
        errors=tuple(packing.errors),
        rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        stamps=tuple(packing.stamps) if task.suspect else (),
    )


def _pack_cards(packing: _Packing, task: ShardTask, tell: Tell) -> Answers | None:
    """Pack all cards, and classify them in groups where the worker is to do that.

    A decoder dies of one card, which the mark names; the network is given what it always is, so
    its death would be no card's fault.
    """
    answers = None
    if task.inference is not None:
        network = task.inference.open_network(task.inference.artefact)
        answers = Answers(network, packing.pixels, packing.issues)
    expect_cards(task.root, task.cards)
    for row, card in enumerate(task.cards):
        tell(row)
        _pack_card(packing, row, card, task)
        if answers is not None and answers.is_due(row + 1):
            tell(NO_ROW)
            answers.classify(row + 1)
    tell(NO_ROW)
    if answers is not None:
        answers.classify(len(task.cards))
    return answers


def _pack_card(packing: _Packing, row: int, card: CardRef, task: ShardTask) -> None:
    started = time.perf_counter()
    try:
        files = read_card(task.root, card)
    except ListingChangedError:
        if not task.keep_changed:
            packing.changed.append(card.card_id)
            return
        # Its digests stay zero: nobody has seen this card.
        packing.issues[row] = BoxIssue.CHANGED_WHILE_READING
        packing.stamps.append((None,) * VIN_LENGTH)
        return
    except Exception as error:
        packing.note(card, error)
        issue = packing.issue_of(error, BoxIssue.UNREADABLE_FILE)
        box = BoxFile(b"", issue, None)
        files = CardFiles((box,) * VIN_LENGTH, 0, 0)
    packing.contents[row] = content_digest(files)
    stamps = tuple(box.stamp for box in files.boxes)
    packing.stamps.append(stamps)
    packing.card_stamps[row] = np.frombuffer(card_stamps_digest(stamps), np.uint8)
    packing.read_bytes += sum(len(box.data) for box in files.boxes)
    packing.extra_boxes[row] = files.extra_boxes
    packing.ignored_files[row] = files.ignored_files
    read = time.perf_counter()
    for index, box in enumerate(files.boxes):
        packing.issues[row, index] = _pack_box(packing, row, index, card, box)
    packing.read_seconds += read - started
    packing.preprocess_seconds += time.perf_counter() - read


def _pack_box(packing: _Packing, row: int, index: int, card: CardRef, box: BoxFile) -> BoxIssue:
    if box.issue is not BoxIssue.NONE:
        return box.issue
    try:
        pixels, issue = packing.prepare(box.data)
    except Exception as error:
        packing.note(card, error)
        return packing.issue_of(error, BoxIssue.UNDECODABLE)
    if issue is BoxIssue.NONE:
        packing.pixels[row, index] = pixels
    return BoxIssue(issue)


def _finish(packing: _Packing, task: ShardTask, answers: Answers | None) -> CardPack:
    return CardPack(
        shard=task.shard,
        card_ids=tuple(card.card_id for card in task.cards),
        # What was classified is not looked at again: 2 MB of 1,000 cards travel instead of 13.
        pixels=packing.pixels if answers is None else packing.pixels[:0],
        issues=packing.issues,
        extra_boxes=packing.extra_boxes,
        ignored_files=packing.ignored_files,
        content_digests=packing.contents,
        stamp_digests=packing.card_stamps,
        stat_digest=stamps_digest(packing.stamps),
        read_seconds=packing.read_seconds,
        preprocess_seconds=packing.preprocess_seconds,
        read_bytes=packing.read_bytes,
        log_probs=None if answers is None else answers.log_probs,
        classify_seconds=0.0 if answers is None else answers.seconds,
    )
