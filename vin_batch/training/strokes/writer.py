"""A person who writes: fixed habits, and a hand that never draws a stroke twice alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.training.strokes.curve import round_corners, stroke_points
from vin_batch.training.strokes.cyrillic import CYRILLIC
from vin_batch.training.strokes.digits import DIGITS
from vin_batch.training.strokes.form import CORNER, Form, School
from vin_batch.training.strokes.letters import LETTERS
from vin_batch.training.strokes.pen import Pen, draw_strokes

FORMS: Final[dict[str, tuple[Form, ...]]] = {**DIGITS, **LETTERS, **CYRILLIC}
"""Ways of writing every character; the Cyrillic ones are for rejects."""

EUROPEAN_SHARE: Final = 0.75
"""Share of the people who learnt to write in Europe, as the clerks did."""
OTHER_SCHOOL: Final = 0.12
"""How much rarer a form of the other school is."""
CHANGE_OF_MIND: Final = 0.06
"""Share of the characters that are written in another form than the person's usual one."""
SHARP: Final = frozenset("2457BDKMNVWZ")
"""Characters whose corners tell them from others (Z from 2, D from 0, V from U)."""
_ROUNDEST: Final = 3
_ROUNDEST_SHARP: Final = 1
_BOW_SPREAD: Final = 0.03
"""Standard deviation of the bend of straight strokes, in radians."""
_FARTHEST: Final = 2.0
"""No chance change goes further than this many standard deviations: legible hands only."""
_WAVES: Final = 3
"""Waves of the smooth displacement that is a person's own shape of a character."""


@dataclass(frozen=True, slots=True)
class StrokeWriter:
    """One person's handwriting; lengths are over the height of a capital.

    Attributes:
        pen: The pen.
        chosen: The usual form of every character, as an index into ``FORMS``.
        school: Where the person learnt to write.
        own: ``float64[c, 3, 5]``, the person's own shape of every character: waves of
            displacement (x, y), wave vector (x, y) and phase.
        slant: Shear, horizontal over vertical; positive leans to the right.
        aspect: Width relative to the form.
        waist: How far bars and waists sit below (positive) or above the form's.
        middle: How far what is in the middle sits to the right of the form's.
        rounding: How much corners are rounded, 0 to 3.
        bow: Angle by which straight strokes bend, in radians.
        ends: How far strokes run past their end (positive) or stop short, on average.
        ends_spread: Its standard deviation.
        shifts: Standard deviation of the place of a stroke.
        sizes: Standard deviation of the relative size of a stroke.
        care: Standard deviation of a character's shape around the person's own.
        tremor: Amplitude of the tremor.
        turn: Standard deviation of the turn of a character, in radians.
    """

    pen: Pen
    chosen: dict[str, int]
    school: School
    own: NDArray[np.float64]
    slant: float
    aspect: float
    waist: float
    middle: float
    rounding: int
    bow: float
    ends: float
    ends_spread: float
    shifts: float
    sizes: float
    care: float
    tremor: float
    turn: float

    @staticmethod
    def random(rng: np.random.Generator) -> StrokeWriter:
        """Draw a person."""
        school: School = "european" if rng.random() < EUROPEAN_SHARE else "american"
        haste = rng.beta(1.6, 3)
        return StrokeWriter(
            pen=Pen.random(rng),
            chosen={character: _choose(character, school, rng) for character in FORMS},
            school=school,
            own=_waves(len(FORMS), 0.018 + 0.028 * haste, rng),
            slant=float(np.clip(rng.normal(0.05, 0.13), -0.3, 0.4)),
            aspect=float(np.exp(rng.normal(0, 0.14))),
            waist=float(np.clip(rng.normal(0, 0.035), -0.07, 0.07)),
            middle=float(np.clip(rng.normal(0, 0.02), -0.05, 0.05)),
            rounding=int(rng.integers(0, _ROUNDEST + 1)),
            bow=float(np.clip(rng.normal(0, 0.06), -0.14, 0.14)),
            ends=float(np.clip(rng.normal(0.005, 0.02), -0.04, 0.05)),
            ends_spread=0.012 + 0.042 * haste,
            shifts=0.006 + 0.03 * haste,
            sizes=0.015 + 0.075 * haste,
            care=0.006 + 0.024 * haste,
            tremor=float(rng.choice([0.0, 0.004, 0.008], p=[0.4, 0.45, 0.15])),
            turn=0.01 + 0.04 * haste,
        )

    def write(self, character: str, rng: np.random.Generator) -> NDArray[np.float32]:
        """Write a character once.

        Args:
            character: One of ``FORMS``.
            rng: Source of this character's variation.

        Returns:
            ``float32[h, w]`` ink cover 0 to 1, cut to the ink; a capital is 64 to 96 pixels
            high, more or less as the hand goes.
        """
        form = FORMS[character][self.chosen[character]]
        if rng.random() < CHANGE_OF_MIND:
            form = FORMS[character][_choose(character, self.school, rng)]
        return self.write_form(character, form, rng)

    def write_form(
        self, character: str, form: Form, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Write a character in a given form; see ``write``."""
        return draw_strokes(self.trace(character, form, rng), form.point_stroke, self.pen, rng)

    def trace(self, character: str, form: Form, rng: np.random.Generator) -> NDArray[np.float64]:
        """The way of the pen: ``float64[p, 2]``, points of all strokes of the form."""
        nodes = self._move_nodes(character, form, rng)
        bow = self.bow + _BOW_SPREAD * _bounded(rng, len(form.pieces))
        points = stroke_points(form, nodes, bow)
        limit = _ROUNDEST_SHARP if character in SHARP else _ROUNDEST
        points = round_corners(points, form.inner, min(self.rounding, limit))
        if self.tremor:
            points = points + _tremble(points, self.tremor, rng)
        angle, lean, breadth = _bounded(rng, 3)
        angle *= self.turn
        slant = self.slant + self.turn * lean
        aspect = self.aspect * np.exp(2 * self.care * breadth)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        written: NDArray[np.float64] = points @ np.array([[aspect, 0], [-slant, 1]]) @ turn
        return written

    def _move_nodes(
        self, character: str, form: Form, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Nodes where this hand puts them this time."""
        nodes = form.nodes
        noise = _bounded(rng, 2)
        middles = np.array([self.middle, self.waist]) + self.care * noise
        nodes = nodes + middles * np.sin(np.pi * np.clip(nodes, 0, 1))
        nodes = nodes + _displacement(nodes, self.own[_ROW[character]])
        nodes = nodes + _displacement(nodes, _waves(1, self.care, rng)[0])
        per_stroke = _bounded(rng, (form.strokes, 3))
        centre = (nodes.min(axis=0) + nodes.max(axis=0)) / 2
        size = 1 + self.sizes * per_stroke[:, 2:][form.stroke]
        nodes = centre + (nodes - centre) * size + self.shifts * per_stroke[:, :2][form.stroke]
        return self._run_past_ends(form, nodes, rng)

    def _run_past_ends(
        self, form: Form, nodes: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        cornered = (form.kinds == CORNER)[:, None]
        nodes = nodes + np.where(cornered, 0.6 * self.care * _bounded(rng, nodes.shape), 0)
        change = np.flatnonzero(form.stroke[1:] != form.stroke[:-1])
        first, last = np.append(0, change + 1), np.append(change, len(nodes) - 1)
        ends, inward = np.concatenate([first, last]), np.concatenate([first + 1, last - 1])
        way = nodes[ends] - nodes[inward]
        way /= np.maximum(np.hypot(way[:, 0], way[:, 1]), 1e-6)[:, None]
        far = np.clip(self.ends + self.ends_spread * _bounded(rng, len(ends)), -0.08, 0.12)
        nodes[ends] += way * far[:, None]
        return nodes


_ROW: Final = {character: row for row, character in enumerate(FORMS)}


def _choose(character: str, school: School, rng: np.random.Generator) -> int:
    forms = FORMS[character]
    weights = [
        form.weight * (1 if form.school in ("any", school) else OTHER_SCHOOL) for form in forms
    ]
    return int(np.searchsorted(np.cumsum(weights), rng.random() * sum(weights)))


def _bounded(rng: np.random.Generator, size: int | tuple[int, ...]) -> NDArray[np.float64]:
    return np.clip(rng.normal(size=size), -_FARTHEST, _FARTHEST)


def _waves(count: int, strength: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random smooth displacements ``[count, 3, 5]``; see ``StrokeWriter.own``."""
    waves = _bounded(rng, (count, _WAVES, 5))
    waves[..., :2] *= strength
    # Wavelengths down to about one character: shorter ones would kink the strokes.
    waves[..., 2:4] *= 3.0
    waves[..., 4] *= np.pi
    return waves


def _displacement(points: NDArray[np.float64], waves: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = np.sin(points @ waves[:, 2:4].T + waves[:, 4]) @ waves[:, :2]
    return moved


def _tremble(
    points: NDArray[np.float64], amplitude: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Tremor of the hand: slow waves along the way of the pen."""
    step = np.diff(points, axis=0, prepend=points[:1])
    walked = np.cumsum(np.hypot(step[:, 0], step[:, 1]))[:, None]
    rates, phases = rng.uniform(4, 18, 4), rng.uniform(0, 2 * np.pi, 4)
    waves = np.sin(walked * rates + phases)
    trembled: NDArray[np.float64] = amplitude * (waves[:, :2] + waves[:, 2:])
    return trembled
