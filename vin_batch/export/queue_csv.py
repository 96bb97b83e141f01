"""The review queue as a file that people fill in: what is most worth a look comes first.

The order is that of the report (``report.queue.worth_of_a_look``): the probability that a
look settles the card, divided by the effort. The VIN on the card is among those offered with
probability ``min(1, confidence + sum of alternative_probs)``, and then a look ends with a
choice; the effort is the number of boxes in doubt, at least one. So a card with one unsure
box between two likely VINs is first, and one whose every box must be typed is late. Cards
without any VIN on offer follow, those with more legible boxes first, and ``failed`` cards,
whose files want repair before any look, are last.

The columns ``vin``, ``reviewer``, ``time`` and ``note`` are empty, to be filled in;
``vin-batch corrections import`` takes the same file back and passes over rows whose ``vin`` is
still empty. Cells are guarded as in every CSV of ours.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from vin_batch.batch.atomic import atomic_file
from vin_batch.corrections.records import Correction
from vin_batch.export.shards import FinishedRun, read_time
from vin_batch.export.spreadsheet import CardRows, defuse
from vin_batch.records import Status
from vin_batch.report.queue import doubtful_positions, worth_of_a_look

COLUMNS: Final = (
    "card_id", "vin", "reviewer", "time", "note", "suggested_vin", "confidence", "alternatives",
    "raw_vin", "look_at", "reasons", "status", "worth",
)  # fmt: skip
NO_CHARACTER: Final = "?"
_LATE: Final = {Status.REVIEW.value: 0, Status.UNREADABLE.value: 1, Status.FAILED.value: 2}


@dataclass(frozen=True, slots=True)
class QueueCard:
    """A card that waits for a person.

    Attributes:
        order: Sorts the queue.
        read: When and by which run it was read; the newest reading of a card counts.
        cells: Its row.
    """

    order: tuple[int, float, str]
    read: tuple[datetime, str]
    cells: tuple[str, ...]


def write_queue(
    target: Path,
    runs: Sequence[FinishedRun],
    corrections: Mapping[str, Correction],
    limit: int | None = None,
) -> int:
    """Write the cards that are neither accepted nor settled by a person.

    The queue is held in memory, some 0.5 kB per card that waits; the accepted cards are not.

    Args:
        target: The file.
        runs: Runs whose cards wait; of a card in several, the newest reading counts.
        corrections: The deciding correction of every corrected card.
        limit: Most rows; all when None.

    Returns:
        Number of rows.

    Raises:
        DiskError: Readings are damaged, or the file cannot be written.
    """
    waiting = _waiting(runs, corrections)
    if len(runs) > 1:
        _drop_superseded(waiting, runs)
    queue = sorted(waiting.values(), key=lambda card: card.order)[:limit]
    with atomic_file(target, "queue") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = CardRows(text)
        writer.writerow(COLUMNS)
        writer.writerows(card.cells for card in queue)
        text.flush()
        text.detach()
    return len(queue)


def _waiting(
    runs: Iterable[FinishedRun], corrections: Mapping[str, Correction]
) -> dict[str, QueueCard]:
    waiting: dict[str, QueueCard] = {}
    for run in runs:
        for receipt in run.receipts():
            read = (read_time(run.record, receipt), receipt.run_id)
            table = run.readings(receipt)
            unsettled = pc.not_equal(table.column("status"), Status.ACCEPTED.value)
            for row in table.filter(unsettled).to_pylist():
                rival = waiting.get(row["card_id"])
                if row["card_id"] not in corrections and (rival is None or read > rival.read):
                    waiting[row["card_id"]] = _card(row, read)
    return waiting


def _drop_superseded(waiting: dict[str, QueueCard], runs: Iterable[FinishedRun]) -> None:
    """Drop cards that a later run read again, with whatever result."""
    for card, read in _all_cards(runs):
        rival = waiting.get(card)
        if rival is not None and read > rival.read:
            del waiting[card]


def _all_cards(runs: Iterable[FinishedRun]) -> Iterator[tuple[str, tuple[datetime, str]]]:
    for run in runs:
        for receipt in run.receipts():
            read = (read_time(run.record, receipt), receipt.run_id)
            for card in run.readings(receipt).column("card_id").to_pylist():
                yield card, read


def _card(row: dict[str, Any], read: tuple[datetime, str]) -> QueueCard:
    vin, raw_vin = row["vin"], row["raw_vin"]
    alternatives = [(other["vin"], other["prob"]) for other in row["alternatives"]]
    probs = [char["prob"] for char in row["chars"]]
    doubtful = doubtful_positions(vin or raw_vin, raw_vin, probs)
    shares = [prob for _, prob in alternatives]
    worth = worth_of_a_look(row["confidence"], shares, len(doubtful)) if vin else 0.0
    legible = sum(character != NO_CHARACTER for character in raw_vin)
    cells = (
        row["card_id"], "", "", "", "", vin or "", repr(row["confidence"]),
        ";".join(f"{other}:{prob:.6g}" for other, prob in alternatives), raw_vin,
        ";".join(map(str, doubtful)), ";".join(row["reasons"]), row["status"], f"{worth:.6g}",
    )  # fmt: skip
    late = _LATE[row["status"]]
    order = (late, -worth if late == 0 else -float(legible), row["card_id"])
    return QueueCard(order, read, tuple(map(defuse, cells)))
