"""Compares a finished run with known VINs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from vin_batch import read_run
from vin_batch.batch.direct import read_folder
from vin_batch.errors import ArchiveError
from vin_batch.preprocess import preprocess_bytes
from vin_batch.training.judged import CardScore, JudgedCards, is_eligible, summarise
from vin_batch.training.measure import PICTURED_CARDS
from vin_batch.training.tables import (
    card_table,
    curves_json,
    position_table,
    positions_json,
    wrong_table,
)
from vin_batch.vin.alphabet import VIN_LENGTH

WRONG_PICTURED: Final = 50
"""Accepted wrong cards whose files are read again to be shown."""
COLUMNS: Final = ["card_id", "status", "vin", "raw_vin", "confidence", "reasons", "chars"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a run got right.

    Attributes:
        unknown: Cards of the run without a truth.
        lost: Cards of the truth without a reading.
        score: How the cards that have both were read.
        judged: These cards one by one.
    """

    unknown: int
    lost: int
    score: CardScore
    judged: JudgedCards

    def as_json(self) -> dict[str, Any]:
        """Plain values: the figures, the curves, and every accepted card that is wrong."""
        names = ("card_id", "read", "true")
        return {
            "unknown": self.unknown,
            "lost": self.lost,
            **self.score.as_json(),
            "positions": positions_json(self.judged),
            "accepted_and_wrong": [
                dict(zip(names, row, strict=True)) for row in self.judged.accepted_wrong()
            ],
            "curves": curves_json(self.judged),
        }

    def text(self) -> str:
        """Aligned text with 95 % Wilson intervals."""
        counts = "\n".join(
            [
                f"cards compared          {self.score.cards}",
                f"without a known VIN     {self.unknown}",
                f"without a reading       {self.lost}",
            ]
        )
        if not self.score.cards:
            return counts
        parts = [
            counts,
            card_table("cards", self.score),
            position_table(self.judged),
            wrong_table(self.judged),
        ]
        return "\n\n".join(part for part in parts if part)


def compare_run(run_dir: Path, truth: Mapping[str, str]) -> Comparison:
    """Compare a run's readings with the truth.

    Args:
        run_dir: The run directory.
        truth: VIN by card id, empty where a card holds none, as ``truth.load_truth`` gives it.

    Returns:
        The comparison.

    Raises:
        UsageError: The directory holds no run.
        DiskError: A file of the run is damaged.
    """
    frame = read_run(run_dir, columns=COLUMNS)
    known = frame[frame["card_id"].isin(list(truth))]
    status = known["status"].astype(str).tolist()
    reasons = known["reasons"].tolist()
    probs = [[char["prob"] for char in chars] for chars in known["chars"]]
    judged = JudgedCards(
        card_ids=tuple(known["card_id"]),
        truth=tuple(truth[card_id] for card_id in known["card_id"]),
        vins=tuple(known["vin"].fillna("")),
        raw=tuple(known["raw_vin"]),
        status=tuple(status),
        confidence=known["confidence"].to_numpy(np.float64),
        eligible=np.array(list(map(is_eligible, status, reasons)), bool),
        probs=np.array(probs, np.float64).reshape(-1, VIN_LENGTH),
    )
    return Comparison(
        unknown=len(frame) - len(known),
        lost=len(set(truth) - set(known["card_id"])),
        score=summarise(judged),
        judged=judged,
    )


def with_pictures(comparison: Comparison, archive: Path) -> Comparison:
    """Add the pixels of the first cards, and of those that were accepted and wrong.

    Args:
        comparison: Of a run over the archive.
        archive: The card folders; cards that cannot be read any more have no picture.

    Returns:
        The same figures, with something to look at.
    """
    judged = comparison.judged
    wrong = np.flatnonzero(judged.accepted & ~judged.right)[:WRONG_PICTURED]
    rows = {*range(min(PICTURED_CARDS, len(judged.card_ids))), *wrong.tolist()}
    pictures = {}
    for row in sorted(rows):
        with suppress(ArchiveError):
            pack = read_folder(archive / judged.card_ids[row], preprocess_bytes)
            pictures[row] = pack.pixels[0]
    seen = replace(judged, pictures=pictures)
    return replace(comparison, judged=seen, score=replace(comparison.score, judged=seen))
