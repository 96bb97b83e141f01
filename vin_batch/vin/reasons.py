"""The stable codes of readings: why a card was not accepted, and who else looked at it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from vin_batch.records import BoxIssue


class Reason(StrEnum):
    """Why a card was not accepted. Stable codes; readings list them in this order.

    ``SECOND_READER`` alone is no such cause: accepted cards have it, too.
    """

    NO_BOXES = "no_boxes"
    """The card has no box image at all."""
    NOT_READ = "not_read"
    """The process that should have read the card died, again and again."""
    CHANGED_WHILE_READING = "changed_while_reading"
    """The card's folder changed or vanished before it could be read."""
    TOO_FEW_BOXES = "too_few_boxes"
    """Fewer boxes gave evidence than ``DecisionPolicy.min_read_boxes``."""
    ZERO_PADDED_NUMBER = "zero_padded_number"
    """The text begins with zeros: a shorter factory number filled up to 17 boxes."""
    NOT_A_VIN = "not_a_vin"
    """The text is clear, and no VIN explains it: a placeholder or another number."""
    LOW_CONFIDENCE = "low_confidence"
    """The confidence is below ``DecisionPolicy.accept_confidence``."""
    CHECK_DIGIT_MISMATCH = "check_digit_mismatch"
    """The maker uses a check digit and it does not fit."""
    CHANGED_BY_RULES = "changed_by_rules"
    """The rules chose a character that the ink all but excludes."""
    MISSING_BOXES = "missing_boxes"
    """Some positions have no file."""
    BLANK_BOXES = "blank_boxes"
    """Some boxes hold no ink."""
    BLOT_BOXES = "blot_boxes"
    """Some boxes hold ink without a legible shape."""
    FILE_FAILURES = "file_failures"
    """Some files could not be turned into an image."""
    DUPLICATE_BOXES = "duplicate_boxes"
    """Some positions have two or more files."""
    EXTRA_BOXES = "extra_boxes"
    """The card has images beyond the 17 positions."""
    UNKNOWN_MAKER = "unknown_maker"
    """The first three characters are on no list of makers: a rare maker, a misread one, or
    a number that only looks like a VIN (frame numbers of Japanese imports do)."""
    SECOND_READER = "second_reader"
    """A second reader looked at the card, and its evidence is part of the reading."""


REASON_OF_ISSUE: Final = {
    BoxIssue.MISSING: Reason.MISSING_BOXES,
    BoxIssue.DUPLICATE: Reason.DUPLICATE_BOXES,
    BoxIssue.EMPTY_FILE: Reason.FILE_FAILURES,
    BoxIssue.UNREADABLE_FILE: Reason.FILE_FAILURES,
    BoxIssue.UNDECODABLE: Reason.FILE_FAILURES,
    BoxIssue.OVERSIZED: Reason.FILE_FAILURES,
    BoxIssue.BLANK: Reason.BLANK_BOXES,
    BoxIssue.BLOT: Reason.BLOT_BOXES,
    BoxIssue.NOT_READ: Reason.NOT_READ,
    BoxIssue.CHANGED_WHILE_READING: Reason.CHANGED_WHILE_READING,
}
"""What each issue of a box is called among the reasons of its card."""
LOST_ISSUES: Final = frozenset(
    {issue for issue in BoxIssue if issue.is_file_failure}
    | {BoxIssue.NOT_READ, BoxIssue.CHANGED_WHILE_READING}
)
"""Boxes that exist on the card and might be read once their files are repaired."""


def in_order(reasons: Iterable[Reason]) -> tuple[str, ...]:
    """The codes in the fixed order of ``Reason``, each once."""
    chosen = set(reasons)
    return tuple(reason.value for reason in Reason if reason in chosen)
