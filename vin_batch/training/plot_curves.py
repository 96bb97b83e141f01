"""Risk-coverage curves and reliability diagrams. Importing this imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

from vin_batch.training.calibrate import MAX_WRONG_SHARE
from vin_batch.training.curves import (
    Flags,
    Reals,
    RiskCurve,
    expected_calibration_error,
    reliability,
)
from vin_batch.training.intervals import wilson
from vin_batch.training.judged import JudgedCards
from vin_batch.training.measure import CharacterScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL: Final = 4.6
"""Side of a panel, in inches."""
TAIL_BINS: Final = 12
LEAST_ERROR: Final = 1e-6
"""Left end of the logarithmic panels; confidences have six decimals."""
LEAST_SHARE: Final = 1e-5
"""Their lower end: no evaluation has more than 100,000 answers in a bin."""


def risk_coverage(judged: Mapping[str, JudgedCards]) -> Figure:
    """Share of wrong cards among the surest, over their share of all; a panel per level."""
    figure = Figure((PANEL * max(len(judged), 1.3), PANEL), layout="constrained")
    panels = figure.subplots(1, len(judged), sharey=True, squeeze=False)[0]
    for axes, (level, cards) in zip(panels, judged.items(), strict=True):
        total = len(cards.card_ids)
        curves: list[tuple[str, RiskCurve | None, str]] = [
            ("raw reading, no rules", cards.ink_curve(), "tab:gray"),
            ("posterior of the decoder, all cards", cards.posterior_curve(), "tab:orange"),
            ("as accepted: recalibrated confidence", cards.curve(), "tab:blue"),
        ]
        floor = 0.3 / max(total, 1)
        for name, curve, colour in curves:
            if curve is not None:
                # None wrong cannot be shown on a logarithmic scale: it lies on the floor.
                risk = np.maximum(curve.risk, floor)
                axes.step(curve.coverage, risk, where="post", label=name, color=colour, lw=1.4)
        _mark_operating_point(axes, cards, floor)
        axes.axhline(MAX_WRONG_SHARE, color="tab:red", ls="--", lw=1)
        axes.text(0.99, MAX_WRONG_SHARE * 1.1, "0.1 %", color="tab:red", ha="right", fontsize=8)
        axes.set(yscale="log", xlim=(0, 1), ylim=(floor * 0.8, 1), xlabel="share of cards accepted")
        axes.set_title(f"{level}: {total:,} cards")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("wrong among accepted (lowest line: none)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    return figure


def _mark_operating_point(axes: Axes, cards: JudgedCards, floor: float) -> None:
    accepted = int(cards.accepted.sum())
    wrong = int((cards.accepted & ~cards.right).sum())
    if not accepted:
        return
    share, risk = accepted / len(cards.card_ids), wrong / accepted
    low, high = wilson(wrong, accepted)
    axes.errorbar(
        [share],
        [max(risk, floor)],
        yerr=[[max(max(risk, floor) - max(low, floor), 0)], [high - max(risk, floor)]],
        fmt="o",
        color="black",
        capsize=3,
        ms=5,
        label="operating point, 95 %",
    )


def card_reliability(judged: Mapping[str, JudgedCards]) -> Figure:
    """Whether VINs are as often right as their confidence says, before and after recalibration."""
    figure = Figure((PANEL * max(len(judged), 1.3), 2 * PANEL), layout="constrained")
    grid = figure.subplots(2, len(judged), squeeze=False)
    for column, (level, cards) in enumerate(judged.items()):
        series = [("recalibrated confidence", cards.confidence, "tab:blue")]
        if cards.posterior is not None:
            series.insert(0, ("posterior of the decoder", cards.posterior, "tab:orange"))
        _linear_panel(grid[0, column], series, cards.right)
        _tail_panel(grid[1, column], series, cards.right)
        grid[0, column].set_title(f"{level}: {len(cards.card_ids):,} cards")
    grid[0, 0].set_ylabel("share of VINs right")
    grid[1, 0].set_ylabel("share wrong")
    return figure


def character_reliability(scores: Sequence[CharacterScore]) -> Figure:
    """Whether characters are as often right as their probability says: all sources."""
    known = [score.answers for score in scores if score.answers is not None]
    probs = np.concatenate([answers.probs for answers in known])
    right = np.concatenate([answers.right for answers in known])
    given = probs > 0
    figure = Figure((2 * PANEL + 0.6, PANEL + 0.3), layout="constrained")
    panels = figure.subplots(1, 2)
    series = [("probability of the character", probs[given], "tab:blue")]
    _linear_panel(panels[0], series, right[given])
    _tail_panel(panels[1], series, right[given])
    figure.suptitle(f"characters of all sources: {int(given.sum()):,} images with a result")
    panels[0].set_ylabel("share of characters right")
    panels[1].set_ylabel("share wrong")
    return figure


def _linear_panel(axes: Axes, series: Sequence[tuple[str, Reals, str]], right: Flags) -> None:
    axes.plot([0, 1], [0, 1], color="black", lw=0.8, ls="--")
    for name, confidence, colour in series:
        bins = reliability(confidence, right)
        share = np.array([part.right / part.count for part in bins])
        bounds = np.array([wilson(part.right, part.count) for part in bins]).T
        error = expected_calibration_error(confidence, right)
        axes.errorbar(
            [part.confidence for part in bins],
            share,
            yerr=np.maximum([share - bounds[0], bounds[1] - share], 0),
            fmt="o-",
            ms=4,
            lw=1,
            capsize=2,
            color=colour,
            label=f"{name} (ECE {error:.4f})",
        )
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="mean confidence of a tenth")
    axes.legend(fontsize=8, loc="upper left")
    axes.grid(alpha=0.3)


def _tail_panel(axes: Axes, series: Sequence[tuple[str, Reals, str]], right: Flags) -> None:
    """The sure end: share wrong over one minus confidence, both logarithmic."""
    ends = (LEAST_ERROR, 1.0)
    axes.plot(ends, ends, color="black", lw=0.8, ls="--")
    edges = np.geomspace(LEAST_ERROR, 1, TAIL_BINS + 1)
    for _, confidence, colour in series:
        doubt = np.maximum(1 - confidence, LEAST_ERROR)
        place = np.clip(np.searchsorted(edges, doubt, side="right") - 1, 0, TAIL_BINS - 1)
        shown = [part for part in range(TAIL_BINS) if (place == part).any()]
        count = np.array([(place == part).sum() for part in shown])
        wrong = np.array([(~right[place == part]).sum() for part in shown])
        doubts = np.array([doubt[place == part].mean() for part in shown])
        low, high = np.array([wilson(*pair) for pair in zip(wrong, count, strict=True)]).T
        some, none = wrong > 0, wrong == 0
        share = wrong[some] / count[some]
        error = [share - low[some], high[some] - share]
        axes.errorbar(doubts[some], share, yerr=error, fmt="o", ms=4, lw=1, capsize=2, color=colour)
        axes.plot(doubts[none], high[none], "v", ms=4, fillstyle="none", color=colour)
    axes.plot([], [], "ko", ms=4, label="share wrong, 95 %")
    axes.plot([], [], "kv", ms=4, fillstyle="none", label="none wrong: upper end of 95 %")
    axes.set(xscale="log", yscale="log")
    axes.set(xlim=(LEAST_ERROR * 0.7, 1.2), ylim=(LEAST_SHARE, 1.3))
    axes.set_xlabel("one minus confidence")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[-2:], labels[-2:], fontsize=8, loc="lower right")
    axes.grid(alpha=0.3)
