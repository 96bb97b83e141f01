"""Writes archives of synthetic card folders, any number of them, with their truth."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import joblib
import numpy as np

from vin_batch._version import __version__
from vin_batch.errors import DiskError, UsageError
from vin_batch.synthesis.cards import draw_card, encode_image
from vin_batch.synthesis.scan import Level
from vin_batch.synthesis.vins import TrueVin, random_vin
from vin_batch.synthesis.writer import Writer
from vin_batch.vin.check_digit import is_valid

ImageFormat = Literal["png", "jpg"]
TRUTH_NAME: Final = "truth.csv"
TRUTH_COLUMNS: Final = ("card_id", "vin", "group", "level", "check_digit", "typeface")
ORDER_NAME: Final = "synthesis.json"
CARDS_PER_FOLDER: Final = 1000
CHUNK: Final = 100
"""Cards per task: half a second of work, so that handing tasks out costs nothing."""
_ENCODERS: Final[dict[ImageFormat, tuple[int, ...]]] = {
    "png": (cv2.IMWRITE_PNG_COMPRESSION, 1),
    "jpg": (cv2.IMWRITE_JPEG_QUALITY, 92),
}


@dataclass(frozen=True, slots=True)
class Order:
    """What to draw. The same order gives the same bytes, card by card.

    Attributes:
        cards: Number of cards; card ``i`` does not depend on it.
        seed: Seed of the whole archive.
        level: Difficulty.
        image_format: File format of the crops.
    """

    cards: int
    seed: int
    level: Level
    image_format: ImageFormat


TruthRow = tuple[str, str, str, str, str, str]
"""One line of the truth, in the order of ``TRUTH_COLUMNS``."""


def card_id(index: int) -> str:
    """Folder of card ``index`` below the archive root, sharded by the thousand."""
    return f"box_{index // CARDS_PER_FOLDER:03d}/card_{index:06d}"


def write_archive(order: Order, out: Path, workers: int = 1, vins: Sequence[TrueVin] = ()) -> Path:
    """Draw an archive and its truth.

    The truth appears last and at once: an archive without it is unfinished, and the same
    order finishes it.

    Args:
        order: What to draw.
        out: A directory that is new, empty, or the (perhaps unfinished) outcome of the same
            order with no more cards.
        workers: Processes to draw with; the outcome does not depend on it.
        vins: VINs to write: card ``i`` bears number ``i`` modulo their count. Drawn at random
            when empty.

    Returns:
        Path of ``truth.csv``.

    Raises:
        UsageError: ``out`` holds something else.
        DiskError: A file cannot be written.
    """
    try:
        _claim(out, order, vins)
        return write_truth(out / TRUTH_NAME, TRUTH_COLUMNS, _rows(order, out, workers, vins))
    except OSError as error:
        raise DiskError(
            f"cannot write synthetic cards to {out}: {error}", "Free space or give another place."
        ) from error


def _claim(out: Path, order: Order, vins: Sequence[TrueVin]) -> None:
    """Make ``out`` ours, or refuse: nothing that somebody else put there is overwritten."""
    out.mkdir(parents=True, exist_ok=True)
    marker = out / ORDER_NAME
    wanted = _describe(order, vins)
    if marker.is_file():
        found = _load_description(marker)
        earlier = int(found.get("cards", 0))
        if {**found, "cards": 0} != {**wanted, "cards": 0} or earlier > order.cards:
            raise UsageError(
                f"{out} holds synthetic cards of another order ({marker})",
                "Give a new directory, or the same seed, level, format and VINs and at least "
                f"{earlier} cards.",
            )
        (out / TRUTH_NAME).unlink(missing_ok=True)
    elif any(out.iterdir()):
        raise UsageError(f"{out} is not empty", "Give a new or an empty directory.")
    marker.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")


def _describe(order: Order, vins: Sequence[TrueVin]) -> dict[str, Any]:
    text = "\n".join(f"{true.vin},{true.group}" for true in vins)
    digest = hashlib.sha256(text.encode()).hexdigest() if vins else None
    made_by = {"made_by": "vin-batch synthesise", "version": __version__}
    return {**made_by, **asdict(order), "vins_sha256": digest}


def _load_description(marker: Path) -> dict[str, Any]:
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _rows(order: Order, out: Path, workers: int, vins: Sequence[TrueVin]) -> Iterator[TruthRow]:
    """Draw every card; yields the truth in order while at most a few chunks are in flight."""
    starts = range(0, order.cards, CHUNK)
    chunks = (range(start, min(start + CHUNK, order.cards)) for start in starts)
    work = ((order, out, indices, _vins_of(indices, vins)) for indices in chunks)
    if workers <= 1 or len(starts) <= 1:
        for task in work:
            yield from draw_chunk(*task)
        return
    parallel = joblib.Parallel(
        n_jobs=min(workers, len(starts)),
        backend="loky",
        return_as="generator",
        batch_size=1,
        pre_dispatch="2*n_jobs",
    )
    for rows in parallel(joblib.delayed(draw_chunk)(*task) for task in work):
        yield from rows


def _vins_of(indices: range, vins: Sequence[TrueVin]) -> list[TrueVin | None]:
    return [vins[index % len(vins)] if vins else None for index in indices]


def draw_chunk(
    order: Order, out: Path, indices: range, vins: Sequence[TrueVin | None]
) -> list[TruthRow]:
    """Draw and write some cards; runs in a worker process.

    Args:
        order: What to draw.
        out: Root of the archive.
        indices: Which cards.
        vins: The VIN of each, or None to draw one.

    Returns:
        Their truth.
    """
    cv2.setNumThreads(1)
    return [_write_card(order, out, index, vin) for index, vin in zip(indices, vins, strict=True)]


def _write_card(order: Order, out: Path, index: int, given: TrueVin | None) -> TruthRow:
    seeds = np.random.SeedSequence(order.seed, spawn_key=(index,)).spawn(3)
    vin_rng, writer_rng, card_rng = (np.random.default_rng(seed) for seed in seeds)
    true = given or random_vin(vin_rng)
    writer = Writer.random(order.level, writer_rng)
    folder = out / card_id(index)
    folder.mkdir(parents=True, exist_ok=True)
    for position, crop in enumerate(draw_card(true.vin, writer, order.level, card_rng), start=1):
        data = encode_image(crop, f".{order.image_format}", *_ENCODERS[order.image_format])
        (folder / f"{position:02d}.{order.image_format}").write_bytes(data)
    check_digit = "valid" if is_valid(true.vin) else "invalid"
    return card_id(index), true.vin, true.group, order.level, check_digit, writer.family


def write_truth(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    """Stream a CSV into a temporary file, then give it its name."""
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return unfinished.replace(path)
