"""Draws the 17 box crops of one card."""

from __future__ import annotations

import itertools
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.errors import VinBatchError
from vin_batch.synthesis.scan import Level, ScanStyle, scan_box
from vin_batch.synthesis.writer import BoxShape, Writer

BOX_HEIGHTS: Final = (52, 88)
"""Height of a printed box in pixels: 6.5 to 11 mm at 200 dpi."""
BOX_ASPECTS: Final = (0.72, 1.0)
"""Width of a printed box over its height."""
CROP_JITTER: Final = 0.03
"""The crops of a card differ in size by up to this share: cutting is never exact."""
SPILL: Final = 0.25
"""Share of the box width beyond its sides on which hasty strokes are still drawn."""


def draw_card(
    text: str,
    writer: Writer,
    level: Level,
    rng: np.random.Generator,
    style: ScanStyle | None = None,
) -> tuple[NDArray[np.uint8], ...]:
    """Draw the crops of one card, all by one hand on one form under one scanner.

    Args:
        text: One character per box, 17 for a VIN; a space leaves its box blank.
        writer: The hand.
        level: Level of the scan; on ``hard``, strokes that leave a box show up in the crop
            of its neighbour.
        rng: Source of all randomness.
        style: Form and scanner; drawn at random for the level when None.

    Returns:
        One ``uint8[h, w]`` crop per character, dark ink on light paper unless the style is
        inverted. Heights and widths differ by a few pixels.
    """
    drawn_style = ScanStyle.random(level, rng)
    height = int(rng.integers(*BOX_HEIGHTS, endpoint=True))
    width = round(height * rng.uniform(*BOX_ASPECTS))
    box = BoxShape(height, width, round(SPILL * width) if level == "hard" else 0)
    inks = _share_margins([writer.draw(character, box, rng) for character in text], box)
    return tuple(scan_box(_cut(ink, rng), style or drawn_style, rng) for ink in inks)


def _share_margins(wide: list[NDArray[np.float32]], box: BoxShape) -> list[NDArray[np.float32]]:
    """Ink of every box ``float32[height, width]``, with what its neighbours spill into it."""
    margin = box.margin
    if not margin:
        return wide
    inks = [ink[:, margin:-margin].copy() for ink in wide]
    for left, right in itertools.pairwise(range(len(wide))):
        np.maximum(inks[right][:, :margin], wide[left][:, -margin:], out=inks[right][:, :margin])
        np.maximum(inks[left][:, -margin:], wide[right][:, :margin], out=inks[left][:, -margin:])
    return inks


def _cut(ink: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Cut the box a little smaller or larger than it is, as a template on a scan does."""
    reach = CROP_JITTER * ink.shape[0]
    top, bottom, left, right = (round(side) for side in rng.uniform(-reach, reach, 4))
    grown = cv2.copyMakeBorder(
        ink, max(0, top), max(0, bottom), max(0, left), max(0, right), cv2.BORDER_CONSTANT, value=0
    )
    rows = slice(max(0, -top), grown.shape[0] - max(0, -bottom))
    columns = slice(max(0, -left), grown.shape[1] - max(0, -right))
    cut: NDArray[np.float32] = np.ascontiguousarray(grown[rows, columns])
    return cut


def encode_image(
    crop: NDArray[np.uint8] | NDArray[np.uint16], suffix: str, *parameters: int
) -> bytes:
    """Encode a crop.

    Args:
        crop: ``uint8`` or ``uint16``, ``[h, w]`` or ``[h, w, channels]``.
        suffix: Format by file suffix, e.g. ``.png``.
        parameters: OpenCV's ``imwrite`` flags and values.

    Returns:
        The file's bytes.

    Raises:
        VinBatchError: OpenCV cannot encode this.
    """
    done, data = cv2.imencode(suffix, crop, list(parameters))
    if not done:
        raise VinBatchError(f"cannot encode a {crop.shape} crop as {suffix}")
    return data.tobytes()
