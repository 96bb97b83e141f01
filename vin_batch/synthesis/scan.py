"""The scanner: turns the ink of one box into the crop that an archive would hold.

Sample cards, benchmarks and the training of the recogniser share this simulation, so what
the network learns from is what the preprocessing meets. All randomness comes from the
generator that is passed in: the same generator state gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

Level = Literal["clean", "scan", "hard"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)


@dataclass(frozen=True, slots=True)
class ScanStyle:
    """How one card was printed, stored and scanned.

    Lengths are fractions of the box's shorter side; tones are grey values 0 (black) to 255.

    Attributes:
        paper: Tone of the paper.
        ink: Tone of a full stroke; the pen fades by ``ink_fade`` (0 to 1) along it.
        ink_fade: Depth of the fading.
        light_slope: Largest difference of light over the box, in tones.
        texture: Standard deviation of the paper's grain, in tones.
        noise: Standard deviation of the sensor's noise, in tones.
        blur: Standard deviation of the optics' blur.
        line_tone: Tone of the printed frame.
        line_width: Width of the frame lines.
        line_share: Probability that a side of the frame is left in the crop.
        line_inset: Largest distance of a line from the crop's edge.
        line_skew: Largest drift of a line across the crop.
        line_gaps: Share of a line that the print or the scan lost.
        specks: Mean number of dirt specks.
        inverted: Light ink on dark paper (a negative film copy).
        jpeg_quality: 1 to 100, or None for no compression loss.
    """

    paper: float
    ink: float
    ink_fade: float
    light_slope: float
    texture: float
    noise: float
    blur: float
    line_tone: float
    line_width: float
    line_share: float
    line_inset: float
    line_skew: float
    line_gaps: float
    specks: float
    inverted: bool
    jpeg_quality: int | None

    @staticmethod
    def random(level: Level, rng: np.random.Generator) -> ScanStyle:
        """Draw the style of one card.

        Args:
            level: ``clean`` (a good scan of a plain form), ``scan`` (an ordinary archive) or
                ``hard`` (faded, dirty, compressed).
            rng: Source of all randomness.

        Returns:
            The style.
        """
        return {"clean": _clean_style, "scan": _scan_style, "hard": _hard_style}[level](rng)


def _clean_style(rng: np.random.Generator) -> ScanStyle:
    paper = rng.uniform(235, 255)
    return ScanStyle(
        paper=paper,
        ink=rng.uniform(10, 70),
        ink_fade=rng.uniform(0, 0.1),
        light_slope=rng.uniform(0, 6),
        texture=rng.uniform(0, 1.5),
        noise=rng.uniform(0, 2),
        blur=rng.uniform(0, 0.012),
        line_tone=paper - rng.uniform(20, 120),
        line_width=rng.uniform(0.015, 0.03),
        line_share=float(rng.choice([0.0, 0.0, 0.5])),
        line_inset=0.04,
        line_skew=0.01,
        line_gaps=0.0,
        specks=0.0,
        inverted=False,
        jpeg_quality=None,
    )


def _scan_style(rng: np.random.Generator) -> ScanStyle:
    paper = rng.uniform(190, 250)
    return ScanStyle(
        paper=paper,
        ink=rng.uniform(20, 0.55 * paper),
        ink_fade=rng.uniform(0, 0.3),
        light_slope=rng.uniform(0, 30),
        texture=rng.uniform(0.5, 4),
        noise=rng.uniform(1, 7),
        blur=rng.uniform(0.005, 0.025),
        line_tone=paper - rng.uniform(40, 170),
        line_width=rng.uniform(0.015, 0.05),
        line_share=float(rng.choice([0.0, 0.35, 0.75, 1.0], p=[0.15, 0.25, 0.3, 0.3])),
        line_inset=rng.uniform(0.0, 0.09),
        line_skew=rng.uniform(0, 0.03),
        line_gaps=rng.uniform(0, 0.15),
        specks=rng.uniform(0, 1.5),
        inverted=rng.random() < 0.02,
        jpeg_quality=int(rng.integers(60, 96)) if rng.random() < 0.5 else None,
    )


def _hard_style(rng: np.random.Generator) -> ScanStyle:
    paper = rng.uniform(140, 245)
    return ScanStyle(
        paper=paper,
        ink=paper - rng.uniform(45, 0.8 * paper),
        ink_fade=rng.uniform(0.1, 0.5),
        light_slope=rng.uniform(10, 70),
        texture=rng.uniform(1, 6),
        noise=rng.uniform(3, 12),
        blur=rng.uniform(0.01, 0.035),
        line_tone=paper - rng.uniform(30, 0.9 * paper),
        line_width=rng.uniform(0.015, 0.07),
        line_share=float(rng.choice([0.0, 0.5, 1.0], p=[0.15, 0.35, 0.5])),
        line_inset=rng.uniform(0.0, 0.12),
        line_skew=rng.uniform(0, 0.05),
        line_gaps=rng.uniform(0, 0.4),
        specks=rng.uniform(0, 5),
        inverted=rng.random() < 0.05,
        jpeg_quality=int(rng.integers(30, 85)) if rng.random() < 0.7 else None,
    )


def scan_box(
    mask: NDArray[np.float32], style: ScanStyle, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Print, fill and scan one box.

    Args:
        mask: ``float32[h, w]``, ink cover of every pixel from 0 (paper) to 1 (full stroke),
            placed in the box as the writer placed it.
        style: The card's style.
        rng: Source of the box's own randomness.

    Returns:
        ``uint8[h, w]`` crop, dark ink on light paper unless the style is inverted.
    """
    height, width = mask.shape
    page = style.paper + style.light_slope * _light_field(height, width, rng)
    if style.texture > 0:
        page += style.texture * _grain(height, width, rng)
    lines = _frame_cover(height, width, style, rng)
    page += lines * (style.line_tone - style.paper)
    cover = np.clip(mask + _speck_cover(height, width, style.specks, rng), 0, 1)
    if style.ink_fade > 0:
        cover = cover * (1 - style.ink_fade * (0.5 + _light_field(height, width, rng)))
    page += cover * (np.minimum(style.ink, page) - page)
    sigma = style.blur * min(height, width)
    if sigma > 0.2:
        page = cv2.GaussianBlur(page, (0, 0), sigma)
    page += rng.normal(0, style.noise + 1e-6, page.shape)
    crop = np.clip(np.rint(page), 0, 255).astype(np.uint8)
    if style.inverted:
        crop = 255 - crop
    return _compress(crop, style.jpeg_quality)


def _light_field(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A smooth field between about -0.5 and 0.5: a tilted plane with a slight bend."""
    angle = rng.uniform(0, 2 * np.pi)
    bend = rng.uniform(-0.5, 0.5)
    y = np.linspace(-0.5, 0.5, height)[:, None]
    x = np.linspace(-0.5, 0.5, width)[None, :]
    along = np.cos(angle) * x + np.sin(angle) * y
    field: NDArray[np.float64] = 0.7 * along + bend * along**2
    return field


def _grain(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    coarse = rng.normal(0, 1, (max(2, height // 3), max(2, width // 3)))
    grain: NDArray[np.float64] = cv2.resize(coarse, (width, height)).astype(np.float64)
    return grain


def _frame_cover(
    height: int, width: int, style: ScanStyle, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Cover of the printed frame: up to four lines near the crop's edges."""
    cover = np.zeros((height, width), np.float32)
    shorter = min(height, width)
    for side in range(4):
        present = rng.random() < style.line_share
        inset = rng.uniform(-0.5 * style.line_width, max(style.line_inset, 0.001)) * shorter
        drift = rng.uniform(-style.line_skew, style.line_skew) * shorter
        if present:
            along = width if side < 2 else height
            across = height if side < 2 else width
            line = _line_cover(along, across, inset, drift, style.line_width * shorter)
            line *= _gaps(along, style.line_gaps, rng)[None, :]
            if side % 2:
                line = line[::-1]
            cover = np.maximum(cover, line if side < 2 else line.T)
    return cover.astype(np.float64)


def _line_cover(
    along: int, across: int, inset: float, drift: float, thickness: float
) -> NDArray[np.float32]:
    """Anti-aliased line along axis 1, at ``inset`` from the first row, drifting linearly."""
    centre = inset + thickness / 2 + drift * np.linspace(-0.5, 0.5, along)
    distance = np.abs(np.arange(across)[:, None] + 0.5 - centre[None, :])
    cover: NDArray[np.float32] = np.clip(thickness / 2 + 0.5 - distance, 0, 1).astype(np.float32)
    return cover


def _gaps(length: int, share: float, rng: np.random.Generator) -> NDArray[np.float32]:
    keep = np.ones(length, np.float32)
    missing = share * length
    while missing > 1:
        gap = min(int(missing), int(rng.integers(2, max(3, length // 3))))
        start = int(rng.integers(0, length))
        keep[start : start + gap] = rng.uniform(0, 0.4)
        missing -= gap
    return keep


def _speck_cover(
    height: int, width: int, mean_count: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    cover = np.zeros((height, width), np.float32)
    for _ in range(int(rng.poisson(mean_count)) if mean_count > 0 else 0):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        radius = max(0.5, rng.uniform(0.005, 0.022) * min(height, width))
        axes = (round(radius * 16), round(radius * rng.uniform(0.5, 1) * 16))
        cv2.ellipse(
            cover,
            (centre[0] * 16, centre[1] * 16),
            axes,
            float(rng.uniform(0, 180)),
            0.0,
            360.0,
            float(rng.uniform(0.4, 1)),
            -1,
            cv2.LINE_AA,
            4,
        )
    return cover


def _compress(crop: NDArray[np.uint8], quality: int | None) -> NDArray[np.uint8]:
    if quality is None:
        return crop
    _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
