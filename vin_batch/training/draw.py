"""Draws training glyphs into scanned boxes, as another hand and another pen would."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.synthesis.scan import Level, ScanStyle, scan_box

LEVEL_MIX: Final[tuple[tuple[Level, float], ...]] = (("clean", 0.25), ("scan", 0.55), ("hard", 0.2))
TIGHT_SHARE: Final = 0.05
"""Share of crops cut to the ink, as some scanning offices deliver them."""
BENT_SHARE: Final = 0.6
"""Share of training glyphs that are bent elastically."""
FAITHFUL_SHARE: Final = 0.35
"""Share of training images whose glyph keeps its writer's shape."""
SIZES: Final = (0.42, 0.86)
"""Longest side of a character over the side of its box."""
BOX_SIDES: Final = (34, 112)
"""Shorter side of a crop, in pixels: 150 to 400 dpi of a 6 to 7 mm box."""


@dataclass(frozen=True, slots=True)
class Hand:
    """How one person writes on one card.

    Attributes:
        size: Longest side of a character over the box's side.
        stretch: Width over height, relative to the glyph.
        slant: Shear, horizontal over vertical.
        pen: Change of the stroke width over the character's size; negative is thinner.
        bent_share: Share of the characters that are bent elastically.
    """

    size: float
    stretch: float
    slant: float
    pen: float
    bent_share: float

    @staticmethod
    def random(rng: np.random.Generator) -> Hand:
        """Draw a hand that writes the glyph in a way of its own: for training."""
        return Hand(
            size=rng.uniform(*SIZES),
            stretch=float(np.exp(rng.normal(0, 0.1))),
            slant=rng.normal(0, 0.13),
            pen=rng.normal(0, 0.03),
            bent_share=BENT_SHARE,
        )

    @staticmethod
    def faithful(rng: np.random.Generator) -> Hand:
        """Draw only the size: the glyph stays as its writer wrote it.

        What is measured on people must be what people wrote. A pen made thinner turns a faint
        B into a 3, and no clerk would read it as a B.
        """
        return Hand(size=rng.uniform(*SIZES), stretch=1.0, slant=0.0, pen=0.0, bent_share=0.0)


def draw_training_box(
    glyph: NDArray[np.float32],
    rng: np.random.Generator,
    level: Level | None = None,
    *,
    faithful: bool = False,
) -> NDArray[np.uint8]:
    """Draw one glyph as a scanned box crop, by a hand and a scanner of its own.

    Args:
        glyph: ``float32[h, w]`` ink cover, cut to the ink.
        rng: Source of all randomness.
        level: Difficulty, or None for the mix of ``LEVEL_MIX``.
        faithful: Whether the glyph surely keeps its writer's shape; else it does by chance.

    Returns:
        ``uint8`` crop as an archive would hold it.
    """
    side = int(rng.integers(*BOX_SIDES))
    style = ScanStyle.random(level or draw_level(rng), rng)
    faithful = faithful or rng.random() < FAITHFUL_SHARE
    hand = Hand.faithful(rng) if faithful else Hand.random(rng)
    written = write_glyph(glyph, side, hand, rng)
    if rng.random() < TIGHT_SHARE:
        mask = np.pad(written, int(rng.integers(0, 3)))
        style = replace(style, line_share=0.0)
    else:
        mask = place_in_box(written, (side, round(side * rng.uniform(0.8, 1.15))), rng)
    return scan_box(mask, style, rng)


def draw_level(rng: np.random.Generator) -> Level:
    """Draw a level from the mix."""
    names, shares = zip(*LEVEL_MIX, strict=True)
    level: Level = names[int(rng.choice(len(names), p=shares))]
    return level


def write_glyph(
    glyph: NDArray[np.float32], side: int, hand: Hand, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Write a glyph in a hand: size, proportion, slant, turn, a little bend, the pen.

    Args:
        glyph: ``float32[h, w]`` ink cover.
        side: Side of the box, in pixels.
        hand: The hand.
        rng: Source of this character's variation.

    Returns:
        ``float32`` ink cover at the scale of the box, cut to the ink.
    """
    size = hand.size * side * rng.uniform(0.93, 1.07)
    scale = size / max(glyph.shape)
    angle = rng.normal(0, np.deg2rad(4))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shape = np.array([[hand.stretch, -hand.slant], [0, 1 / hand.stretch]])
    matrix = scale * turn @ shape
    canvas = int(1.7 * size) + 8
    centre = np.array([glyph.shape[1], glyph.shape[0]]) / 2
    shift = canvas / 2 - matrix @ centre
    warp = np.hstack([matrix, shift[:, None]]).astype(np.float64)
    source = glyph if scale > 0.6 else cv2.GaussianBlur(glyph, (0, 0), 0.45 / scale)
    drawn = cv2.warpAffine(source, warp, (canvas, canvas), flags=cv2.INTER_LINEAR)
    if rng.random() < hand.bent_share:
        drawn = _bend(drawn, size, rng)
    return _cut_to_ink(_change_pen(drawn, hand.pen * size))


def _bend(drawn: NDArray[np.float32], size: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth elastic displacement (after Simard et al., 2003), coarse as a hand is."""
    canvas = drawn.shape[0]
    strength = rng.uniform(0, 0.045) * size
    coarse = rng.normal(0, strength, (2, 4, 4)).astype(np.float32)
    grid = np.arange(canvas, dtype=np.float32)
    dx = cv2.resize(coarse[0], (canvas, canvas), interpolation=cv2.INTER_CUBIC)
    dy = cv2.resize(coarse[1], (canvas, canvas), interpolation=cv2.INTER_CUBIC)
    bent: NDArray[np.float32] = cv2.remap(
        drawn, grid[None, :] + dx, grid[:, None] + dy, cv2.INTER_LINEAR
    ).astype(np.float32)
    return bent


def _change_pen(drawn: NDArray[np.float32], change: float) -> NDArray[np.float32]:
    """Make strokes thicker (positive) or thinner by a number of pixels."""
    side = 2 * min(round(abs(change) / 2), 3) + 1
    if side == 1:
        return drawn
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    changed = (cv2.dilate if change > 0 else cv2.erode)(drawn, kernel).astype(np.float32)
    # An eroded hair line would be gone: keep the original where little ink is left.
    return changed if changed.sum() > 0.35 * drawn.sum() else drawn


def _cut_to_ink(drawn: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut to the pixels with noticeable ink; the whole field where there is none."""
    rows = np.flatnonzero((drawn > 0.2).any(axis=1))
    columns = np.flatnonzero((drawn > 0.2).any(axis=0))
    if not rows.size:
        return drawn
    return drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def place_in_box(
    written: NDArray[np.float32], box: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Put a glyph into a box ``(height, width)``, off-centre as people write."""
    mask = np.zeros(box, np.float32)
    height, width = min(written.shape[0], box[0]), min(written.shape[1], box[1])
    free = (box[0] - height, box[1] - width)
    top, left = (int(np.clip(round(gap * (0.5 + rng.normal(0, 0.22))), 0, gap)) for gap in free)
    mask[top : top + height, left : left + width] = written[:height, :width]
    return mask
