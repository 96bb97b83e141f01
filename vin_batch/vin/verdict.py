"""From decoded cards to readings: confidence, status, and the reasons for it.

The order of the questions:

1. Could the card be read at all? No boxes, or so many torn files that too few boxes are
   left: ``failed``. Too few boxes for other causes, or text that is plainly not a VIN:
   ``unreadable``. In both cases ``vin`` is None and ``confidence`` 0.
2. Is there anything that a clerk should look at? Then ``review``.
3. Otherwise ``accepted``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.records import (
    Alternative,
    BoxIssue,
    CharReading,
    CheckDigitState,
    DecisionPolicy,
    Reading,
    Status,
)
from vin_batch.vin.alphabet import INDEX, VIN_LENGTH, decode
from vin_batch.vin.check_digit import CHECK_POSITION, VIN_SCHEME, residues
from vin_batch.vin.decoder import Decoded, Decoder, check_log_probs
from vin_batch.vin.ink import NOTHING, InkReading, cut, read_ink
from vin_batch.vin.model_year import model_years
from vin_batch.vin.reasons import LOST_ISSUES, REASON_OF_ISSUE, Reason, in_order
from vin_batch.vin.wmi import lookup

__all__ = ["Reason", "check_states", "confidences", "judge"]

LIKELY_USE: Final = 0.5
"""From this probability on that it was meant as one, a fitting check digit is ``valid``."""
SURE_USE: Final = 0.8
"""From this probability on that the maker uses one, a mismatch is ``invalid``."""
CHANCE_MATCH: Final = 1.0 / 11.0
"""How often a number without a check digit seems to have a valid one."""
FAINT_INK: Final = 0.01
"""Below this ink probability, a character was chosen by the rules and not by the ink."""
LARGE_MARGIN: Final = 0.9999
"""Confidence from which the rules alone may choose a character."""
EXCLUDED_INK: Final = 1e-4
"""Below this ink probability the rules may never choose a character unseen: either the
classifier failed or the clerk wrote another number than the rules expect."""
NOT_A_VIN_EVIDENCE: Final = -12.0
"""Below this ``Decoded.log_evidence`` no VIN explains the text: random characters do so
150,000 times better. The oddest of 6,000 realistic VINs reach -10, clear random text has
its median at -23."""
LONGEST_RUN: Final = 9
"""As many equal characters in a row are not in any VIN, but in placeholders. The longest
that a VIN can have: padding, year code 0 and a low serial number, about 7."""
PADDING: Final = "000"
"""No WMI in use begins so, but short frame numbers are padded to 17 in this way."""

CHUNK_CARDS: Final = 1024
"""Cards judged at a time, so that memory does not grow with their number."""

MAX_LOG_ODDS: Final = 30.0
"""Posteriors nearer to 0 or 1 than this are not told apart."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known about all cards, as arrays of ``n`` rows."""

    decoded: Decoded
    ink: InkReading
    issues: NDArray[np.uint8]
    extra_boxes: NDArray[np.int32]
    confidence: NDArray[np.float64]
    check_states: tuple[CheckDigitState, ...]
    weakest_change: NDArray[np.float64]


def judge(  # noqa: PLR0917 (the parallel arrays of one shard, in the order of a card's life)
    card_ids: Sequence[str],
    log_probs: NDArray[np.floating],
    issues: NDArray[np.uint8],
    extra_boxes: NDArray[np.int32],
    policy: DecisionPolicy,
    decoder: Decoder,
) -> list[Reading]:
    """Read cards.

    Args:
        card_ids: ``n`` card ids.
        log_probs: ``float32[n, 17, 33]``, calibrated log probabilities; rows of boxes with
            an issue do not matter.
        issues: ``uint8[n, 17]`` of ``BoxIssue``.
        extra_boxes: ``int32[n]``, images beyond the 17 positions.
        policy: Calibration and thresholds.
        decoder: The VIN decoder.

    Returns:
        One reading per card, in order; a card's reading does not depend on the others.

    Raises:
        ValueError: Shapes do not agree, or ``log_probs`` holds NaN or infinity.
    """
    cards = len(card_ids)
    if log_probs.shape[:1] != (cards,) or issues.shape != (cards, VIN_LENGTH):
        raise ValueError(
            f"{cards} card ids, log_probs {log_probs.shape} and issues {issues.shape} "
            "do not belong together"
        )
    if extra_boxes.shape != (cards,):
        raise ValueError(f"extra_boxes has shape {extra_boxes.shape}, expected ({cards},)")
    readings: list[Reading] = []
    for start in range(0, cards, CHUNK_CARDS):
        chunk = slice(start, start + CHUNK_CARDS)
        facts = _gather(
            card_ids[chunk],
            log_probs[chunk],
            issues[chunk],
            extra_boxes[chunk],
            policy=policy,
            decoder=decoder,
        )
        ids = enumerate(card_ids[chunk])
        readings += [_reading(card_id, card, facts, policy) for card, card_id in ids]
    return readings


def _gather(
    card_ids: Sequence[str],
    log_probs: NDArray[np.floating],
    issues: NDArray[np.uint8],
    extra_boxes: NDArray[np.int32],
    *,
    policy: DecisionPolicy,
    decoder: Decoder,
) -> _Facts:
    usable = np.where((issues != BoxIssue.NONE)[:, :, None], np.float32(0.0), log_probs)
    check_log_probs(usable, card_ids=card_ids)
    decoded, ink = decoder.decode(usable), read_ink(usable)
    return _Facts(
        decoded=decoded,
        ink=ink,
        issues=issues,
        extra_boxes=extra_boxes,
        confidence=confidences(decoded.posterior, policy),
        check_states=check_states(decoded.best, decoded.check_use),
        weakest_change=_weakest_changes(decoded.best, ink),
    )


def confidences(posterior: NDArray[np.float64], policy: DecisionPolicy) -> NDArray[np.float64]:
    """Recalibrate posteriors: ``sigmoid(slope * logit(posterior) + intercept)``.

    Args:
        posterior: ``float64[n]``, 0 to 1.
        policy: Slope and intercept.

    Returns:
        ``float64[n]``, cut to ``ink.DECIMALS`` decimals.
    """
    odds = policy.slope * log_odds(posterior) + policy.intercept
    return cut(1.0 / (1.0 + np.exp(-odds)))


def log_odds(posterior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log odds of ``float64[n]`` posteriors, limited to ``MAX_LOG_ODDS`` either way."""
    tiny = np.finfo(np.float64).tiny
    odds = np.log(np.maximum(posterior, tiny)) - np.log(np.maximum(1.0 - posterior, tiny))
    limited: NDArray[np.float64] = np.clip(odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)
    return limited


def check_states(
    vins: NDArray[np.int8], check_use: NDArray[np.float64]
) -> tuple[CheckDigitState, ...]:
    """Tell what the check digits say.

    A digit that fits is ``valid`` when it is more likely a check digit than chance; one
    that does not fit is ``invalid`` when the maker almost surely uses one; else the rule is
    ``not_applicable``.

    Args:
        vins: ``int8[n, 17]``.
        check_use: ``float64[n]``, probability that the maker uses a check digit.
    """
    fits = vins[:, CHECK_POSITION - 1] == VIN_SCHEME.symbols[residues(vins)]
    meant = check_use / (check_use + (1.0 - check_use) * CHANCE_MATCH)
    return tuple(
        CheckDigitState.VALID
        if fit and digit_meant >= LIKELY_USE
        else CheckDigitState.INVALID
        if not fit and use >= SURE_USE
        else CheckDigitState.NOT_APPLICABLE
        for fit, digit_meant, use in zip(fits, meant, check_use, strict=True)
    )


def _weakest_changes(best: NDArray[np.int8], ink: InkReading) -> NDArray[np.float64]:
    """Smallest ink probability of a character that replaces another; 1 without changes."""
    chosen = np.take_along_axis(ink.probs, best[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    changed = ink.read & (best != ink.first)
    return np.asarray(np.where(changed, chosen, 1.0).min(axis=1, initial=1.0))


def _reading(card_id: str, card: int, facts: _Facts, policy: DecisionPolicy) -> Reading:
    raw_vin = facts.ink.text(card)
    chars = _chars(card, raw_vin, facts)
    status, reasons = _no_reading(card, facts, policy)
    if status is not None:
        return Reading(
            card_id=card_id,
            status=status,
            vin=None,
            raw_vin=raw_vin,
            confidence=0.0,
            check_digit=CheckDigitState.NOT_APPLICABLE,
            changed=(),
            reasons=in_order(reasons),
            chars=chars,
            alternatives=(),
            wmi=None,
            maker=None,
            country=None,
            model_years=(),
        )
    vin = decode(facts.decoded.best[card])
    maker, country = lookup(vin[:3])
    causes = _causes_for_review(card, facts, policy)
    return Reading(
        card_id=card_id,
        status=Status.REVIEW if causes else Status.ACCEPTED,
        vin=vin,
        raw_vin=raw_vin,
        confidence=float(facts.confidence[card]),
        check_digit=facts.check_states[card],
        changed=tuple(i for i, (a, b) in enumerate(zip(vin, raw_vin, strict=True), 1) if a != b),
        reasons=in_order(causes),
        chars=chars,
        alternatives=_alternatives(card, facts),
        wmi=vin[:3],
        maker=maker,
        country=country,
        model_years=model_years(vin),
    )


def _no_reading(
    card: int, facts: _Facts, policy: DecisionPolicy
) -> tuple[Status | None, set[Reason]]:
    """Decide whether there is anything to read at all, and why not."""
    found = _box_reasons(card, facts)
    issues = facts.issues[card]
    if (issues == BoxIssue.MISSING).all():
        return Status.FAILED, {Reason.NO_BOXES} | (found & {Reason.EXTRA_BOXES})
    read = int(facts.ink.read[card].sum())
    if read < policy.min_read_boxes:
        lost = sum(BoxIssue(issue) in LOST_ISSUES for issue in issues.tolist())
        failed = lost > 0 and read + lost >= policy.min_read_boxes
        return Status.FAILED if failed else Status.UNREADABLE, {Reason.TOO_FEW_BOXES} | found
    other = _other_number(card, facts)
    return (Status.UNREADABLE, {other} | found) if other else (None, set())


def _other_number(card: int, facts: _Facts) -> Reason | None:
    """Recognise text that is clear and yet not a VIN."""
    text = "".join(
        character if prob > 0.5 else NOTHING
        for character, prob in zip(facts.ink.text(card), facts.ink.first_prob[card], strict=True)
    )
    if text.startswith(PADDING):
        return Reason.ZERO_PADDED_NUMBER
    repeated = any(character * LONGEST_RUN in text for character in set(text) & set(INDEX))
    if repeated or facts.decoded.log_evidence[card] < NOT_A_VIN_EVIDENCE:
        return Reason.NOT_A_VIN
    return None


def _causes_for_review(card: int, facts: _Facts, policy: DecisionPolicy) -> set[Reason]:
    confidence = facts.confidence[card]
    causes: set[Reason] = set()
    if confidence < policy.accept_confidence:
        causes.add(Reason.LOW_CONFIDENCE)
    if facts.check_states[card] is CheckDigitState.INVALID:
        causes.add(Reason.CHECK_DIGIT_MISMATCH)
    weakest = facts.weakest_change[card]
    if weakest < EXCLUDED_INK or (weakest < FAINT_INK and confidence < LARGE_MARGIN):
        causes.add(Reason.CHANGED_BY_RULES)
    if not facts.decoded.listed[card]:
        causes.add(Reason.UNKNOWN_MAKER)
    boxes = _box_reasons(card, facts)
    if VIN_LENGTH - int(facts.ink.read[card].sum()) > policy.max_empty_boxes_accepted:
        causes |= boxes or {Reason.BLANK_BOXES}
    causes |= boxes & {Reason.EXTRA_BOXES}
    return causes | boxes if causes else causes


def _box_reasons(card: int, facts: _Facts) -> set[Reason]:
    reasons = {REASON_OF_ISSUE[BoxIssue(issue)] for issue in facts.issues[card] if issue}
    return reasons | ({Reason.EXTRA_BOXES} if facts.extra_boxes[card] > 0 else set())


def _chars(card: int, raw_vin: str, facts: _Facts) -> tuple[CharReading, ...]:
    ink = facts.ink
    seconds = decode(ink.second[card])
    probs = ink.first_prob[card].tolist()
    second_probs = ink.second_prob[card].tolist()
    return tuple(
        CharReading(
            position=box + 1,
            char=character,
            prob=probs[box],
            second=None if character == NOTHING else seconds[box],
            second_prob=second_probs[box],
            issue=BoxIssue(issue).code if issue else None,
        )
        for box, (character, issue) in enumerate(
            zip(raw_vin, facts.issues[card].tolist(), strict=True)
        )
    )


def _alternatives(card: int, facts: _Facts) -> tuple[Alternative, ...]:
    """The next VINs; they share what the recalibrated confidence leaves."""
    posterior, confidence = facts.decoded.posterior[card], facts.confidence[card]
    scale = (1.0 - confidence) / max(1.0 - posterior, np.finfo(np.float64).eps)
    probs = cut(np.minimum(facts.decoded.alternative_posteriors[card] * scale, confidence))
    return tuple(
        Alternative(decode(vin), float(prob))
        for vin, prob in zip(facts.decoded.alternatives[card], probs, strict=True)
        if prob > 0
    )
