"""Cards as two readers see them. Runs in worker processes: never imports TensorFlow."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.preprocess.engine import warm_up
from vin_batch.second_reader.canvas import canvas_from_crop
from vin_batch.second_reader.recogniser import SYMBOLS, open_recogniser
from vin_batch.second_reader.shape import HEIGHT, WIDTH
from vin_batch.synthesis.scan import Level
from vin_batch.training.cards import CARDS_PER_TASK, CardSet, draw_crops
from vin_batch.training.pool import GlyphBank
from vin_batch.vin.alphabet import VIN_LENGTH

CANVASES_PER_TASK: Final = 256


def draw_for_both(
    bank: GlyphBank,
    picks: NDArray[np.int64],
    vins: list[str],
    level: Level,
    order: tuple[int, int],
) -> tuple[CardSet, NDArray[np.uint8]]:
    """Draw cards and show each box to both readers.

    Args:
        bank: Glyphs.
        picks: ``int64[n, 17]``, glyphs of the bank.
        vins: What they spell.
        level: Difficulty of the scan.
        order: Seed, and number of processes.

    Returns:
        The cards as the first reader sees them, and canvases ``uint8[n, 17, 48, 96]`` for
        the second.
    """
    seed, workers = order
    jobs = (
        joblib.delayed(_draw_part)(
            [[bank.glyphs[pick] for pick in row] for row in picks[start : start + CARDS_PER_TASK]],
            level,
            [seed, start],
        )
        for start in range(0, len(vins), CARDS_PER_TASK)
    )
    parts = joblib.Parallel(n_jobs=workers, pre_dispatch="2*n_jobs", batch_size=1)(jobs)
    pixels, issues, canvases = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return CardSet(tuple(vins), pixels, issues), canvases


def read_canvases(
    canvases: NDArray[np.uint8], weights: tuple[Path, str], workers: int
) -> tuple[NDArray[np.float32], float]:
    """Let the second reader read cards, in parallel.

    Args:
        canvases: ``uint8[m, 17, 48, 96]``.
        weights: The recogniser's file and its digest.
        workers: Processes.

    Returns:
        Scores ``float32[m, 17, 62]``, and the processor time that they took, in seconds.
    """
    flat = canvases.reshape(-1, HEIGHT, WIDTH)
    jobs = (
        joblib.delayed(_read_part)(weights, flat[start : start + CANVASES_PER_TASK])
        for start in range(0, len(flat), CANVASES_PER_TASK)
    )
    parts = joblib.Parallel(n_jobs=workers, batch_size=1)(jobs)
    none = np.zeros((0, len(SYMBOLS)), np.float32)
    scores = np.concatenate([none, *(part[0] for part in parts)])
    return scores.reshape(len(canvases), VIN_LENGTH, len(SYMBOLS)), sum(part[1] for part in parts)


def _draw_part(
    cards: list[list[NDArray[np.float32]]], level: Level, seed: list[int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    cv2.setNumThreads(1)
    warm_up()
    shape = (len(cards), VIN_LENGTH)
    pixels = np.zeros((*shape, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    issues = np.zeros(shape, np.uint8)
    canvases = np.zeros((*shape, HEIGHT, WIDTH), np.uint8)
    for row, column, crop in draw_crops(cards, level, seed):
        pixels[row, column], issues[row, column] = preprocess_image(crop)
        canvases[row, column] = canvas_from_crop(crop)
    return pixels, issues, canvases


def _read_part(
    weights: tuple[Path, str], canvases: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], float]:
    recogniser = open_recogniser(*weights)
    began = time.process_time()
    return recogniser.scores(canvases), time.process_time() - began
