"""The second look: cards that the first reader doubted, read once more from the archive.

It runs in the worker processes, not beside the classifier: they decode foreign files anyway,
a death of native code there costs one shard and not the run, and one thread in each of them
uses all cores while its answers depend on none. A worker never keeps what it read for a
shard; the parent holds the first reading until the second look arrives.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.archive import ArchiveRoot, ListingChangedError, expect_cards, read_card
from vin_batch.batch.changes import content_digest
from vin_batch.batch.mark import NO_ROW
from vin_batch.batch.pack import Tell, nobody_asks
from vin_batch.records import CardRef
from vin_batch.second_reader.recogniser import SYMBOLS, Recogniser
from vin_batch.second_reader.shape import HEIGHT, WIDTH
from vin_batch.vin.alphabet import VIN_LENGTH

OpenRecogniser = Callable[[Path, str], Recogniser]
"""Loads the recogniser's weights, given their path and digest; workers import it."""

CARDS_PER_GROUP: Final = 64
"""Cards whose canvases are held at a time: 5 MB."""
MAX_ERRORS: Final = 20


@dataclass(frozen=True, slots=True)
class LookTask:
    """What a worker is told.

    Attributes:
        root: The archive.
        shard: Number in the plan.
        cards: ``m`` cards of the shard, in plan order.
        boxes: ``bool[m, 17]``, boxes that gave the first reader evidence.
        contents: ``uint8[m, 8]``, ``content_digest`` of the cards as they were first read.
        weights: The recogniser's file.
        weights_sha256: Its digest.
        open_recogniser: Loads it.
    """

    root: ArchiveRoot
    shard: int
    cards: tuple[CardRef, ...]
    boxes: NDArray[np.bool_]
    contents: NDArray[np.uint8]
    weights: Path
    weights_sha256: str
    open_recogniser: OpenRecogniser


@dataclass(frozen=True, slots=True)
class LookResult:
    """What a worker answers.

    Attributes:
        scores: ``float32[m, 17, 62]``; zero where nothing was seen.
        seen: ``bool[m, 17]``, boxes that the second reader looked at.
        seconds: Time for reading files and for the recogniser together.
        errors: Cards that are no longer what they were; they keep their first reading.
        rss_bytes: Largest resident memory of the worker so far.
    """

    scores: NDArray[np.float32]
    seen: NDArray[np.bool_]
    seconds: float
    errors: tuple[str, ...]
    rss_bytes: int


@dataclass(slots=True)
class _Looking:
    scores: NDArray[np.float32]
    seen: NDArray[np.bool_]
    recogniser: Recogniser
    canvases: list[NDArray[np.uint8]] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)

    def flush(self) -> None:
        """Read the canvases gathered so far."""
        if self.canvases:
            rows, boxes = np.array(self.places).T
            self.scores[rows, boxes] = self.recogniser.scores(np.stack(self.canvases))
            self.seen[rows, boxes] = True
        self.canvases, self.places = [], []


def look_again(task: LookTask, tell: Tell = nobody_asks) -> LookResult:
    """Read cards of a shard with the second reader.

    A card that vanished, or holds other bytes than before, is not looked at: two readers
    must have seen the same ink.

    Args:
        task: The cards.
        tell: Called with the index of every card before its files are read, and with
            ``NO_ROW`` before the recogniser reads a group of cards.

    Returns:
        Scores of the boxes that were seen.
    """
    began = time.perf_counter()
    shape = (len(task.cards), VIN_LENGTH)
    looking = _Looking(
        scores=np.zeros((*shape, len(SYMBOLS)), np.float32),
        seen=np.zeros(shape, bool),
        recogniser=task.open_recogniser(task.weights, task.weights_sha256),
    )
    errors: list[str] = []
    expect_cards(task.root, task.cards)
    for row, card in enumerate(task.cards):
        tell(row)
        if not _gather(looking, row, task) and len(errors) < MAX_ERRORS:
            errors.append(f"{card.card_id}: changed before the second reader saw it"[:500])
        if (row + 1) % CARDS_PER_GROUP == 0:
            tell(NO_ROW)
            looking.flush()
    tell(NO_ROW)
    looking.flush()
    return LookResult(
        scores=looking.scores,
        seen=looking.seen,
        seconds=time.perf_counter() - began,
        errors=tuple(errors),
        rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def _gather(looking: _Looking, row: int, task: LookTask) -> bool:
    """Put the boxes of one card on canvases; False where it is not what it was."""
    from vin_batch.second_reader.canvas import canvas_from_bytes  # noqa: PLC0415 - needs OpenCV

    try:
        files = read_card(task.root, task.cards[row])
    except ListingChangedError:
        return False
    if not np.array_equal(content_digest(files), task.contents[row]):
        return False
    for position in np.flatnonzero(task.boxes[row]):
        canvas = canvas_from_bytes(files.boxes[position].data)
        if canvas is not None:
            assert canvas.shape == (HEIGHT, WIDTH)
            looking.canvases.append(canvas)
            looking.places.append((row, int(position)))
    return True
