"""What stands in a box and is no VIN character."""

from __future__ import annotations

from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.training.strokes.cyrillic import CYRILLIC
from vin_batch.training.strokes.pen import HEIGHTS, Pen, cut_to_ink, draw_strokes
from vin_batch.training.strokes.writer import StrokeWriter
from vin_batch.vin.alphabet import ALPHABET

RejectKind = Literal["cyrillic", "scribble", "blot", "crossed_out"]
REJECT_KINDS: Final[tuple[RejectKind, ...]] = get_args(RejectKind)


def write_reject(kind: RejectKind, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw something that must not be read with confidence, by a new hand.

    Args:
        kind: ``cyrillic``, a capital that is no VIN character; ``scribble``, a tangle;
            ``blot``, a spot of ink; ``crossed_out``, a VIN character under 2 to 5 strokes.
        rng: Source of all randomness.

    Returns:
        ``float32[h, w]`` ink cover 0 to 1, cut to the ink.
    """
    match kind:
        case "cyrillic":
            return StrokeWriter.random(rng).write(str(rng.choice(list(CYRILLIC))), rng)
        case "scribble":
            return _scribble(rng)
        case "blot":
            return _blot(rng)
        case "crossed_out":
            return _crossed_out(rng)


def _scribble(rng: np.random.Generator) -> NDArray[np.float32]:
    """Loops or a zigzag that fill the place of a character."""
    turns = rng.uniform(4, 8)
    t = np.linspace(0, 1, 160)
    angle = 2 * np.pi * turns * t + rng.uniform(0, 2 * np.pi)
    drift = np.stack([t - 0.5, np.zeros_like(t)], axis=1) * rng.uniform(0.2, 0.9)
    if rng.random() < 0.5:
        drift = drift[:, ::-1]
    wander = rng.normal(0, 0.12, (6, 2))
    knots = np.linspace(0, 1, len(wander))
    wandering = np.stack([np.interp(t, knots, wander[:, axis]) for axis in (0, 1)], axis=1)
    radius = np.interp(t, knots, rng.uniform(0.15, 0.5, len(knots)))[:, None]
    flat = np.array([rng.uniform(0.15, 1), rng.uniform(0.5, 1)])
    points = drift + wandering + radius * flat * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return draw_strokes(points, np.zeros(len(points), np.int64), Pen.random(rng), rng)


def _blot(rng: np.random.Generator) -> NDArray[np.float32]:
    """A spot with an uneven edge and perhaps a few splashes."""
    height = int(rng.integers(*HEIGHTS))
    canvas = np.zeros((2 * height, 2 * height), np.uint8)
    for number in range(1 + int(rng.integers(0, 4))):
        reach = height * (rng.uniform(0.2, 0.5) if number == 0 else rng.uniform(0.02, 0.09))
        centre = height + (rng.normal(0, 0.3 * height, 2) if number else np.zeros(2))
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        edge = np.ones_like(angle)
        for wave in (1, 2, 3, 5):
            edge += rng.normal(0, 0.16 / wave) * np.sin(wave * angle + rng.uniform(0, 2 * np.pi))
        shape = reach * edge[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        shape *= np.exp(rng.normal(0, 0.2, 2))
        cv2.fillPoly(canvas, [np.rint(centre + shape).astype(np.int32)], 255, cv2.LINE_AA)
    return cut_to_ink(canvas.astype(np.float32) / np.float32(255))


def _crossed_out(rng: np.random.Generator) -> NDArray[np.float32]:
    writer = StrokeWriter.random(rng)
    glyph = writer.write(str(rng.choice(list(ALPHABET))), rng)
    height, width = glyph.shape
    margin = max(height, width) // 2
    cover: NDArray[np.float32] = np.pad(glyph, margin)
    side = max(width, height // 2)
    thick = max(1, round(writer.pen.width * height))
    canvas = np.zeros(cover.shape, np.uint8)
    for start, end in _strikes(int(rng.integers(2, 6)), rng):
        ends = [
            np.rint([margin + width / 2 + (x - 0.5) * side, margin + y * height]).astype(int)
            for x, y in (start, end)
        ]
        cv2.line(canvas, ends[0].tolist(), ends[1].tolist(), 255, thick, cv2.LINE_AA)
    strikes = canvas.astype(np.float32) / np.float32(255)
    return cut_to_ink(np.maximum(cover, strikes).astype(np.float32))


def _strikes(
    count: int, rng: np.random.Generator
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Lines across the unit square: parallel, crossing or a zigzag."""
    manner = rng.integers(3)
    lines = []
    for number in range(count):
        place = (number + 0.5) / count + rng.normal(0, 0.05)
        if manner == 0:
            tilt = rng.normal(0, 0.1)
            line = np.array([[-0.15, place + tilt], [1.15, place - tilt]])
        elif manner == 1:
            line = np.array([[-0.05, 0.0], [1.05, 1.0]]) + rng.normal(0, 0.12, (2, 2))
            line = line if number % 2 else np.stack([1 - line[:, 0], line[:, 1]], axis=1)
        else:
            line = np.array([[-0.1, place], [1.1, place + 0.5 / count]])
            line = line if number % 2 else line[::-1].copy()
            line[:, 1] += rng.normal(0, 0.03, 2)
        lines.append((line[0], line[1]))
    return lines
