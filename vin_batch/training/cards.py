"""Whole cards from glyphs that were never trained on: what calibration is fitted to.

All boxes of a card share one size of writing and one scanner; the glyphs come from several
people, because no source holds all 33 characters of one person. They are drawn faithfully.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.preprocess.engine import warm_up
from vin_batch.synthesis.scan import Level, ScanStyle, scan_box
from vin_batch.training.draw import BOX_SIDES, Hand, place_in_box, write_glyph
from vin_batch.training.pool import GlyphBank
from vin_batch.vin.alphabet import VIN_LENGTH, encode

CARDS_PER_TASK: Final = 100


@dataclass(frozen=True, slots=True)
class CardSet:
    """Preprocessed cards with known VINs.

    Attributes:
        vins: ``n`` true VINs.
        pixels: ``uint8[n, 17, 28, 28]``.
        issues: ``uint8[n, 17]`` of ``BoxIssue``.
    """

    vins: tuple[str, ...]
    pixels: NDArray[np.uint8]
    issues: NDArray[np.uint8]


def draw_cards(bank: GlyphBank, vins: list[str], level: Level, seed: int, workers: int) -> CardSet:
    """Draw cards and put them through the production preprocessing.

    Args:
        bank: Held-out glyphs; every class must be there.
        vins: What to write.
        level: Difficulty of the scan.
        seed: Seed; the same seed gives the same cards.
        workers: Processes.

    Returns:
        The cards, in the order of ``vins``.
    """
    picks = choose_glyphs(bank, vins, seed)
    jobs = (
        joblib.delayed(_draw_part)(
            [[bank.glyphs[pick] for pick in row] for row in picks[start : start + CARDS_PER_TASK]],
            level,
            [seed, start],
        )
        for start in range(0, len(vins), CARDS_PER_TASK)
    )
    parts = joblib.Parallel(n_jobs=workers, pre_dispatch="2*n_jobs", batch_size=1)(jobs)
    return CardSet(
        tuple(vins),
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
    )


def choose_glyphs(bank: GlyphBank, vins: list[str], seed: int) -> NDArray[np.int64]:
    """Choose a glyph for every character: ``int64[n, 17]``, positions in the bank."""
    rng = np.random.default_rng([seed, 7])
    truth = np.stack([encode(vin) for vin in vins])
    picks = np.empty(truth.shape, np.int64)
    for label in np.unique(truth):
        members = np.flatnonzero(bank.labels == label)
        weights = bank.weights[members] / bank.weights[members].sum()
        where = truth == label
        picks[where] = rng.choice(members, size=int(where.sum()), p=weights)
    return picks


def draw_crops(
    cards: list[list[NDArray[np.float32]]], level: Level, seed: list[int]
) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Draw the box crops of cards as an archive would hold them.

    Args:
        cards: Ink covers of 17 glyphs each.
        level: Difficulty of the scan.
        seed: Seed of these cards.

    Yields:
        Row of the card, box (from 0), and its crop ``uint8[h, w]``.
    """
    rng = np.random.default_rng(seed)
    for row, glyphs in enumerate(cards):
        style, hand = ScanStyle.random(level, rng), Hand.faithful(rng)
        side = int(rng.integers(*BOX_SIDES))
        box = (side, round(side * rng.uniform(0.8, 1.15)))
        for column, glyph in enumerate(glyphs):
            mask = place_in_box(write_glyph(glyph, side, hand, rng), box, rng)
            yield row, column, scan_box(mask, style, rng)


def _draw_part(
    cards: list[list[NDArray[np.float32]]], level: Level, seed: list[int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    cv2.setNumThreads(1)
    warm_up()
    pixels = np.zeros((len(cards), VIN_LENGTH, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    issues = np.zeros((len(cards), VIN_LENGTH), np.uint8)
    for row, column, crop in draw_crops(cards, level, seed):
        pixels[row, column], issues[row, column] = preprocess_image(crop)
    return pixels, issues
