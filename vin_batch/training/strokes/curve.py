"""From the nodes of a form to the points of its strokes."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.training.strokes.form import CORNER, FROM_LINE, SAMPLES, TO_LINE, Form

_T: Final = np.linspace(0, 1, SAMPLES + 1)
_BERNSTEIN: Final = np.stack(
    [(1 - _T) ** 3, 3 * _T * (1 - _T) ** 2, 3 * _T**2 * (1 - _T), _T**3], axis=1
)
_SHARPEST: Final = -0.4
"""Smallest cosine between a tangent and its chord that still sets the speed of the curve."""


def stroke_points(
    form: Form, nodes: NDArray[np.float64], bow: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Lead the pen through the nodes of a form.

    Every piece is a cubic Bezier curve whose handles follow Hobby ("Smooth, easy to compute
    interpolating splines", 1986) for equal angles, so nodes on a circle give that circle.

    Args:
        form: The form.
        nodes: ``float64[n, 2]``, the form's nodes as moved by the hand.
        bow: ``float64[m]``, angle in radians by which each straight piece bends away.

    Returns:
        ``float64[p, 2]``, points of all strokes; ``form.point_stroke`` tells them apart.
    """
    start, end = nodes[form.pieces[:, 0]], nodes[form.pieces[:, 1]]
    chord = end - start
    length = np.maximum(np.hypot(chord[:, 0], chord[:, 1]), 1e-6)[:, None]
    unit = chord / length
    leave, arrive = _tangents(form, unit, length, bow)
    handle = length * (2 / 3)
    first = start + leave * handle / (1 + _cosine(leave, unit))
    second = end - arrive * handle / (1 + _cosine(arrive, unit))
    corners = np.stack([start, first, second, end], axis=1)
    samples = np.matmul(_BERNSTEIN, corners).reshape(-1, 2)
    points: NDArray[np.float64] = samples[form.keep]
    return points


def _cosine(tangent: NDArray[np.float64], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    cosine: NDArray[np.float64] = np.maximum((tangent * unit).sum(axis=1, keepdims=True), _SHARPEST)
    return cosine


def _tangents(
    form: Form, unit: NDArray[np.float64], length: NDArray[np.float64], bow: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit tangents ``[m, 2]`` at the start and at the end of every piece."""
    kinds = form.kinds[:, None]
    unit_in, unit_out = unit[form.piece_in], unit[form.piece_out]
    circle = unit_in * length[form.piece_out] + unit_out * length[form.piece_in]
    circle /= np.maximum(np.hypot(circle[:, 0], circle[:, 1]), 1e-9)[:, None]
    tangent = np.where(kinds == FROM_LINE, unit_in, np.where(kinds == TO_LINE, unit_out, circle))
    leave, arrive = tangent[form.pieces[:, 0]], tangent[form.pieces[:, 1]]
    cornered = (form.kinds == CORNER)[form.pieces]
    from_corner, to_corner = cornered[:, :1], cornered[:, 1:]
    mirrored_arrive = 2 * (arrive * unit).sum(axis=1, keepdims=True) * unit - arrive
    mirrored_leave = 2 * (leave * unit).sum(axis=1, keepdims=True) * unit - leave
    cosine, sine = np.cos(bow)[:, None], np.sin(bow)[:, None]
    across = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    straight = from_corner & to_corner
    new_leave = np.where(from_corner, mirrored_arrive, leave)
    new_arrive = np.where(to_corner, mirrored_leave, arrive)
    return (
        np.where(straight, unit * cosine + across * sine, new_leave),
        np.where(straight, unit * cosine - across * sine, new_arrive),
    )


def round_corners(
    points: NDArray[np.float64], inner: NDArray[np.bool_], times: int
) -> NDArray[np.float64]:
    """Cut corners as a hurried pen does; the ends of strokes stay.

    Args:
        points: ``float64[p, 2]``.
        inner: ``bool[p]``, points that may move.
        times: How often each point moves halfway to the middle of its neighbours.

    Returns:
        ``float64[p, 2]``.
    """
    inside = inner[1:-1, None]
    for _ in range(times):
        smooth = (points[:-2] + 2 * points[1:-1] + points[2:]) / 4
        points = np.concatenate([points[:1], np.where(inside, smooth, points[1:-1]), points[-1:]])
    return points
