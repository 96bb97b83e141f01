"""From decoded cards to readings: confidence, status, and the reasons for it.

``triage`` has the questions that decide the status. Where a card has no reading, ``vin`` is
None and ``confidence`` 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
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
from vin_batch.vin.alphabet import VIN_LENGTH, decode_all
from vin_batch.vin.check_digit import CHECK_POSITION, VIN_SCHEME, residues
from vin_batch.vin.decoder import Decoder, check_log_probs
from vin_batch.vin.ink import NOTHING, box_probs, cut, read_ink
from vin_batch.vin.model_year import model_years
from vin_batch.vin.reasons import Reason
from vin_batch.vin.triage import Facts, triage
from vin_batch.vin.wmi import lookup

__all__ = ["Reason", "check_states", "confidences", "judge"]

LIKELY_USE: Final = 0.5
"""From this probability on that it was meant as one, a fitting check digit is ``valid``."""
SURE_USE: Final = 0.8
"""From this probability on that the maker uses one, a mismatch is ``invalid``."""
CHANCE_MATCH: Final = 1.0 / 11.0
"""How often a number without a check digit seems to have a valid one."""

CHUNK_CARDS: Final = 1024
"""Cards judged at a time, so that memory does not grow with their number."""

MAX_LOG_ODDS: Final = 30.0
"""Posteriors nearer to 0 or 1 than this are not told apart."""
_POSITIONS: Final = tuple(range(1, VIN_LENGTH + 1))
_ISSUE_CODES: Final = tuple(issue.code if issue else None for issue in BoxIssue)


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
        readings += _readings(card_ids[chunk], facts, policy)
    return readings


def _gather(
    card_ids: Sequence[str],
    log_probs: NDArray[np.floating],
    issues: NDArray[np.uint8],
    extra_boxes: NDArray[np.int32],
    *,
    policy: DecisionPolicy,
    decoder: Decoder,
) -> Facts:
    usable = np.where((issues != BoxIssue.NONE)[:, :, None], np.float32(0.0), log_probs)
    check_log_probs(usable, card_ids=card_ids)
    probs = box_probs(usable)
    decoded, ink = decoder.decode_probs(probs), read_ink(usable, probs)
    return Facts(
        decoded=decoded,
        ink=ink,
        issues=issues,
        extra_boxes=extra_boxes,
        confidence=confidences(decoded.posterior, policy),
        check_states=check_states(decoded.best, decoded.check_use),
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
        for fit, digit_meant, use in zip(
            fits.tolist(), meant.tolist(), check_use.tolist(), strict=True
        )
    )


def _readings(card_ids: Sequence[str], facts: Facts, policy: DecisionPolicy) -> list[Reading]:
    raw_vins = facts.ink.texts()
    rows = zip(
        card_ids,
        *triage(facts, policy),
        decode_all(facts.decoded.best),
        raw_vins,
        facts.confidence.tolist(),
        facts.check_states,
        _chars(raw_vins, facts),
        _alternatives(facts),
        strict=True,
    )
    return [
        _unread(card_id, status, reasons, raw_vin, chars)
        if status in {Status.UNREADABLE, Status.FAILED}
        else Reading(
            card_id,
            status,
            vin,
            raw_vin,
            confidence,
            check_digit,
            _changes(vin, raw_vin),
            reasons,
            chars,
            alternatives,
            *_who(vin[:3]),
            model_years(vin),
        )
        for (
            card_id, status, reasons, vin, raw_vin, confidence, check_digit, chars, alternatives
        ) in rows
    ]  # fmt: skip


def _unread(
    card_id: str,
    status: Status,
    reasons: tuple[str, ...],
    raw_vin: str,
    chars: tuple[CharReading, ...],
) -> Reading:
    return Reading(
        card_id=card_id,
        status=status,
        vin=None,
        raw_vin=raw_vin,
        confidence=0.0,
        check_digit=CheckDigitState.NOT_APPLICABLE,
        changed=(),
        reasons=reasons,
        chars=chars,
        alternatives=(),
        wmi=None,
        maker=None,
        country=None,
        model_years=(),
    )


def _changes(vin: str, raw_vin: str) -> tuple[int, ...]:
    if vin == raw_vin:
        return ()
    return tuple(i for i, a, b in zip(_POSITIONS, vin, raw_vin, strict=True) if a != b)


@lru_cache(maxsize=4096)
def _who(wmi: str) -> tuple[str, str | None, str | None]:
    return wmi, *lookup(wmi)


def _chars(raw_vins: Sequence[str], facts: Facts) -> list[tuple[CharReading, ...]]:
    """What every box says, card by card."""
    ink = facts.ink
    characters = "".join(raw_vins)
    seconds = "".join(decode_all(ink.second))
    rows = zip(
        _POSITIONS * len(raw_vins),
        characters,
        ink.first_prob.ravel().tolist(),
        [
            None if first == NOTHING else second
            for first, second in zip(characters, seconds, strict=True)
        ],
        ink.second_prob.ravel().tolist(),
        [_ISSUE_CODES[issue] for issue in facts.issues.ravel().tolist()],
        strict=True,
    )
    boxes = list(map(CharReading._make, rows))
    starts = range(0, len(boxes), VIN_LENGTH)
    return [tuple(boxes[start : start + VIN_LENGTH]) for start in starts]


def _alternatives(facts: Facts) -> list[tuple[Alternative, ...]]:
    """The next VINs of every card; they share what the recalibrated confidence leaves."""
    decoded, confidence = facts.decoded, facts.confidence
    left = np.maximum(1.0 - decoded.posterior, np.finfo(np.float64).eps)
    scaled = decoded.alternative_posteriors * ((1.0 - confidence) / left)[:, None]
    probs = cut(np.minimum(scaled, confidence[:, None]))
    cards, count = probs.shape
    vins = decode_all(decoded.alternatives)
    each = list(map(Alternative._make, zip(vins, probs.ravel().tolist(), strict=True)))
    listed = [each[start : start + count] for start in range(0, cards * count, count)]
    return [tuple(other for other in some if other.prob > 0) for some in listed]
