"""Pictures of single characters: bars, the confusion matrix, crops with their answers.

Importing this imports matplotlib.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vin_batch.training.intervals import wilson
from vin_batch.training.measure import UNREAD, Answers, CharacterScore
from vin_batch.training.rejects import RejectScore
from vin_batch.training.tables import class_scores, pairs_of, worst_confusions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CROP: Final = 0.75
"""Side of a shown crop, in inches."""
PAIRS: Final = 12
EXAMPLES: Final = 10
"""Crops shown of each confusion."""
SHEET: Final = (8, 14)
"""Rows and columns of the sheet of predictions."""
SHEET_SEED: Final = 4
SURE_REJECT: Final = 0.9
LABEL_WIDTH: Final = 22
WRONG_COLOUR: Final = "tab:red"
RIGHT_COLOUR: Final = "tab:green"


def sources(scores: Sequence[CharacterScore]) -> Figure:
    """Share right by source, with intervals."""
    ordered = sorted(scores, key=lambda score: score.accuracy)
    names = [f"{score.source} ({score.images:,})" for score in ordered]
    counts = [(score.correct, score.images) for score in ordered]
    return _bars(names, counts, "characters right by source (images)")


def classes(scores: Sequence[CharacterScore]) -> Figure:
    """Share right by true character, with intervals."""
    ordered = sorted(class_scores(scores), key=lambda row: row.correct / row.images)
    names = [
        f"{row.character} ({row.images:,})  {' '.join(read for read, _ in row.read_as[:3]):5}"
        for row in ordered
    ]
    counts = [(row.correct, row.images) for row in ordered]
    return _bars(names, counts, "characters right by class (images), and what they are read as")


def _bars(names: Sequence[str], counts: Sequence[tuple[int, int]], title: str) -> Figure:
    figure = Figure((8, 1.2 + 0.26 * len(names)), layout="constrained")
    axes = figure.subplots()
    share = np.array([100 * count / total for count, total in counts])
    bounds = np.array([wilson(*pair) for pair in counts]).T * 100
    error = np.maximum([share - bounds[0], bounds[1] - share], 0)
    places = np.arange(len(names))
    axes.barh(places, share, xerr=error, color="tab:blue", alpha=0.75, capsize=2)
    lowest = max(0.0, float(np.floor(bounds[0].min() / 5) * 5) - 5)
    for place, value in enumerate(share):
        axes.text(lowest + 0.3, place, f"{value:.1f}", va="center", fontsize=8, color="white")
    axes.set_yticks(places, names, fontsize=9, family="monospace")
    axes.set(xlim=(lowest, 100), ylim=(-0.6, len(names) - 0.4), xlabel="percent, 95 % interval")
    axes.set_title(title)
    axes.grid(axis="x", alpha=0.3)
    return figure


def confusion_matrix(scores: Sequence[CharacterScore]) -> Figure:
    """Rows are true characters, columns answers; wrong ones are counted and coloured."""
    pairs = pairs_of(scores)
    truth = sorted({true for true, _ in pairs})
    answers = sorted({read for _, read in pairs} | set(truth), key=lambda c: (c == UNREAD, c))
    table = np.array([[pairs[true, read] for read in answers] for true in truth])
    wrong = np.array([[0 if t == r else pairs[t, r] for r in answers] for t in truth])
    share = np.where(wrong > 0, wrong / np.maximum(table.sum(axis=1, keepdims=True), 1), np.nan)
    side = 1.5 + 0.3 * len(answers)
    figure = Figure((side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="YlOrRd", norm=LogNorm(3e-4, 0.1))
    for row, column in np.argwhere(wrong > 0):
        dark = share[row, column] > 0.012
        axes.text(
            column, row, str(wrong[row, column]),
            ha="center", va="center", fontsize=7, color="white" if dark else "black",
        )  # fmt: skip
    for row, true in enumerate(truth):
        axes.text(answers.index(true), row, "•", ha="center", va="center", color="tab:gray")
    _name_ticks(axes, truth, answers)
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of the true character's images")
    axes.set_title(f"how often a character is read as another, {int(table.sum()):,} images")
    return figure


def _name_ticks(axes: Axes, truth: Sequence[str], answers: Sequence[str]) -> None:
    names = ["none" if read == UNREAD else read for read in answers]
    axes.set_xticks(range(len(answers)), names)
    axes.set_yticks(range(len(truth)), truth)
    axes.tick_params(top=True, labeltop=True, length=0, labelsize=9)
    axes.set(xlabel="read as", ylabel="true character")
    axes.set_xticks(np.arange(len(answers) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(truth) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.9", lw=0.5)
    axes.tick_params(which="minor", length=0)


def worst_confusion_crops(scores: Sequence[CharacterScore]) -> Figure:
    """The most frequent confusions, and the crops that were read so, surest first."""
    worst = worst_confusions(scores, PAIRS)
    rows = max(len(worst), 1)
    figure = Figure((2.2 + CROP * EXAMPLES * 1.15, 0.5 + rows * CROP * 1.45), layout="constrained")
    grid = figure.subplots(rows, EXAMPLES + 1, squeeze=False, width_ratios=[2] + [1] * EXAMPLES)
    for axes in grid.flat:
        axes.axis("off")
    for row, (true, read, count) in enumerate(worst):
        answer = "not read" if read == UNREAD else f"read as {read}"
        grid[row, 0].text(0, 0.5, f"{true} {answer}\n{count} times", va="center", fontsize=10)
        for place, (image, prob, source) in enumerate(_examples(scores, true, read)):
            caption = f"{source}\n{read} {prob:.2f}"
            _show(grid[row, place + 1], image, caption, WRONG_COLOUR)
    figure.suptitle("most frequent confusions: crops as the source holds them, answer below")
    return figure


def _examples(
    scores: Sequence[CharacterScore], true: str, read: str
) -> list[tuple[NDArray[np.uint8], float, str]]:
    """Crops of a confusion, surest first."""
    found = []
    for score in scores:
        if (known := score.answers) is not None:
            rows = np.flatnonzero((known.truth == true) & (known.read == read))
            found += [(known.images[r], float(known.probs[r]), score.source[:12]) for r in rows]
    return sorted(found, key=lambda example: -example[1])[:EXAMPLES]


def prediction_sheet(scores: Sequence[CharacterScore]) -> Figure:
    """Crops of all sources with the answer below: green where right, red where wrong."""
    height, width = SHEET
    rng = np.random.default_rng(SHEET_SEED)
    known = [(score.source, score.answers) for score in scores if score.answers is not None]
    picks: list[tuple[str, Answers, int]] = []
    while len(picks) < height * width:
        source, answers = known[len(picks) % len(known)]
        picks.append((source, answers, int(rng.integers(len(answers.truth)))))
    size = ((width * CROP * 1.2), height * CROP * 1.55 + 0.4)
    figure = Figure(size, layout="constrained")
    for axes, (source, answers, row) in zip(
        figure.subplots(height, width).flat, picks, strict=True
    ):
        read, true = str(answers.read[row]), str(answers.truth[row])
        answer = f"{read} {answers.probs[row]:.2f}"
        right = read == true
        caption = f"{source[:12]}\n{answer}" + ("" if right else f" (is {true})")
        _show(axes, answers.images[row], caption, RIGHT_COLOUR if right else WRONG_COLOUR)
    figure.suptitle("chosen at random, evenly over the sources: answer and its probability")
    return figure


def reject_sheet(scores: Sequence[RejectScore]) -> Figure:
    """Crops that hold no VIN character, a row per kind, with what came of each below."""
    columns = max(len(score.examples) for score in scores)
    size = (2.6 + CROP * columns * 1.15, 0.5 + len(scores) * CROP * 1.45)
    figure = Figure(size, layout="constrained")
    grid = figure.subplots(
        len(scores), columns + 1, squeeze=False, width_ratios=[2.8] + [1] * columns
    )
    for axes in grid.flat:
        axes.axis("off")
    for row, score in enumerate(scores):
        sure = 100 * score.share_above(SURE_REJECT)
        words = f"{textwrap.fill(score.kind, LABEL_WIDTH)}\n{sure:.0f} % above {SURE_REJECT:g}"
        grid[row, 0].text(0, 0.5, words, va="center", fontsize=9)
        for place, (image, answer, prob) in enumerate(score.examples):
            sure_colour = WRONG_COLOUR if prob > SURE_REJECT else RIGHT_COLOUR
            caption = f"{answer} {prob:.2f}" if prob else answer
            _show(grid[row, place + 1], image, f"\n{caption}", sure_colour)
    figure.suptitle("no VIN characters: the answer or the refusal, red where it is sure")
    return figure


def _show(axes: Axes, image: NDArray[np.uint8], caption: str, colour: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.axis("off")
    source, answer = caption.split("\n")
    axes.set_title(source, fontsize=5.5, color="0.4", pad=1.5)
    axes.text(
        0.5, -0.04, answer,
        transform=axes.transAxes, ha="center", va="top", fontsize=8, color=colour,
    )  # fmt: skip
