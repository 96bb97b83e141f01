"""What may be in a box and is no VIN character, and how sure the network is there.

A network that is trained on 33 characters always answers one of them; what counts is that it
does not do so confidently. Reject crops pass the production preprocessing, which refuses
some of them before the network is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.base import Classifier
from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.records import BoxIssue
from vin_batch.synthesis.scan import Level, ScanStyle, scan_box
from vin_batch.training.draw import BOX_SIDES, draw_training_box
from vin_batch.training.measure import top_probs
from vin_batch.training.packs import GlyphPack, ink_mask, load_packs
from vin_batch.training.strokes import write_reject

Cover = NDArray[np.float32]
Grey = NDArray[np.uint8]

LETTERS: Final = {
    "letter I": "I",
    "letter O": "O",
    "letter Q": "Q",
    "small letters of another shape": "adefhmnrt",
    "small letters shaped like a digit": "bgilq",
    "small letters shaped like the capital": "cjkopsuvwxyz",
}
"""Characters of the packs that no VIN has. I and O are written like 1 and 0, many small
letters like their capitals: being sure there is what a clerk would be, too."""
FOLDERS: Final = ("train", "evaluate")
CROPS: Final = 400
"""Crops of each kind: the share above a level is known to 5 points at worst."""
SEED: Final = 101
LEVEL: Final[Level] = "scan"
SURE: Final = (0.9, 0.99)
ANSWERS_NAMED: Final = 5
EXAMPLES: Final = 12
"""Crops of each kind that are kept to be shown."""
DIRT_SPECKS: Final = 6.0
"""Mean number of specks on a dirty box: more than any scan style has."""
BLOB_GRID: Final = 6
"""Control points per axis of the smooth field whose hills are blots."""
BLOT_SIDE: Final = 48


@dataclass(frozen=True, slots=True)
class RejectScore:
    """How the network answers to one kind of reject.

    Attributes:
        kind: What it is.
        crops: How many crops.
        refused: Crops that the preprocessing gave no image of, by issue code.
        answers: Most frequent answers to the others and their counts.
        probs: ``float64[m]``, top probability of the crops that were not refused.
        examples: The first few crops, ``uint8[h, w]``, with what came of each: the answer
            and its probability, or the issue and 0.
    """

    kind: str
    crops: int
    refused: dict[str, int]
    answers: tuple[tuple[str, int], ...]
    probs: NDArray[np.float64]
    examples: tuple[tuple[Grey, str, float], ...] = ()

    def share_above(self, level: float) -> float:
        """Share of all crops that are read with more than a probability."""
        return float((self.probs > level).sum()) / max(self.crops, 1)

    def as_json(self) -> dict[str, Any]:
        """Plain values; quantiles are of the crops that were not refused."""
        given = len(self.probs) > 0
        return {
            "crops": self.crops,
            "refused": self.refused,
            "mean": round(float(self.probs.mean()), 4) if given else None,
            "median": round(float(np.median(self.probs)), 4) if given else None,
            "percentile_90": round(float(np.quantile(self.probs, 0.9)), 4) if given else None,
            **{f"share_above_{level:g}": round(self.share_above(level), 4) for level in SURE},
            "answers": dict(self.answers),
        }


def score_rejects(classifier: Classifier, kind: str, crops: Sequence[Grey]) -> RejectScore:
    """Put reject crops through preprocessing and network.

    Args:
        classifier: The model.
        kind: What they are.
        crops: ``uint8[h, w]`` each, as an archive would hold them.
    """
    pixels = np.zeros((len(crops), IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    issues = np.zeros(len(crops), np.uint8)
    for row, crop in enumerate(crops):
        pixels[row], issues[row] = preprocess_image(crop)
    log_probs = classifier.log_probs(pixels[issues == BoxIssue.NONE])
    answers = [classifier.card.classes[best] for best in log_probs.argmax(axis=1)]
    probs = top_probs(log_probs)
    return RejectScore(
        kind=kind,
        crops=len(crops),
        refused=dict(Counter(BoxIssue(int(issue)).code for issue in issues if issue)),
        answers=tuple(Counter(answers).most_common(ANSWERS_NAMED)),
        probs=probs,
        examples=_examples(crops, issues, answers, probs),
    )


def reject_crops(folder: Path, people: Sequence[GlyphPack], count: int) -> dict[str, list[Grey]]:
    """Reject crops of every kind.

    Args:
        folder: The data folder; letters come from its packs, of people not trained on.
        people: Held-out packs; their characters are crossed out.
        count: Crops of each kind; the packs may hold fewer.

    Returns:
        Crops by kind; a kind of which the packs hold nothing is left out.
    """
    found: dict[str, list[Grey]] = {}
    packs = held_out_letters(folder, "".join(LETTERS.values()))
    for number, (kind, characters) in enumerate(LETTERS.items()):
        chosen = [pack.where(np.isin(pack.labels, list(characters))) for pack in packs]
        covers = _some(_covers(chosen), count, number)
        if covers:
            found[kind] = crops_of(covers, [SEED, number])
    rng = np.random.default_rng([SEED, 99])
    written = _some(_covers(people), count, 98)
    makers: dict[str, Iterable[Cover]] = {
        "Cyrillic letters": (write_reject("cyrillic", rng) for _ in range(count)),
        "scribbles": (write_reject("scribble", rng) for _ in range(count)),
        "blots": (draw_blot(rng) for _ in range(count)),
        "crossed out": (cross_out(cover, rng) for cover in written),
    }
    for number, (kind, drawn) in enumerate(makers.items(), start=len(LETTERS)):
        found[kind] = crops_of(drawn, [SEED, number])
    found["blank boxes with dirt"] = [dirty_box(rng) for _ in range(count)]
    return found


def crops_of(covers: Iterable[Cover], seed: Sequence[int], level: Level = LEVEL) -> list[Grey]:
    """Draw ink covers into scanned boxes, each by a scanner of its own.

    Args:
        covers: ``float32[h, w]`` each, 0 to 1, cut to the ink.
        seed: Seed of places, sizes and scans.
        level: Difficulty of the scan.
    """
    rng = np.random.default_rng(list(seed))
    return [draw_training_box(cover, rng, level, faithful=True) for cover in covers]


def held_out_letters(folder: Path, characters: str) -> list[GlyphPack]:
    """Images of characters that no VIN has, by people that nobody trains on."""
    found = []
    for name in FOLDERS:
        if any((folder / name).glob("*.npz")):
            packs = load_packs(folder / name, characters)
            found += [p.part(held_out=True) if name == "train" else p for p in packs]
    return found


def dirty_box(rng: np.random.Generator) -> Grey:
    """An empty box of an old form: specks, perhaps a hair or a stroke of the next box."""
    side = int(rng.integers(*BOX_SIDES))
    height, width = side, round(side * rng.uniform(0.8, 1.15))
    canvas = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.poisson(DIRT_SPECKS))):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        radius = max(1, round(side * rng.uniform(0.004, 0.02)))
        cv2.circle(canvas, centre, radius, int(rng.integers(100, 256)), -1, cv2.LINE_AA)
    if rng.random() < 0.3:
        ends = rng.uniform(0, 1, (2, 2)) * [width, height]
        start, end = np.rint(ends).astype(int).tolist()
        cv2.line(canvas, start, end, int(rng.integers(60, 160)), 1, cv2.LINE_AA)
    if rng.random() < 0.3:
        column = 0 if rng.random() < 0.5 else width - 1
        top = int(rng.integers(0, height))
        bottom = min(height - 1, top + round(height * rng.uniform(0.1, 0.4)))
        cv2.line(canvas, (column, top), (column, bottom), 255, max(1, side // 20), cv2.LINE_AA)
    mask = canvas.astype(np.float32) / np.float32(255)
    return scan_box(mask, ScanStyle.random(LEVEL, rng), rng)


def draw_blot(rng: np.random.Generator) -> Cover:
    """A spot of ink: the highest hill of a smooth random field, with a soft edge."""
    field = rng.normal(0, 1, (BLOB_GRID, BLOB_GRID)).astype(np.float32)
    smooth = cv2.resize(field, (BLOT_SIDE, BLOT_SIDE), interpolation=cv2.INTER_CUBIC)
    level = float(np.quantile(smooth, rng.uniform(0.6, 0.85)))
    _, parts = cv2.connectedComponents((smooth > level).astype(np.uint8))
    top = parts.ravel()[int(smooth.argmax())]
    spot = (parts == top).astype(np.float32)
    soft = cv2.GaussianBlur(spot, (0, 0), 0.8).astype(np.float32)
    rows, columns = np.flatnonzero(spot.any(axis=1)), np.flatnonzero(spot.any(axis=0))
    return np.asarray(soft[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], np.float32)


def cross_out(cover: Cover, rng: np.random.Generator) -> Cover:
    """A character of a person under an X, a row of strokes, or a wild zigzag."""
    margin = max(cover.shape) // 5 + 1
    padded = np.pad(cover, margin)
    height, width = padded.shape
    thick = max(1, round(min(height, width) * rng.uniform(0.04, 0.09)))
    canvas = np.zeros(padded.shape, np.uint8)
    for line in _STRIKES[int(rng.integers(len(_STRIKES)))](rng):
        points = np.rint(line * [width - 1, height - 1]).astype(np.int32)
        cv2.polylines(canvas, [points], False, 255, thick, cv2.LINE_AA)
    strikes = canvas.astype(np.float32) / np.float32(255)
    return np.asarray(np.maximum(padded, strikes), np.float32)


def _cross(rng: np.random.Generator) -> list[NDArray[np.float64]]:
    ends = np.array([[[0, 0], [1, 1]], [[1, 0], [0, 1]]]) + rng.normal(0, 0.06, (2, 2, 2))
    return list(np.clip(ends, 0, 1))


def _row(rng: np.random.Generator) -> list[NDArray[np.float64]]:
    heights = np.sort(rng.uniform(0.15, 0.85, int(rng.integers(2, 5))))
    tilt = rng.normal(0, 0.12)
    return [np.clip(np.array([[0, y + tilt], [1, y - tilt]]), 0, 1) for y in heights]


def _zigzag(rng: np.random.Generator) -> list[NDArray[np.float64]]:
    turns = int(rng.integers(6, 12))
    x = np.linspace(0, 1, turns) + rng.normal(0, 0.03, turns)
    y = np.where(np.arange(turns) % 2 == 0, 0.15, 0.85) + rng.normal(0, 0.08, turns)
    return [np.clip(np.column_stack([x, y]), 0, 1)]


_STRIKES: Final[tuple[Callable[[np.random.Generator], list[NDArray[np.float64]]], ...]] = (
    _cross,
    _row,
    _zigzag,
)


def _examples(
    crops: Sequence[Grey],
    issues: NDArray[np.uint8],
    answers: Sequence[str],
    probs: NDArray[np.float64],
) -> tuple[tuple[Grey, str, float], ...]:
    given = iter(zip(answers, probs.tolist(), strict=True))
    outcomes = [
        (BoxIssue(int(issue)).code, 0.0) if issue != BoxIssue.NONE else next(given)
        for issue in issues
    ]
    shown = zip(crops[:EXAMPLES], outcomes[:EXAMPLES], strict=True)
    return tuple((crop, *outcome) for crop, outcome in shown)


def _covers(packs: Iterable[GlyphPack]) -> Iterator[Cover]:
    for pack in packs:
        for image in pack.images:
            mask = ink_mask(image)
            if mask is not None:
                yield mask


def _some(covers: Iterable[Cover], count: int, seed: int) -> list[Cover]:
    """At most so many, chosen at random, always the same ones."""
    known = list(covers)
    rng = np.random.default_rng([SEED, seed])
    return [known[row] for row in rng.permutation(len(known))[:count]]


def reject_table(scores: Sequence[RejectScore]) -> str:
    """One line for each kind."""
    lines = [
        "no VIN characters: how sure is the network? (shares are of all crops)",
        f"  {'kind':39}{'crops':>6}{'refused':>9}{'mean':>7}{'median':>8}{'90 %':>7}"
        f"{'> 0.9':>9}{'> 0.99':>9}  read as",
    ]
    for score in scores:
        numbers = f"{'':>22}"
        if len(score.probs):
            quantiles = (score.probs.mean(), np.median(score.probs), np.quantile(score.probs, 0.9))
            numbers = "{:7.3f}{:8.3f}{:7.3f}".format(*quantiles)
        shares = "".join(f"{100 * score.share_above(level):7.1f} %" for level in SURE)
        answers = " ".join(f"{answer}:{count}" for answer, count in score.answers)
        lines.append(
            f"  {score.kind:39}{score.crops:>6}{sum(score.refused.values()):>9}{numbers}"
            f"{shares}  {answers}".rstrip()
        )
    return "\n".join(lines)
