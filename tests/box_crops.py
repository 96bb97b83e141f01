"""Draws box crops for tests of the preprocessing, and compares what came of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import preprocess_image
from vin_batch.records import BoxIssue
from vin_batch.synthesis.scan import Level, ScanStyle, scan_box
from vin_batch.synthesis.typefaces import families
from vin_batch.synthesis.writer import BoxShape, Writer

Grey = NDArray[np.uint8]
Ink = NDArray[np.float32]

BOX = BoxShape(height=64, width=56)
ROOMY = BoxShape(height=96, width=110)


@cache
def writer(family: str = "neucha", pen: float = 0.11, height: float = 0.62) -> Writer:
    """A steady hand: what differs between crops is the crop, not the hand."""
    drawn = Writer.random("clean", np.random.default_rng(0))
    return replace(
        drawn, family=family, habits=(), height=height, pen=pen, slant=0.0, stretch=1.0,
        offset=(0.0, 0.0),
    )  # fmt: skip


def ink_of(character: str, hand: Writer | None = None, box: BoxShape = BOX) -> Ink:
    """Ink cover of one character; the same every time."""
    return (hand or writer()).draw(character, box, np.random.default_rng(11))


def with_frame(crop: Grey, depth: int) -> Grey:
    """The crop with a black frame of a depth in pixels over its edges."""
    framed = np.full_like(crop, 20)
    inside = (slice(depth, -depth),) * 2
    framed[inside] = crop[inside]
    return framed


def cut_to_ink(ink: Ink, margin: int) -> Ink:
    """Cut away the paper around the ink, but for a margin in pixels."""
    rows = np.flatnonzero((ink > 0.3).any(axis=1))
    columns = np.flatnonzero((ink > 0.3).any(axis=0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.pad(cut, margin)


def style(level: Level, seed: int, **changes: object) -> ScanStyle:
    """A scanner of a level, dark ink on light paper, without JPEG loss."""
    drawn = ScanStyle.random(level, np.random.default_rng(seed))
    plain = replace(drawn, inverted=False, jpeg_quality=None)
    return replace(plain, **changes)  # type: ignore[arg-type]


def scan(ink: Ink, scanner: ScanStyle, seed: int = 5) -> Grey:
    """Scan one box; the same seed gives the same noise."""
    return scan_box(np.ascontiguousarray(ink), scanner, np.random.default_rng(seed))


def plain_crop(ink: Ink, paper: float = 240, tone: float = 40, noise: float = 1.0) -> Grey:
    """Dark ink on even paper."""
    page = paper + (tone - paper) * ink.astype(np.float64)
    page += np.random.default_rng(3).normal(0, noise, page.shape)
    return np.clip(np.rint(page), 0, 255).astype(np.uint8)


def read(crop: Grey) -> Grey:
    """Preprocess a crop that holds a character."""
    image, issue = preprocess_image(crop)
    assert issue is BoxIssue.NONE, issue
    return image


def overlap(one: Grey, other: Grey) -> float:
    """Common ink over all ink, at the best of nine shifts by a pixel: 1 for the same shape."""
    return max(
        _common_share(one, np.roll(other, (down, right), (0, 1)))
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    )


def _common_share(one: Grey, other: Grey) -> float:
    return float(np.minimum(one, other).sum()) / max(float(np.maximum(one, other).sum()), 1.0)


def all_families() -> tuple[str, ...]:
    return families()
