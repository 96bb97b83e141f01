"""Which cards are accepted, which a clerk should see, which have no reading; and why.

The order of the questions:

1. Could the card be read at all? No boxes, or so many torn files that too few boxes are
   left: ``failed``. Too few boxes for other causes, or text that is plainly not a VIN:
   ``unreadable``.
2. Is there anything that a clerk should look at? Then ``review``.
3. Otherwise ``accepted``.

All cards of a call are asked together; every answer is about one card alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vin_batch.records import BoxIssue, CheckDigitState, DecisionPolicy, Status
from vin_batch.vin.alphabet import VIN_LENGTH, encode
from vin_batch.vin.decoder import Decoded
from vin_batch.vin.ink import InkReading
from vin_batch.vin.reasons import LOST_ISSUES, REASON_OF_ISSUE, Reason, in_order

FAINT_INK: Final = 0.01
"""Below this ink probability, a character was chosen by the rules and not by the ink."""
LARGE_MARGIN: Final = 0.9999
"""Confidence from which the rules alone may choose a character."""
EXCLUDED_INK: Final = 1e-4
"""Below this ink probability the rules may never choose a character unseen: either the
classifier failed or the clerk wrote another number than the rules expect."""
CLEAR_INK: Final = 0.5
"""Above this ink probability a character counts for what the text plainly says."""
NOT_A_VIN_EVIDENCE: Final = -12.0
"""Below this ``Decoded.log_evidence`` no VIN explains the text: random characters do so
150,000 times better. The oddest of 6,000 realistic VINs reach -10, clear random text has
its median at -23."""
LONGEST_RUN: Final = 9
"""As many equal characters in a row are not in any VIN, but in placeholders. The longest
that a VIN can have: padding, year code 0 and a low serial number, about 7."""
PADDING: Final = "000"
"""No WMI in use begins so, but short frame numbers are padded to 17 in this way."""

Flags = NDArray[np.bool_]
_BITS: Final = {reason: 1 << place for place, reason in enumerate(Reason)}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about all cards, as arrays of ``n`` rows."""

    decoded: Decoded
    ink: InkReading
    issues: NDArray[np.uint8]
    extra_boxes: NDArray[np.int32]
    confidence: NDArray[np.float64]
    check_states: tuple[CheckDigitState, ...]


def triage(facts: Facts, policy: DecisionPolicy) -> tuple[list[Status], list[tuple[str, ...]]]:
    """Decide about every card.

    Returns:
        ``n`` statuses, and for each the codes of its reasons.
    """
    read = facts.ink.read.sum(axis=1)
    boxes = _box_reasons(facts.issues, facts.extra_boxes)
    extra = boxes & _BITS[Reason.EXTRA_BOXES]
    causes = _causes_for_review(facts, policy)
    lost_too_many = VIN_LENGTH - read > policy.max_empty_boxes_accepted
    causes |= np.where(lost_too_many, np.where(boxes, boxes, _BITS[Reason.BLANK_BOXES]), extra)
    status = np.where(causes, _REVIEW, _ACCEPTED)
    reasons = np.where(causes, causes | boxes, 0)

    other = _other_numbers(facts)
    status[other > 0] = _UNREADABLE
    reasons = np.where(other, other | boxes, reasons)

    few = read < policy.min_read_boxes
    lost = np.isin(facts.issues, list(LOST_ISSUES)).sum(axis=1)
    repairable = (lost > 0) & (read + lost >= policy.min_read_boxes)
    status = np.where(few, np.where(repairable, _FAILED, _UNREADABLE), status)
    reasons = np.where(few, _BITS[Reason.TOO_FEW_BOXES] | boxes, reasons)

    none = (facts.issues == BoxIssue.MISSING).all(axis=1)
    status[none] = _FAILED
    reasons = np.where(none, _BITS[Reason.NO_BOXES] | extra, reasons)
    return [_STATUSES[i] for i in status.tolist()], [_codes(bits) for bits in reasons.tolist()]


_STATUSES: Final = tuple(Status)
_ACCEPTED, _REVIEW, _UNREADABLE, _FAILED = range(len(_STATUSES))


@lru_cache(maxsize=4096)
def _codes(bits: int) -> tuple[str, ...]:
    return in_order(reason for reason, bit in _BITS.items() if bits & bit)


def _flag(reason: Reason, cards: Flags) -> NDArray[np.int64]:
    return np.where(cards, _BITS[reason], 0)


def _box_reasons(issues: NDArray[np.uint8], extra_boxes: NDArray[np.int32]) -> NDArray[np.int64]:
    reasons = _flag(Reason.EXTRA_BOXES, extra_boxes > 0)
    for issue in np.unique(issues[issues != BoxIssue.NONE]).tolist():
        reasons |= _flag(REASON_OF_ISSUE[BoxIssue(issue)], (issues == issue).any(axis=1))
    return reasons


def _causes_for_review(facts: Facts, policy: DecisionPolicy) -> NDArray[np.int64]:
    """What a clerk should look at, besides the state of the boxes."""
    confidence, weakest = facts.confidence, _weakest_changes(facts.decoded.best, facts.ink)
    mismatch = np.array([state is CheckDigitState.INVALID for state in facts.check_states], bool)
    ruled = (weakest < EXCLUDED_INK) | ((weakest < FAINT_INK) & (confidence < LARGE_MARGIN))
    return (
        _flag(Reason.LOW_CONFIDENCE, confidence < policy.accept_confidence)
        | _flag(Reason.CHECK_DIGIT_MISMATCH, mismatch)
        | _flag(Reason.CHANGED_BY_RULES, ruled)
        | _flag(Reason.UNKNOWN_MAKER, ~facts.decoded.listed)
    )


def _weakest_changes(best: NDArray[np.int8], ink: InkReading) -> NDArray[np.float64]:
    """Smallest ink probability of a character that replaces another; 1 without changes."""
    chosen = np.take_along_axis(ink.probs, best[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    changed = ink.read & (best != ink.first)
    return np.asarray(np.where(changed, chosen, 1.0).min(axis=1, initial=1.0))


def _other_numbers(facts: Facts) -> NDArray[np.int64]:
    """Recognise text that is clear and yet not a VIN."""
    first, clear = facts.ink.first, facts.ink.first_prob > CLEAR_INK
    begins = slice(0, len(PADDING))
    padded = ((first[:, begins] == encode(PADDING)) & clear[:, begins]).all(axis=1)
    same = (first[:, 1:] == first[:, :-1]) & clear[:, 1:] & clear[:, :-1]
    runs = np.any(sliding_window_view(same, LONGEST_RUN - 1, axis=1).all(axis=2), axis=1)
    strange = runs | (facts.decoded.log_evidence < NOT_A_VIN_EVIDENCE)
    return np.where(padded, _BITS[Reason.ZERO_PADDED_NUMBER], _flag(Reason.NOT_A_VIN, strange))
