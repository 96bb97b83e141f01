"""How much a second reader adds: cards accepted and wrong, with it and without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.records import BoxIssue, DecisionPolicy, Reading, Status
from vin_batch.training.cards import CardSet
from vin_batch.training.intervals import share_text, wilson
from vin_batch.training.second_fit import Boxes
from vin_batch.vin.alphabet import encode
from vin_batch.vin.decoder import Decoder
from vin_batch.vin.verdict import judge

EVERY: Final = 4
"""Of the cards that the first reader accepts, one in so many is looked at, too, and counts
for all of them: what ``all`` needs to know costs little more than ``review``."""
READERS: Final = ("first", "second", "both")


@dataclass(frozen=True, slots=True)
class LookedCards:
    """Drawn cards that the first reader read, and the second in part.

    Attributes:
        cards: ``n`` cards with known VINs.
        first: ``float32[n, 17, 33]``, log-probabilities of the first reader.
        readings: ``n`` readings by the first reader alone.
        rows: ``int[m]``, cards that the second reader looked at.
        scores: ``float32[m, 17, 62]``.
        glyphs: ``int64[m, 17]``, glyphs of the bank.
        seconds: Processor time of the second look.
    """

    cards: CardSet
    first: NDArray[np.float32]
    readings: tuple[Reading, ...]
    rows: NDArray[np.intp]
    scores: NDArray[np.float32]
    glyphs: NDArray[np.int64]
    seconds: float

    @property
    def doubted(self) -> NDArray[np.bool_]:
        """``bool[m]``, looked cards that the first reader would send to review."""
        return np.array([self.readings[row].status is Status.REVIEW for row in self.rows], bool)

    @property
    def drawn_evenly(self) -> NDArray[np.bool_]:
        """``bool[m]``, looked cards that stand for all cards, doubted or not."""
        return np.asarray(self.rows % EVERY == 0)

    def subset(self, chosen: NDArray[np.bool_]) -> CardSet:
        """Looked cards that are chosen, ``bool[m]``."""
        rows = self.rows[chosen]
        vins = tuple(self.cards.vins[row] for row in rows)
        return CardSet(vins, self.cards.pixels[rows], self.cards.issues[rows])

    def boxes(self) -> tuple[Boxes, NDArray[np.bool_]]:
        """Boxes that gave evidence, and where they are: ``bool[m, 17]``."""
        seen = self.cards.issues[self.rows] == BoxIssue.NONE
        truth = np.stack([encode(self.cards.vins[row]) for row in self.rows]).astype(np.int64)
        return Boxes(self.first[self.rows][seen], self.scores[seen], truth[seen],
                     self.glyphs[seen]), seen  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What came of cards in one mode of use.

    Attributes:
        cards: How many.
        vin_right: Cards whose most probable VIN is right.
        accepted: Cards accepted.
        wrong: Accepted cards whose VIN is wrong.
    """

    cards: int
    vin_right: int
    accepted: int
    wrong: int

    def as_json(self) -> dict[str, Any]:
        """Counts, and the 95 % intervals of their shares."""
        return {
            "cards": self.cards,
            "vin_right": self.vin_right,
            "accepted": self.accepted,
            "accepted_wrong": self.wrong,
            "intervals_95": {
                "vin_right": _interval(self.vin_right, self.cards),
                "accepted": _interval(self.accepted, self.cards),
                "accepted_wrong": _interval(self.wrong, self.accepted),
            },
        }


@dataclass(frozen=True, slots=True)
class BoxScore:
    """How well single boxes are read.

    Attributes:
        boxes: How many.
        right: Those whose most probable character is right.
        loss: Mean negative log-likelihood of the true character, in nats.
    """

    boxes: int
    right: int
    loss: float


@dataclass(frozen=True, slots=True)
class SecondScore:
    """Drawn cards of one level, by the first reader alone and with the second.

    Attributes:
        off: Without the second reader.
        review: With it for cards that would go to review.
        every: With it for all cards, ``1 / EVERY`` of them.
        looked: Cards that ``review`` looks at.
        seconds: Processor time of the second reader for one card.
        boxes: Boxes of the cards that ``review`` looks at, by the readers of ``READERS``.
    """

    off: Verdicts
    review: Verdicts
    every: Verdicts
    looked: int
    seconds: float
    boxes: tuple[BoxScore, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        modes = {"off": self.off, "review": self.review, "all": self.every}
        return {
            "second_reader": {mode: verdicts.as_json() for mode, verdicts in modes.items()},
            "looked_at": self.looked,
            "seconds_per_card": round(self.seconds, 3),
            "boxes_of_looked_cards": {
                reader: {
                    "boxes": score.boxes,
                    "right": round(score.right / max(score.boxes, 1), 4),
                    "loss": round(score.loss, 4),
                }
                for reader, score in zip(READERS, self.boxes, strict=False)
            },
        }


def score_second(
    part: LookedCards,
    fused: NDArray[np.float32],
    policies: Mapping[str, DecisionPolicy],
    decoder: Decoder,
) -> SecondScore:
    """Judge cards as production does in each mode.

    Args:
        part: Cards that neither reader was fitted to.
        fused: ``float32[m, 17, 33]`` of both readers, of the looked cards.
        policies: By mode.
        decoder: The VIN decoder.
    """
    truth, doubted, even = part.cards.vins, part.doubted, part.drawn_evenly
    review = list(part.readings)
    again = _judged(part, fused, policies["review"], decoder)
    for row in np.flatnonzero(doubted):
        review[part.rows[row]] = again[row]
    every = list(part.readings)
    again = _judged(part, fused, policies["all"], decoder)
    for row in np.flatnonzero(even):
        every[part.rows[row]] = again[row]
    sample = slice(0, None, EVERY)
    return SecondScore(
        off=_verdicts(part.readings, truth),
        review=_verdicts(review, truth),
        every=_verdicts(every[sample], truth[sample]),
        looked=int(doubted.sum()),
        seconds=part.seconds / max(len(part.rows), 1),
    )


def box_score(log_probs: NDArray[np.float32], truth: NDArray[np.int64]) -> BoxScore:
    """Compare ``float32[m, 33]`` with true classes ``int64[m]``."""
    chosen = log_probs[np.arange(len(truth)), truth].astype(np.float64)
    return BoxScore(
        boxes=len(truth),
        right=int((log_probs.argmax(axis=1) == truth).sum()),
        loss=float(-chosen.mean()) if len(truth) else 0.0,
    )


def measurement_text(scores: Mapping[str, SecondScore]) -> str:
    """A table for people: every level in every mode, and what it costs."""
    lines = [
        f"{'level':<6} {'second':<7} {'cards':>6}  {'VIN right':<24} {'accepted':<24} "
        "wrong among accepted"
    ]
    for level, score in scores.items():
        modes = (("off", score.off), ("review", score.review), ("all", score.every))
        for mode, found in modes:
            wrong = f"{found.wrong} of {found.accepted}"
            lines.append(
                f"{level:<6} {mode:<7} {found.cards:>6}  "
                f"{share_text(found.vin_right, found.cards):<24} "
                f"{share_text(found.accepted, found.cards):<24} "
                f"{wrong:<12} {share_text(found.wrong, found.accepted)}"
            )
    for level, score in scores.items():
        readers = ", ".join(
            f"{reader} {100 * box.right / max(box.boxes, 1):.1f} % (loss {box.loss:.3f})"
            for reader, box in zip(READERS, score.boxes, strict=False)
        )
        lines.append(
            f"{level}: looks at {100 * score.looked / max(score.off.cards, 1):.1f} % of the "
            f"cards, {score.seconds:.2f} s of one core each; their characters: {readers}"
        )
    return "\n".join(lines)


def _judged(
    part: LookedCards, fused: NDArray[np.float32], policy: DecisionPolicy, decoder: Decoder
) -> list[Reading]:
    issues = part.cards.issues[part.rows]
    names = [str(row) for row in part.rows]
    return judge(names, fused, issues, np.zeros(len(names), np.int32), policy, decoder)


def _verdicts(readings: list[Reading] | tuple[Reading, ...], truth: tuple[str, ...]) -> Verdicts:
    right = [reading.vin == vin for reading, vin in zip(readings, truth, strict=True)]
    accepted = [reading.status is Status.ACCEPTED for reading in readings]
    wrong = [one and not other for one, other in zip(accepted, right, strict=True)]
    return Verdicts(len(right), sum(right), sum(accepted), sum(wrong))


def _interval(count: int, total: int) -> list[float]:
    return [round(bound, 5) for bound in wilson(count, total)]
