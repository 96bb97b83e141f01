"""The archive of the benchmark: drawn cards, cut to one size, repeated until there are enough.

Drawing takes milliseconds per card, so that a pool of distinct cards is drawn and card ``i``
of the archive bears the crops of card ``i`` of a shuffled, repeated pool. Every file is a file
of its own on the disk, and decodes like any other; only its ink may appear again elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.synthesis.cards import draw_card, encode_image
from vin_batch.synthesis.vins import random_vin
from vin_batch.synthesis.writer import Writer

LEVEL: Final = "scan"
CARDS_PER_FOLDER: Final = 1000
CHUNK: Final = 50
MARKER: Final = "benchmark.json"
ENCODERS: Final[dict[str, tuple[int, ...]]] = {
    "png": (cv2.IMWRITE_PNG_COMPRESSION, 1),
    "jpg": (cv2.IMWRITE_JPEG_QUALITY, 92),
}

Crops = tuple[NDArray[np.uint8], ...]
"""The 17 crops of one card, ``uint8[h, w]`` each."""


@dataclass(frozen=True, slots=True)
class ArchiveOrder:
    """What to make; the same order gives the same bytes.

    Attributes:
        cards: Cards in the archive.
        pool: Distinct cards that are drawn.
        seed: Seed of everything.
        suffix: ``png`` or ``jpg``.
        side: Longer side of every crop in pixels.
    """

    cards: int
    pool: int
    seed: int
    suffix: str
    side: int


class Pool:
    """Drawn cards; they are drawn when they are first asked for, and only once.

    Args:
        size: Distinct cards.
        seed: Seed of them all.
        side: Longer side of every crop in pixels.
        workers: Processes that draw.
    """

    def __init__(self, size: int, seed: int, side: int, workers: int) -> None:
        self._workers = workers
        self._draw = partial(draw_chunk, size, seed, side)
        self._starts = range(0, size, CHUNK)
        self._cards: list[Crops] = []

    def encoded(self, suffix: str, count: int) -> list[tuple[bytes, ...]]:
        """The files of the first cards."""
        if not self._cards:
            spawn = get_context("spawn")
            with ProcessPoolExecutor(self._workers, mp_context=spawn) as executor:
                drawn = executor.map(self._draw, self._starts)
                self._cards = [card for chunk in drawn for card in chunk]
        return [
            tuple(encode_image(crop, f".{suffix}", *ENCODERS[suffix]) for crop in card)
            for card in self._cards[:count]
        ]


def draw_chunk(size: int, seed: int, side: int, start: int) -> list[Crops]:
    """Draw some cards of a pool; runs in a worker process."""
    cv2.setNumThreads(1)
    return [_draw(seed, side, index) for index in range(start, min(start + CHUNK, size))]


def _draw(seed: int, side: int, index: int) -> Crops:
    seeds = np.random.SeedSequence(seed, spawn_key=(index,)).spawn(3)
    vin_rng, writer_rng, card_rng = (np.random.default_rng(each) for each in seeds)
    crops = draw_card(random_vin(vin_rng).vin, Writer.random(LEVEL, writer_rng), LEVEL, card_rng)
    return tuple(fitted(crop, side) for crop in crops)


def make_archive(order: ArchiveOrder, root: Path, pool: Pool) -> Path:
    """Make an archive, or take it as it is where it was made before.

    Args:
        order: What to make.
        root: Where; new, or the whole outcome of the same order.
        pool: Drawn cards of the same seed and side, at least ``order.pool`` of them.

    Returns:
        ``root``.

    Raises:
        FileExistsError: The folder holds something else.
    """
    marker = root.with_name(f"{root.name}.{MARKER}")
    if marker.is_file() and json.loads(marker.read_text("utf-8")) == asdict(order):
        return root
    root.mkdir(parents=True)
    _write(order, root, pool.encoded(order.suffix, order.pool))
    marker.write_text(json.dumps(asdict(order)), encoding="utf-8")
    return root


def fitted(crop: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Scale a crop ``uint8[h, w]`` so that its longer side has ``side`` pixels."""
    scale = side / max(crop.shape)
    height, width = (max(1, round(length * scale)) for length in crop.shape)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (width, height), interpolation=method), np.uint8)


def _write(order: ArchiveOrder, root: Path, pool: Sequence[tuple[bytes, ...]]) -> None:
    names = [f"{position:02d}.{order.suffix}" for position in range(1, 18)]
    for index, source in enumerate(_sources(order)):
        folder = root / f"box_{index // CARDS_PER_FOLDER:05d}" / f"card_{index:08d}"
        folder.mkdir(parents=True)
        for name, data in zip(names, pool[source], strict=True):
            (folder / name).write_bytes(data)


def _sources(order: ArchiveOrder) -> Iterator[int]:
    """Which card of the pool each card of the archive bears."""
    rng = np.random.default_rng([order.seed, order.cards])
    made = 0
    while made < order.cards:
        for source in rng.permutation(order.pool)[: order.cards - made]:
            yield int(source)
            made += 1


def card_folders(root: Path, count: int) -> list[str]:
    """The first card folders of an archive, in the order of its names."""
    boxes = sorted(entry.path for entry in os.scandir(root) if entry.is_dir())
    cards = (sorted(entry.path for entry in os.scandir(box)) for box in boxes)
    return [path for box in cards for path in box][:count]


def bytes_of(folders: Sequence[str]) -> tuple[int, int]:
    """Sizes of the files in card folders, and what they take on this disk, in bytes."""
    stats = [entry.stat() for folder in folders for entry in os.scandir(folder)]
    return sum(s.st_size for s in stats), sum(512 * s.st_blocks for s in stats)
