"""Measurements as aligned text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from vin_batch.training.curves import RISKS, RiskCurve, expected_calibration_error
from vin_batch.training.intervals import share_text, wilson
from vin_batch.training.judged import CardScore, JudgedCards, box_calibration_error
from vin_batch.training.measure import CharacterScore

PAIRS_PER_SOURCE: Final = 6
PAIRS_PER_CLASS: Final = 5
WORST_PAIRS: Final = 20
"""Confusions listed over all sources together."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How well the images of one character are read, over all sources.

    Attributes:
        character: The true character.
        images: How many.
        correct: How many were read right.
        read_as: Most frequent wrong answers and their counts.
        taken_for: How many images of other characters were read as this one.
    """

    character: str
    images: int
    correct: int
    read_as: tuple[tuple[str, int], ...]
    taken_for: int


def pairs_of(scores: Iterable[CharacterScore]) -> Counter[tuple[str, str]]:
    """Counts of (true, read) over all sources whose answers are known, right ones included."""
    found: Counter[tuple[str, str]] = Counter()
    for score in scores:
        if score.answers is not None:
            found.update(
                zip(score.answers.truth.tolist(), score.answers.read.tolist(), strict=True)
            )
    return found


def class_scores(scores: Iterable[CharacterScore]) -> list[ClassScore]:
    """Scores by true character, in alphabetical order."""
    pairs = pairs_of(scores)
    totals: Counter[str] = Counter()
    wrong: defaultdict[str, Counter[str]] = defaultdict(Counter)
    taken: Counter[str] = Counter()
    for (true, read), count in pairs.items():
        totals[true] += count
        if true != read:
            wrong[true][read] += count
            taken[read] += count
    return [
        ClassScore(
            character=true,
            images=totals[true],
            correct=pairs[true, true],
            read_as=tuple(wrong[true].most_common(PAIRS_PER_CLASS)),
            taken_for=taken[true],
        )
        for true in sorted(totals)
    ]


def worst_confusions(
    scores: Iterable[CharacterScore], count: int = WORST_PAIRS
) -> list[tuple[str, str, int]]:
    """Most frequent wrong pairs (true, read, how often) over all sources."""
    wrong = Counter({pair: n for pair, n in pairs_of(scores).items() if pair[0] != pair[1]})
    return [(true, read, n) for (true, read), n in wrong.most_common(count)]


def pooled_calibration_error(scores: Iterable[CharacterScore]) -> float | None:
    """Expected calibration error over all images with a result; None without any."""
    known = [score.answers for score in scores if score.answers is not None]
    if not known:
        return None
    probs = np.concatenate([answers.probs for answers in known])
    right = np.concatenate([answers.right for answers in known])
    return expected_calibration_error(probs[probs > 0], right[probs > 0])


def measurement_text(characters: list[CharacterScore], cards: dict[str, CardScore]) -> str:
    """A measurement as aligned text.

    Intervals are Wilson score intervals (1927) of 95 %.
    """
    parts = [source_table(characters), *class_tables(characters)]
    parts += [card_table(f"cards, level {level}", score) for level, score in cards.items()]
    return "\n\n".join(part for part in parts if part)


def source_table(characters: Sequence[CharacterScore]) -> str:
    """One line for each source, and its most frequent confusions (true, read)."""
    lines = [
        "characters, one image at a time, no rules",
        f"  {'source':22}{'images':>8}  {'right':>24}  {'ECE':>6}  confusions (true, read)",
    ]
    for score in sorted(characters, key=lambda score: score.source):
        error = score.calibration_error
        pairs = " ".join(f"{pair}:{count}" for pair, count in score.confusions[:PAIRS_PER_SOURCE])
        lines.append(
            f"  {score.source:22}{score.images:>8}  {share_text(score.correct, score.images):24}"
            f"  {'' if error is None else f'{error:.4f}':>6}  {pairs}".rstrip()
        )
    pooled = pooled_calibration_error(characters)
    if pooled is not None:
        lines.append(f"  expected calibration error (ECE) over all sources: {pooled:.4f}")
    return "\n".join(lines)


def class_tables(characters: Sequence[CharacterScore]) -> list[str]:
    """One line for each character, and the worst confusions; nothing without answers."""
    classes = class_scores(characters)
    if not classes:
        return []
    lines = [
        "characters by class, all sources",
        f"  {'class':6}{'images':>8}  {'right':>24}  {'others read as it':>18}  read as",
    ]
    lines += [
        f"  {row.character:6}{row.images:>8}  {share_text(row.correct, row.images):24}"
        f"  {row.taken_for:>18}  {_pairs(row.read_as)}".rstrip()
        for row in classes
    ]
    worst = [f"{true} as {read}: {n}" for true, read, n in worst_confusions(characters)]
    rows = [worst[start : start + 5] for start in range(0, len(worst), 5)]
    text = ["worst confusions, all sources (- is an image without a result)"]
    text += ["  " + "".join(f"{cell:16}" for cell in row).rstrip() for row in rows]
    return ["\n".join(lines), "\n".join(text)]


def card_table(title: str, score: CardScore) -> str:
    """What is right without and with rules, what is accepted, and how sure that is."""
    holders = score.with_vin
    lines = [f"{title} ({score.cards})"]
    if holders < score.cards:
        lines.append(f"  cards without a VIN   {score.cards - holders} (wrong when accepted)")
    raw, decoded = round(score.raw_right * holders), round(score.vin_right * holders)
    lines += [
        f"  characters right      {100 * score.characters_right:6.2f} %",
        f"  17 right, no rules    {share_text(raw, holders)}",
        f"  VIN right, decoded    {share_text(decoded, holders)}",
        f"  accepted              {share_text(score.accepted, score.cards)}",
        f"  wrong among accepted  {share_text(score.accepted_wrong, score.accepted)}"
        f"  ({score.accepted_wrong} of {score.accepted})",
        "  status                "
        + ", ".join(f"{count} {status}" for status, count in sorted(score.status.items())),
        f"  calibration error     {score.calibration_error:.4f}"
        + ("" if score.judged is None else f" (boxes {box_calibration_error(score.judged):.4f})"),
    ]
    return "\n".join(lines + (risk_table(score.judged) if score.judged is not None else []))


def risk_table(judged: JudgedCards) -> list[str]:
    """Accepted share for given shares of wrong ones; thresholds chosen on these cards."""
    curves = {
        "no rules": judged.ink_curve(),
        "posterior, all cards": judged.posterior_curve(),
        "as accepted": judged.curve(),
    }
    known = {name: curve for name, curve in curves.items() if curve is not None}
    lines = [
        "  accepted share when at most so many are wrong (threshold chosen on these cards):",
        f"    {'wrong':>8}" + "".join(f"{name:>24}" for name in known),
    ]
    for risk in RISKS:
        cells = "".join(f"{_coverage(curve, risk):>24}" for curve in known.values())
        lines.append(f"    {100 * risk:6.2f} %{cells}")
    return lines


def position_table(judged: JudgedCards) -> str:
    """One line for each of the 17 positions."""
    lines = [
        "boxes by position (cards that hold a VIN)",
        f"  {'position':>8}  {'wrong, no rules':>26}  {'empty':>6}  {'wrong in VIN':>12}  "
        "confusions (true, read)",
    ]
    for row in judged.positions():
        wrong = share_text(row.raw_wrong, row.boxes)
        lines.append(
            f"  {row.number:>8}  {wrong:>26}  {row.empty:>6}  {row.vin_wrong:>12}  "
            f"{_pairs(row.pairs)}".rstrip()
        )
    return "\n".join(lines)


def wrong_table(judged: JudgedCards) -> str:
    """Every accepted card whose VIN is wrong, and the two VINs; empty without any."""
    wrong = judged.accepted_wrong()
    if not wrong:
        return ""
    width = max(len("card"), *(len(card_id) for card_id, _, _ in wrong))
    lines = [
        "accepted and wrong",
        f"  {'card':{width}}  {'VIN read':17}  {'VIN on the card':17}  positions",
    ]
    lines += [
        f"  {card_id:{width}}  {read:17}  {true or '(none)':17}  {_differences(read, true)}"
        for card_id, read, true in wrong
    ]
    return "\n".join(lines)


def classes_json(characters: Sequence[CharacterScore]) -> dict[str, Any]:
    """Per class: images, accuracy with interval, what it is read as."""
    return {
        row.character: {
            "images": row.images,
            "accuracy": round(row.correct / row.images, 5),
            "interval_95": [round(bound, 5) for bound in wilson(row.correct, row.images)],
            "read_as": dict(row.read_as),
            "taken_for": row.taken_for,
        }
        for row in class_scores(characters)
    }


def curves_json(judged: JudgedCards) -> dict[str, Any]:
    """Points of every risk-coverage curve: threshold (or score), accepted, wrong."""
    curves = {
        "no_rules": judged.ink_curve(),
        "posterior": judged.posterior_curve(),
        "as_accepted": judged.curve(),
    }
    return {
        name: {
            "cards": curve.total,
            "points": [[round(t, 9), accepted, wrong] for t, accepted, wrong in curve.points()],
        }
        for name, curve in curves.items()
        if curve is not None
    }


def positions_json(judged: JudgedCards) -> list[dict[str, Any]]:
    """One object for each of the 17 positions."""
    return [
        {
            "position": row.number,
            "boxes": row.boxes,
            "raw_wrong": row.raw_wrong,
            "empty": row.empty,
            "vin_wrong": row.vin_wrong,
            "confusions": dict(row.pairs),
        }
        for row in judged.positions()
    ]


def _coverage(curve: RiskCurve, risk: float) -> str:
    accepted, wrong = curve.at_most(risk)
    return f"{100 * accepted / max(curve.total, 1):6.2f} % ({wrong} of {accepted})"


def _pairs(pairs: Iterable[tuple[str, int]]) -> str:
    return " ".join(f"{pair}:{count}" for pair, count in pairs)


def _differences(read: str, true: str) -> str:
    places = [n for n, (a, b) in enumerate(zip(read, true, strict=False), start=1) if a != b]
    return ", ".join(map(str, places))
