"""Prints what a run over the sample cards came to, card by card, against the truth."""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vin_batch.batch.readings_schema import iter_tables, table_to_readings
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import VinBatchError
from vin_batch.records import Reading, Status

HEADS = ("card", "status", "vin", "confidence", "truth", "reasons", "what is special")


@dataclass(frozen=True, slots=True)
class Truth:
    """What is written on a sample card; ``vin`` is empty where it is no VIN."""

    vin: str
    note: str


def load_truth(path: Path) -> dict[str, Truth]:
    """Read ``truth.csv`` of the sample cards, by card id."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["card_id"]: Truth(row["vin"], row["note"]) for row in csv.DictReader(file)}


def compare(reading: Reading, truth: Truth | None) -> str:
    """Say in a word or two how a reading stands to the truth."""
    if truth is None:
        return "unknown"
    if reading.vin is None:
        return "not read" if truth.vin else "right: no VIN"
    if not truth.vin:
        return "WRONG: no VIN"
    wrong = sum(a != b for a, b in zip(reading.vin, truth.vin, strict=True))
    return f"WRONG in {wrong}" if wrong else "right"


def rows_of(readings: Sequence[Reading], truths: Mapping[str, Truth]) -> list[tuple[str, ...]]:
    """Cells of the table, one row per card, and one per sample card without a reading."""
    rows: list[tuple[str, ...]] = [
        (
            reading.card_id,
            reading.status.value,
            reading.vin or "-",
            f"{reading.confidence:.4f}" if reading.vin else "-",
            compare(reading, truths.get(reading.card_id)),
            ", ".join(reading.reasons) or "-",
            truths[reading.card_id].note if reading.card_id in truths else "",
        )
        for reading in readings
    ]
    read = {reading.card_id for reading in readings}
    lost = [card for card in truths if card not in read]
    rows += [(card, "LOST", "-", "-", "not read", "-", truths[card].note) for card in lost]
    return rows


def align(rows: Sequence[tuple[str, ...]]) -> str:
    """Set rows under each other in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def verdict(readings: Sequence[Reading], truths: Mapping[str, Truth]) -> list[str]:
    """Count right and wrong readings, by status."""
    outcomes = Counter(
        (reading.status, compare(reading, truths.get(reading.card_id)).split(" ")[0].rstrip(":"))
        for reading in readings
    )
    lines = []
    for status in Status:
        found = {word: count for (of, word), count in outcomes.items() if of is status}
        details = ", ".join(f"{count} {word}" for word, count in sorted(found.items()))
        lines.append(f"{status.value}: {sum(found.values())}" + (f" ({details})" if found else ""))
    return lines


def main() -> int:
    """Print the table; exit 0 whatever the readings are worth, they are shown as they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("truth", type=Path)
    args = parser.parse_args()
    truths = load_truth(args.truth)
    try:
        tables = iter_tables(RunDir(args.run_dir))
        readings = [reading for table in tables for reading in table_to_readings(table)]
    except VinBatchError as error:
        print(f"{error.message}\n  {error.advice}", file=sys.stderr)
        return int(error.exit_code)
    print(align([HEADS, *rows_of(readings, truths)]))
    print("\n" + "\n".join(verdict(readings, truths)))
    print(f"\nresults in {args.run_dir}:")
    print("  readings/part-*.parquet  one row per card, one outcome per box")
    print("  readings.csv             the same as one flat file")
    print("  report.html              the run on one page; summary.json for machines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
