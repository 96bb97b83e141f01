"""Which cards of a run a person should look at first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow.compute as pc

from vin_batch.batch.rundir import RunDir
from vin_batch.records import Status
from vin_batch.report.columns import iter_columns
from vin_batch.vin.alphabet import VIN_LENGTH

CLEAR_INK: Final = 0.9
"""A box whose most probable character is less probable than this is in doubt."""


@dataclass(frozen=True, slots=True)
class ReviewCard:
    """A card in the review queue.

    Attributes:
        card_id: The card.
        vin: The machine's best guess.
        raw_vin: What the ink alone says.
        confidence: Probability of ``vin``.
        reasons: Why it was not accepted.
        doubtful: Positions (1 to 17) in doubt.
        alternatives: Other VINs and their probabilities.
        worth: See ``worth_of_a_look``.
    """

    card_id: str
    vin: str
    raw_vin: str
    confidence: float
    reasons: tuple[str, ...]
    doubtful: tuple[int, ...]
    alternatives: tuple[tuple[str, float], ...]
    worth: float


def worth_of_a_look(confidence: float, alternatives: Sequence[float], doubtful_boxes: int) -> float:
    """How much a person's look at a card of the review queue yields for its effort.

    The yield is the probability that the VIN is among the offered ones, so that a look ends
    with a choice and not with typing; the effort grows with the boxes to look at.

    Args:
        confidence: Probability of the best VIN.
        alternatives: Probabilities of the others on offer.
        doubtful_boxes: Boxes in doubt.

    Returns:
        0 to 1; 1 is a sure choice over one box.
    """
    on_offer = min(1.0, confidence + sum(alternatives))
    return on_offer / max(1, doubtful_boxes)


def doubtful_positions(vin: str, raw_vin: str, probs: Sequence[float]) -> tuple[int, ...]:
    """Positions whose ink is weak, missing, or overruled by the VIN rules."""
    return tuple(
        position
        for position in range(1, VIN_LENGTH + 1)
        if probs[position - 1] < CLEAR_INK or vin[position - 1] != raw_vin[position - 1]
    )


def review_queue(run: RunDir, length: int) -> list[ReviewCard]:
    """The cards in review that are most worth a look, best first.

    Args:
        run: The run directory.
        length: Most cards to return; memory does not grow beyond them.

    Returns:
        The cards; equal ones in plan order.

    Raises:
        DiskError: The readings are damaged.
    """
    return heapq.nsmallest(length, _cards_in_review(run), key=lambda card: -card.worth)


def _cards_in_review(run: RunDir) -> Iterator[ReviewCard]:
    columns = (
        "card_id", "status", "vin", "raw_vin", "confidence", "reasons", "chars", "alternatives",
    )  # fmt: skip
    for table in iter_columns(run, columns):
        in_review = pc.equal(table.column("status"), Status.REVIEW.value)
        for row in table.filter(in_review).to_pylist():
            if row["vin"]:
                yield _card(row)


def _card(row: dict[str, Any]) -> ReviewCard:
    probs = [char["prob"] for char in row["chars"]]
    doubtful = doubtful_positions(row["vin"], row["raw_vin"], probs)
    alternatives = tuple((other["vin"], other["prob"]) for other in row["alternatives"])
    shares = [prob for _, prob in alternatives]
    return ReviewCard(
        card_id=row["card_id"],
        vin=row["vin"],
        raw_vin=row["raw_vin"],
        confidence=row["confidence"],
        reasons=tuple(row["reasons"]),
        doubtful=doubtful,
        alternatives=alternatives,
        worth=worth_of_a_look(row["confidence"], shares, len(doubtful)),
    )
