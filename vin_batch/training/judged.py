"""Cards that were judged and whose VIN is known: from drawn cards or from a run's table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.records import Reading, Status
from vin_batch.training.curves import (
    RISKS,
    Flags,
    Reals,
    RiskCurve,
    expected_calibration_error,
    risk_curve,
)
from vin_batch.training.intervals import wilson
from vin_batch.vin.alphabet import VIN_LENGTH
from vin_batch.vin.reasons import Reason

ONLY_CONFIDENCE: Final = frozenset({Reason.LOW_CONFIDENCE.value})
LEAST_PROB: Final = 1e-9
"""Stands for the probability of a box that gave nothing, so that logarithms stay finite."""
WORST_PAIRS: Final = 4
"""Confusions named for each position."""


@dataclass(frozen=True, slots=True)
class Position:
    """How one of the 17 boxes is read.

    Attributes:
        number: 1 to 17.
        boxes: Cards that hold a VIN.
        raw_wrong: Boxes whose most probable character is wrong, or that gave none.
        empty: Boxes that gave no character.
        vin_wrong: Cards with a VIN read whose character here is wrong.
        pairs: Most frequent (true, read) pairs of the raw reading.
    """

    number: int
    boxes: int
    raw_wrong: int
    empty: int
    vin_wrong: int
    pairs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class JudgedCards:
    """Readings beside the truth, ``n`` cards.

    Attributes:
        card_ids: Names of the cards.
        truth: True VINs; empty where a card holds none.
        vins: VINs read; empty where none was.
        raw: Most probable character of every box, ``?`` where it gave nothing.
        status: Verdicts.
        confidence: ``float64[n]``, 0 where no VIN was read.
        eligible: ``bool[n]``, accepted, or held back by its confidence alone.
        probs: ``float64[n, 17]``, probability of the characters of ``raw``.
        posterior: ``float64[n]`` of the decoder before recalibration, or None where the
            table does not hold it.
        pictures: ``uint8[17, 28, 28]`` of some cards by their row, as the network saw them.
    """

    card_ids: tuple[str, ...]
    truth: tuple[str, ...]
    vins: tuple[str, ...]
    raw: tuple[str, ...]
    status: tuple[str, ...]
    confidence: Reals
    eligible: Flags
    probs: Reals
    posterior: Reals | None = None
    pictures: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    @property
    def holds_vin(self) -> Flags:
        """``bool[n]``, cards that hold a VIN."""
        return np.array([vin != "" for vin in self.truth], bool)

    @property
    def right(self) -> Flags:
        """``bool[n]``, cards whose VIN was read as it is."""
        pairs = zip(self.truth, self.vins, strict=True)
        return np.array([true != "" and true == read for true, read in pairs], bool)

    @property
    def accepted(self) -> Flags:
        """``bool[n]``."""
        return np.array([status == Status.ACCEPTED for status in self.status], bool)

    @property
    def boxes_right(self) -> Flags:
        """``bool[m, 17]`` of the ``m`` cards that hold a VIN, before any rule."""
        pairs = zip(self.truth, self.raw, strict=True)
        rows = [[a == b for a, b in zip(true, raw, strict=True)] for true, raw in pairs if true]
        return np.array(rows, bool).reshape(-1, VIN_LENGTH)

    def curve(self) -> RiskCurve:
        """As production would accept with another threshold."""
        return risk_curve(self.confidence, self.right, self.eligible)

    def ink_curve(self) -> RiskCurve:
        """Without any rule: the product of the boxes' probabilities, the raw reading."""
        score = np.log(np.maximum(self.probs, LEAST_PROB)).sum(axis=1)
        pairs = zip(self.truth, self.raw, strict=True)
        right = np.array([true != "" and true == raw for true, raw in pairs], bool)
        return risk_curve(score, right)

    def posterior_curve(self) -> RiskCurve | None:
        """By the decoder's posterior, whatever else speaks against a card."""
        if self.posterior is None:
            return None
        return risk_curve(self.posterior, self.right)

    def accepted_wrong(self) -> list[tuple[str, str, str]]:
        """Card id, VIN read and VIN on the card (may be empty) of accepted wrong cards."""
        return [
            (self.card_ids[row], self.vins[row], self.truth[row])
            for row in np.flatnonzero(self.accepted & ~self.right)
        ]

    def positions(self) -> list[Position]:
        """How each of the 17 boxes is read."""
        rows = [
            (true, raw, vin)
            for true, raw, vin in zip(self.truth, self.raw, self.vins, strict=True)
            if true
        ]
        found = []
        for place in range(VIN_LENGTH):
            wrong = Counter(true[place] + raw[place] for true, raw, _ in rows)
            pairs = Counter({pair: count for pair, count in wrong.items() if pair[0] != pair[1]})
            found.append(
                Position(
                    number=place + 1,
                    boxes=len(rows),
                    raw_wrong=pairs.total(),
                    empty=sum(raw[place] == "?" for _, raw, _ in rows),
                    vin_wrong=sum(bool(vin) and true[place] != vin[place] for true, _, vin in rows),
                    pairs=tuple(pairs.most_common(WORST_PAIRS)),
                )
            )
        return found


@dataclass(frozen=True, slots=True)
class CardScore:
    """How well whole cards are read.

    Attributes:
        cards: How many.
        characters_right: Share of boxes whose most probable character is right.
        raw_right: Share of cards whose 17 boxes are all right before any rule.
        vin_right: Share of cards whose most probable VIN is right.
        accepted: Cards accepted.
        accepted_wrong: Accepted cards whose VIN is wrong.
        status: Cards by status.
        calibration_error: Expected calibration error of the confidence (10 equal-mass bins).
        judged: The cards one by one; None where only the figures are known.
    """

    cards: int
    characters_right: float
    raw_right: float
    vin_right: float
    accepted: int
    accepted_wrong: int
    status: dict[str, int]
    calibration_error: float
    judged: JudgedCards | None = field(default=None, compare=False, repr=False)

    @property
    def with_vin(self) -> int:
        """Cards that hold a VIN; the shares of right ones are of these."""
        return self.cards if self.judged is None else int(self.judged.holds_vin.sum())

    def as_json(self) -> dict[str, Any]:
        """Plain values, rounded to what the sample size supports."""
        found: dict[str, Any] = {
            "cards": self.cards,
            "characters_right": round(self.characters_right, 5),
            "raw_right": round(self.raw_right, 4),
            "vin_right": round(self.vin_right, 4),
            "accepted": self.accepted,
            "accepted_wrong": self.accepted_wrong,
            "status": self.status,
            "calibration_error": round(self.calibration_error, 4),
            "intervals_95": {
                "raw_right": _interval(round(self.raw_right * self.with_vin), self.with_vin),
                "vin_right": _interval(round(self.vin_right * self.with_vin), self.with_vin),
                "accepted": _interval(self.accepted, self.cards),
                "accepted_wrong": _interval(self.accepted_wrong, self.accepted),
            },
        }
        if self.judged is not None:
            found["box_calibration_error"] = round(box_calibration_error(self.judged), 5)
            found["accepted_at_risk"] = coverage_at_risks(self.judged.curve())
        return found


def summarise(judged: JudgedCards) -> CardScore:
    """Count what is right, accepted and wrong among judged cards.

    Cards that hold no VIN count among all and among the accepted, where they are always
    wrong; shares of right characters and VINs are of the cards that hold one.
    """
    holders = max(int(judged.holds_vin.sum()), 1)
    boxes = judged.boxes_right
    accepted, right = judged.accepted, judged.right
    return CardScore(
        cards=len(judged.card_ids),
        characters_right=float(boxes.sum()) / (holders * VIN_LENGTH),
        raw_right=float(boxes.all(axis=1).sum()) / holders,
        vin_right=float(right.sum()) / holders,
        accepted=int(accepted.sum()),
        accepted_wrong=int((accepted & ~right).sum()),
        status=dict(Counter(judged.status)),
        calibration_error=expected_calibration_error(judged.confidence, right),
        judged=judged,
    )


def judged_from_readings(
    readings: Sequence[Reading],
    truth: Sequence[str],
    posterior: Reals | None = None,
    pictures: dict[int, NDArray[np.uint8]] | None = None,
) -> JudgedCards:
    """Put readings beside the truth.

    Args:
        readings: ``n`` readings.
        truth: ``n`` VINs, empty where a card holds none.
        posterior: ``float64[n]``, where known.
        pictures: Pixels of some cards, by row.
    """
    probs = [[char.prob for char in reading.chars] for reading in readings]
    return JudgedCards(
        card_ids=tuple(reading.card_id for reading in readings),
        truth=tuple(truth),
        vins=tuple(reading.vin or "" for reading in readings),
        raw=tuple(reading.raw_vin for reading in readings),
        status=tuple(reading.status.value for reading in readings),
        confidence=np.array([reading.confidence for reading in readings], np.float64),
        eligible=np.array([is_eligible(r.status, r.reasons) for r in readings], bool),
        probs=np.array(probs, np.float64).reshape(-1, VIN_LENGTH),
        posterior=posterior,
        pictures=pictures or {},
    )


def is_eligible(status: str, reasons: Sequence[str]) -> bool:
    """Whether nothing but its confidence can keep a card from being accepted."""
    causes = set(reasons) - {Reason.SECOND_READER.value}
    return status == Status.ACCEPTED or (status == Status.REVIEW and causes == ONLY_CONFIDENCE)


def box_calibration_error(judged: JudgedCards) -> float:
    """Expected calibration error of the boxes that gave a character."""
    holders = judged.holds_vin
    probs, right = judged.probs[holders].ravel(), judged.boxes_right.ravel()
    given = probs > 0
    return expected_calibration_error(probs[given], right[given])


def coverage_at_risks(curve: RiskCurve) -> dict[str, dict[str, float | int]]:
    """Accepted cards for each of ``RISKS``, the threshold chosen on these very cards."""
    found: dict[str, dict[str, float | int]] = {}
    for risk in RISKS:
        accepted, wrong = curve.at_most(risk)
        share = round(accepted / max(curve.total, 1), 4)
        found[f"{risk:g}"] = {"share": share, "accepted": accepted, "wrong": wrong}
    return found


def _interval(count: int, total: int) -> list[float]:
    return [round(bound, 5) for bound in wilson(count, total)]
