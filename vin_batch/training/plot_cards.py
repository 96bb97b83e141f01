"""Pictures of whole cards. Importing this imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure

from vin_batch.training.intervals import wilson
from vin_batch.training.judged import JudgedCards
from vin_batch.vin.alphabet import VIN_LENGTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CARDS_SHOWN: Final = 6
"""Cards of each level, besides those that were accepted and wrong."""
WRONG_SHOWN: Final = 12
GAP: Final = 3
"""Pixels between two boxes of a card."""


def positions(judged: Mapping[str, JudgedCards]) -> Figure:
    """Share of wrong boxes by position, before the rules and in the VIN read."""
    figure = Figure((4.6 * max(len(judged), 1.3), 4.2), layout="constrained")
    panels = figure.subplots(1, len(judged), sharey=True, squeeze=False)[0]
    for axes, (level, cards) in zip(panels, judged.items(), strict=True):
        rows = cards.positions()
        places = np.array([row.number for row in rows])
        for name, counts, colour, shift in (
            ("most probable character", [row.raw_wrong for row in rows], "tab:gray", -0.2),
            ("character of the VIN read", [row.vin_wrong for row in rows], "tab:blue", 0.2),
        ):
            pairs = [(count, row.boxes) for count, row in zip(counts, rows, strict=True)]
            share = np.array([100 * count / max(total, 1) for count, total in pairs])
            bounds = np.array([wilson(*pair) for pair in pairs]).T * 100
            error = np.maximum([share - bounds[0], bounds[1] - share], 0)
            axes.bar(
                places + shift, share, 0.4, yerr=error,
                label=name, color=colour, error_kw={"lw": 0.7},
            )  # fmt: skip
        axes.set(xticks=places, xlabel="position", title=f"{level}: {len(cards.card_ids):,} cards")
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("percent wrong, 95 % interval")
    panels[0].legend(fontsize=8)
    return figure


def card_sheet(judged: Mapping[str, JudgedCards]) -> Figure:
    """Some cards as the network saw them, what was read, and the verdict."""
    shown = [(level, cards, row) for level, cards in judged.items() for row in _chosen(cards)]
    figure = Figure((11, 0.4 + 0.92 * max(len(shown), 1)), layout="constrained")
    panels = figure.subplots(max(len(shown), 1), 1, squeeze=False)[:, 0]
    for axes, (level, cards, row) in zip(panels, shown, strict=True):
        _show_card(axes, level, cards, row)
    figure.suptitle("cards as the network sees them; the character read below its box")
    return figure


def _chosen(cards: JudgedCards) -> list[int]:
    wrong = [row for row in np.flatnonzero(cards.accepted & ~cards.right) if row in cards.pictures]
    others = [row for row in sorted(cards.pictures) if row not in wrong]
    return [int(row) for row in wrong[:WRONG_SHOWN]] + others[:CARDS_SHOWN]


def _show_card(axes: Axes, level: str, cards: JudgedCards, row: int) -> None:
    boxes = 255 - cards.pictures[row]
    side = boxes.shape[1]
    step = side + GAP
    strip = np.full((side, step * VIN_LENGTH - GAP), 235, np.uint8)
    for place, box in enumerate(boxes):
        strip[:, place * step : place * step + side] = box
    axes.imshow(strip, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.axis("off")
    true, vin, raw = cards.truth[row], cards.vins[row], cards.raw[row]
    for place, character in enumerate(raw):
        right = true[place : place + 1] == character
        axes.text(
            place * step + side / 2, side + 1, character,
            ha="center", va="top", fontsize=9, color="tab:green" if right else "tab:red",
        )  # fmt: skip
    verdict = f"{level} {cards.card_ids[row]}: {cards.status[row]}, {cards.confidence[row]:.4f}"
    outcome = (
        "VIN right" if vin == true else f"VIN {vin or 'none'} is wrong, it is {true or 'none'}"
    )
    colour = "tab:green" if vin == true else "tab:red"
    axes.set_title(f"{verdict}; {outcome}", fontsize=8, loc="left", color=colour, pad=2)
