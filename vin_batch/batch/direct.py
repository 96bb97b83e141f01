"""Reading a few cards in this process: no workers, no run directory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from vin_batch.archive import list_folder, open_folders
from vin_batch.batch.pack import Prepare, ShardTask, pack_shard
from vin_batch.batch.score import Judge, score
from vin_batch.classifier.base import Classifier
from vin_batch.errors import ArchiveError
from vin_batch.records import CardPack, Reading


def read_folder(folder: str | os.PathLike[str], prepare: Prepare) -> CardPack:
    """Read and preprocess one card.

    Args:
        folder: The card's folder.
        prepare: File bytes to pixels.

    Returns:
        A pack of one card; its id is the folder as given, with POSIX separators.

    Raises:
        ArchiveError: The folder cannot be listed, holds no image, or changes meanwhile.
    """
    root = open_folders(folder)
    card = list_folder(root).card(b"")
    if card is None:
        raise ArchiveError(
            f"{os.fspath(folder)} holds no image",
            "Give card folders: folders that hold image files themselves.",
        )
    result = pack_shard(ShardTask(root, 0, (card,), prepare))
    if result.pack is None:
        raise ArchiveError(f"{os.fspath(folder)} changed while it was read", "Read it again.")
    return replace(result.pack, card_ids=(Path(folder).as_posix(),))


def read_folders(
    folders: Iterable[str | os.PathLike[str]],
    prepare: Prepare,
    classifier: Classifier,
    judge: Judge,
) -> list[Reading]:
    """Read card folders, one after the other.

    Raises:
        ArchiveError: See ``read_folder``.
    """
    readings: list[Reading] = []
    for folder in folders:
        pack = read_folder(folder, prepare)
        readings += score(pack, classifier, judge, check=lambda: None).readings
    return readings


@lru_cache(maxsize=1)
def open_model(directory: Path) -> tuple[Classifier, Judge]:
    """Load a model and the VIN tables; the latest one is kept for the next call.

    Raises:
        ModelError: The model is missing or damaged.
    """
    from vin_batch.batch.score import bind_judge  # noqa: PLC0415
    from vin_batch.classifier.choice import open_chosen  # noqa: PLC0415
    from vin_batch.classifier.model_card import (  # noqa: PLC0415
        load_model_card,
        require_vin_classes,
    )

    card = load_model_card(directory)
    require_vin_classes(card)
    return open_chosen(card), bind_judge(card.policy)
