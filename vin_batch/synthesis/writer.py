"""A synthetic hand: draws characters into boxes, each time a little differently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.synthesis.scan import Level
from vin_batch.synthesis.typefaces import CAP_HEIGHT, Glyph, families, glyph

HABIT_CHARACTERS: Final = "1479GJZ"
"""Characters whose form a clerk brings from school: flagged 1, open 4, crossed 7 and Z ..."""
HABIT_SHARE: Final = 0.25
"""Probability that such a character is taken from another typeface than the rest."""
_THINNEST: Final = 0.45
"""The pen never erodes a typeface below this share of its own stroke: strokes would break."""
_EVEN_SIZE: Final = 0.6
"""How far small forms grow to the common height in a box: 0 as in the typeface, 1 all equal."""
_WOBBLE_GRID: Final = 5
"""Control points per axis of the elastic distortion."""


@dataclass(frozen=True, slots=True)
class BoxShape:
    """Size of a printed box in pixels.

    Attributes:
        height: Rows.
        width: Columns.
        margin: Columns of paper beyond either side on which strokes that leave the box
            are drawn too.
    """

    height: int
    width: int
    margin: int = 0

    @property
    def drawn(self) -> tuple[int, int]:
        """Shape ``[h, w]`` of what is drawn, margins included."""
        return self.height, self.width + 2 * self.margin


@dataclass(frozen=True, slots=True)
class Writer:
    """One hand with one pen.

    Lengths are fractions of the box height unless said otherwise, angles are radians.

    Attributes:
        family: Typeface of most characters.
        habits: Characters drawn from another typeface, as (character, family).
        height: Letter height.
        stretch: Width of a letter relative to the typeface.
        slant: Shear, horizontal over vertical.
        pen: Stroke width as a fraction of the letter height.
        pressure: Relative change of the stroke width along a letter.
        wobble: Elastic distortion as a fraction of the letter height.
        size_jitter: Relative standard deviation of the letter height.
        turn_jitter: Standard deviation of the rotation.
        place_jitter: Standard deviation of the position in the box.
        offset: Habitual displacement (right, down) from the centre of the box.
        widest: Largest letter width as a fraction of the box width.
    """

    family: str
    habits: tuple[tuple[str, str], ...]
    height: float
    stretch: float
    slant: float
    pen: float
    pressure: float
    wobble: float
    size_jitter: float
    turn_jitter: float
    place_jitter: float
    offset: tuple[float, float]
    widest: float

    @staticmethod
    def random(level: Level, rng: np.random.Generator) -> Writer:
        """Draw a hand.

        Args:
            level: ``clean`` hands are careful, ``scan`` hands ordinary, ``hard`` hands hasty:
                they write large and small, and touch or cross the frame.
            rng: Source of all randomness.

        Returns:
            The writer.
        """
        haste = {"clean": 0.4, "scan": 1.0, "hard": 1.6}[level]
        low, high = {"clean": (0.5, 0.66), "scan": (0.42, 0.74), "hard": (0.36, 0.84)}[level]
        names = families()
        family = str(rng.choice(names))
        habits = tuple(
            (character, str(rng.choice(names)))
            for character in HABIT_CHARACTERS
            if rng.random() < HABIT_SHARE
        )
        return Writer(
            family=family,
            habits=habits,
            height=rng.uniform(low, high),
            stretch=rng.uniform(0.82, 1.2),
            slant=haste * rng.normal(0.0, 0.08),
            pen=rng.uniform(0.07, 0.13 + 0.03 * haste),
            pressure=0.12 * haste,
            wobble={"clean": 0.011, "scan": 0.024, "hard": 0.028}[level],
            size_jitter=0.045 * haste,
            turn_jitter=0.035 * haste,
            place_jitter=0.022 * haste,
            offset=(haste * rng.normal(0, 0.025), haste * rng.normal(0, 0.03)),
            widest={"clean": 0.8, "scan": 0.86, "hard": 1.02}[level],
        )

    def draw(self, character: str, box: BoxShape, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw one character.

        Args:
            character: One of the 33 VIN characters, or a space for a blank box.
            box: The box to fill in.
            rng: Source of this character's variation.

        Returns:
            ``float32[box.drawn]`` ink cover, 0 to 1.
        """
        if character == " ":
            return np.zeros(box.drawn, np.float32)
        form = glyph(dict(self.habits).get(character, self.family), character)
        scales = self._scales(form, box, rng)
        to_form = self._placement(form, scales, box, rng)
        columns, rows = _warped_coordinates(to_form, box.drawn, self.wobble * CAP_HEIGHT, rng)
        distance = cv2.remap(
            form.distance,
            columns,
            rows,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=-float(CAP_HEIGHT),
        )
        pressed = 1 + self.pressure * _swell(box.drawn, rng)
        half_pen = 0.5 * self.pen * form.ink_height * pressed
        growth = np.maximum(half_pen, _THINNEST * form.half_pen) - form.half_pen
        scale = float(np.sqrt(scales[0] * scales[1]))
        cover: NDArray[np.float32] = np.clip(0.5 + (distance + growth) * scale, 0, 1)
        return cover.astype(np.float32)

    def _scales(self, form: Glyph, box: BoxShape, rng: np.random.Generator) -> tuple[float, float]:
        """Box pixels per field pixel, across and down."""
        share = (form.ink_height / CAP_HEIGHT) ** (1 - _EVEN_SIZE)
        letter = self.height * box.height * share * (1 + self.size_jitter * rng.normal())
        scale_y = letter / form.ink_height
        scale_x = scale_y * self.stretch * (1 + self.size_jitter * rng.normal())
        widest = self.widest * box.width / max(form.ink_width, 1)
        return min(scale_x, widest), scale_y

    def _placement(
        self, form: Glyph, scales: tuple[float, float], box: BoxShape, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Affine map ``[2, 3]`` from drawn pixels to field pixels."""
        turn = self.turn_jitter * rng.normal()
        right = self.offset[0] + self.place_jitter * rng.normal()
        down = self.offset[1] + self.place_jitter * rng.normal()
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        shear = np.array([[1.0, -self.slant], [0.0, 1.0]])
        inverse = np.linalg.inv(rotation @ shear @ np.diag(scales))
        rows, columns = box.drawn
        middle = np.array([columns / 2 + right * box.height, rows / 2 + down * box.height])
        form_middle = np.array(form.distance.shape[::-1]) / 2
        return np.column_stack([inverse, form_middle - inverse @ middle])


def _warped_coordinates(
    affine: NDArray[np.float64],
    shape: tuple[int, int],
    wobble: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Field coordinates of every box pixel: an affine map bent by a smooth random field."""
    height, width = shape
    control = rng.normal(0, wobble, (_WOBBLE_GRID, _WOBBLE_GRID, 2)).astype(np.float32)
    bend = cv2.resize(control, (width, height), interpolation=cv2.INTER_CUBIC)
    x = np.arange(width, dtype=np.float32)[None, :] + 0.5
    y = np.arange(height, dtype=np.float32)[:, None] + 0.5
    rows_of_map = affine.astype(np.float32)
    columns = rows_of_map[0, 0] * x + rows_of_map[0, 1] * y + rows_of_map[0, 2] - 0.5
    rows = rows_of_map[1, 0] * x + rows_of_map[1, 1] * y + rows_of_map[1, 2] - 0.5
    return columns + bend[..., 0], rows + bend[..., 1]


def _swell(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth field of unit deviation over the box: where the pen was pressed."""
    control = rng.normal(0, 1, (3, 3)).astype(np.float32)
    field = cv2.resize(control, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(field, np.float32)
