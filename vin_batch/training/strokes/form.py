"""Forms: the ways of writing a character, as pen strokes through nodes.

A form is written down as text. Strokes are separated by ``;``, what a stroke passes through
by blanks, in percent of the height of a capital, x to the right and y down from the upper
left corner:

- ``x,y``: a corner;
- ``~x,y``: a node that the pen passes smoothly;
- ``@x,y,rx,ry,from,to``: an arc of an ellipse around ``x,y``, between two angles in degrees
  (0 is right, 90 is down). Where a straight line meets it, the pen goes on smoothly; where a
  corner lies on its end, there is a corner.

Strokes may begin and end anywhere: hands do not close their loops exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

School = Literal["any", "european", "american"]

CORNER: Final = 0
"""The pen stops and turns."""
SMOOTH: Final = 1
"""The tangent is that of the circle through the node and its two neighbours."""
FROM_LINE: Final = 2
"""The tangent is that of the straight line before the node."""
TO_LINE: Final = 3
"""The tangent is that of the straight line after the node."""

SAMPLES: Final = 10
"""Points drawn per piece of a stroke, between two nodes."""
_ARC_STEP: Final = 45.0
"""Largest angle between two nodes of an arc, in degrees."""
_SAME_PLACE: Final = 4.0
"""Nodes nearer than this are one corner, in percent of the height."""

_Node = tuple[float, float, int]


@dataclass(frozen=True, slots=True)
class Form:
    """One way of writing a character.

    Attributes:
        name: What is special about it.
        school: Where it is taught or usual.
        weight: How often it is met among the forms of the character.
        nodes: ``float64[n, 2]``, x and y over the height of a capital.
        kinds: ``int64[n]``: ``CORNER``, ``SMOOTH``, ``FROM_LINE`` or ``TO_LINE``.
        stroke: ``int64[n]``, the stroke that each node belongs to.
        pieces: ``int64[m, 2]``, the nodes at the two ends of every piece.
        piece_in: ``int64[n]``, the piece before each node (0 where there is none).
        piece_out: ``int64[n]``, the piece after each node (0 where there is none).
        keep: ``int64[p]``, the samples of all pieces that are points of the strokes.
        inner: ``bool[p]``, points that are not the end of a stroke.
        point_stroke: ``int64[p]``, the stroke of each point.
    """

    name: str
    school: School
    weight: float
    nodes: NDArray[np.float64]
    kinds: NDArray[np.int64]
    stroke: NDArray[np.int64]
    pieces: NDArray[np.int64]
    piece_in: NDArray[np.int64]
    piece_out: NDArray[np.int64]
    keep: NDArray[np.int64]
    inner: NDArray[np.bool_]
    point_stroke: NDArray[np.int64]

    @property
    def strokes(self) -> int:
        """Number of strokes."""
        return int(self.stroke[-1]) + 1


def form(name: str, text: str, weight: float = 1.0, school: School = "any") -> Form:
    """Read a form from its text; see the module.

    Raises:
        ValueError: The text is not a form.
    """
    strokes = [_read_stroke(stroke) for stroke in text.split(";")]
    nodes = np.array([node[:2] for stroke in strokes for node in stroke], np.float64) / 100
    kinds = np.array([node[2] for stroke in strokes for node in stroke], np.int64)
    stroke = np.repeat(np.arange(len(strokes)), [len(stroke) for stroke in strokes])
    starts = np.flatnonzero(stroke[1:] == stroke[:-1])
    pieces = np.stack([starts, starts + 1], axis=1)
    piece_in, piece_out = np.zeros((2, len(nodes)), np.int64)
    piece_in[pieces[:, 1]] = piece_out[pieces[:, 0]] = np.arange(len(pieces))
    piece_stroke = stroke[pieces[:, 0]]
    last = np.append(piece_stroke[1:] != piece_stroke[:-1], True)
    kept = np.ones((len(pieces), SAMPLES + 1), bool)
    kept[~last, -1] = False
    keep = np.flatnonzero(kept)
    point_stroke = np.repeat(piece_stroke, SAMPLES + 1)[keep]
    change = point_stroke[1:] != point_stroke[:-1]
    inner = ~(np.append(change, True) | np.concatenate([[True], change]))
    return Form(
        name, school, weight, nodes, kinds, stroke, pieces, piece_in, piece_out, keep, inner,
        point_stroke,
    )  # fmt: skip


def _read_stroke(text: str) -> list[_Node]:
    tokens = text.split()
    parts = [list(_read_token(token)) for token in tokens]
    arcs = [token.startswith("@") for token in tokens]
    nodes = parts[0]
    for part, (arc_before, arc) in zip(parts[1:], pairwise(arcs), strict=True):
        gap = np.hypot(part[0][0] - nodes[-1][0], part[0][1] - nodes[-1][1])
        if gap < _SAME_PLACE:
            nodes[-1] = (*part[0][:2], CORNER)
            nodes += part[1:]
            continue
        if arc_before and part[0][2] != SMOOTH:
            nodes[-1] = (*nodes[-1][:2], TO_LINE)
        if arc:
            before = nodes[-1][2]
            part[0] = (*part[0][:2], SMOOTH if before == SMOOTH and not arc_before else FROM_LINE)
            if arc_before:
                nodes[-1] = (*nodes[-1][:2], TO_LINE)
        nodes += part
    if len(nodes) < 2:
        raise ValueError(f"a stroke needs two nodes, not {text!r}")
    nodes[0], nodes[-1] = (*nodes[0][:2], CORNER), (*nodes[-1][:2], CORNER)
    return nodes


def _read_token(token: str) -> Iterator[_Node]:
    numbers = [float(number) for number in token.lstrip("~@").split(",")]
    if not token.startswith("@"):
        x, y = numbers
        yield x, y, SMOOTH if token.startswith("~") else CORNER
        return
    x, y, radius_x, radius_y, start, end = numbers
    count = max(2, int(np.ceil(abs(end - start) / _ARC_STEP)) + 1)
    for angle in np.deg2rad(np.linspace(start, end, count)):
        yield x + radius_x * float(np.cos(angle)), y + radius_y * float(np.sin(angle)), SMOOTH
