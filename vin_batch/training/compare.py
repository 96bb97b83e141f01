"""Compares a finished run with known VINs."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vin_batch import read_run
from vin_batch.errors import UsageError
from vin_batch.records import Status
from vin_batch.training.model_readme import wilson


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a run got right; cards whose truth has no VIN are right when none is accepted.

    Attributes:
        cards: Cards of the run that have a truth.
        unknown: Cards of the run without one.
        lost: Cards of the truth without a reading.
        raw_right: Cards whose raw reading is the VIN.
        vin_right: Cards whose ``vin`` is the VIN.
        status: Cards by status.
        accepted_wrong: Card ids of accepted cards whose ``vin`` is wrong.
    """

    cards: int
    unknown: int
    lost: int
    raw_right: int
    vin_right: int
    status: dict[str, int]
    accepted_wrong: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__}

    def text(self) -> str:
        """Aligned text with 95 % Wilson intervals."""
        accepted = self.status.get(Status.ACCEPTED, 0)
        lines = [
            f"cards compared          {self.cards}",
            f"without a known VIN     {self.unknown}",
            f"without a reading       {self.lost}",
            f"17 right, no rules      {_share(self.raw_right, self.cards)}",
            f"VIN right               {_share(self.vin_right, self.cards)}",
            *(f"{status:<24}{_share(self.status.get(status, 0), self.cards)}" for status in Status),
            f"wrong among accepted    {_share(len(self.accepted_wrong), accepted)}",
        ]
        lines += [f"  wrong: {card_id}" for card_id in self.accepted_wrong[:20]]
        return "\n".join(lines)


def load_truth(path: Path) -> dict[str, str]:
    """Read a CSV with the columns ``card_id`` and ``vin``.

    Returns:
        VIN by card id; empty where the card holds none.

    Raises:
        UsageError: The file cannot be read or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return {row["card_id"]: row["vin"].strip().upper() for row in csv.DictReader(file)}
    except (OSError, KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{path} is not a truth file: {error!r}",
            "It must be UTF-8 CSV with the columns card_id and vin.",
        ) from error


def compare_run(run_dir: Path, truth: dict[str, str]) -> Comparison:
    """Compare a run's readings with the truth.

    Args:
        run_dir: The run directory.
        truth: As ``load_truth`` gives it.

    Returns:
        The comparison.
    """
    frame = read_run(run_dir, columns=["card_id", "status", "vin", "raw_vin"])
    known = frame[frame["card_id"].isin(list(truth))]
    true = known["card_id"].map(truth)
    read = known["vin"].fillna("")
    accepted = known["status"] == Status.ACCEPTED
    return Comparison(
        cards=len(known),
        unknown=len(frame) - len(known),
        lost=len(set(truth) - set(known["card_id"])),
        raw_right=int((known["raw_vin"] == true).sum()),
        vin_right=int(((read == true) | ((true == "") & ~accepted)).sum()),
        status={str(key): int(value) for key, value in known["status"].value_counts().items()},
        accepted_wrong=tuple(known.loc[accepted & (read != true), "card_id"]),
    )


def _share(count: int, total: int) -> str:
    if total == 0:
        return "none"
    low, high = wilson(count, total)
    return f"{count:>7}  {100 * count / total:6.2f} % [{100 * low:.2f}, {100 * high:.2f}]"
