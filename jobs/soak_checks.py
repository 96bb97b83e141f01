"""What must hold after every session of the soak, whatever was done to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vin_batch.archive import open_archive, walk
from vin_batch.batch.atomic import temporaries
from vin_batch.batch.lock import is_held
from vin_batch.batch.readings_schema import iter_tables
from vin_batch.batch.receipts import load_receipt
from vin_batch.batch.rundir import RunDir, parts
from vin_batch.batch.verify import Severity, verify_run


@dataclass(frozen=True, slots=True)
class Reference:
    """What an undisturbed run gave.

    Attributes:
        code: Its exit status.
        readings: Bytes by shard.
        csv: Bytes of ``readings.csv``.
        seconds: How long it took.
        cards: Number of cards.
    """

    code: int
    readings: dict[int, bytes]
    csv: bytes
    seconds: float
    cards: int


def results_of(run: RunDir) -> tuple[dict[int, bytes], bytes]:
    """Readings by shard, and the CSV."""
    readings = {shard: path.read_bytes() for shard, path in parts(run.readings_dir)}
    csv = run.root / "readings.csv"
    return readings, csv.read_bytes() if csv.exists() else b""


def check_cards(run: RunDir, archive: Path) -> Iterator[str]:
    """Every card of the archive has exactly one row, in the order of the walk."""
    wanted = [ref.card_id for ref in walk(open_archive(archive))]
    found = [name for table in iter_tables(run) for name in table.column("card_id").to_pylist()]
    if found != wanted:
        twice = len(found) - len(set(found))
        lost = len(set(wanted) - set(found))
        yield f"{len(wanted)} cards, {len(found)} rows: {lost} lost, {twice} twice"


def check_unfinished(run: RunDir, reference: Reference, damaged: set[int]) -> Iterator[str]:
    """After any end: what has its name is whole, and nobody holds the lock."""
    if is_held(run.lock):
        yield "the lock is held by nobody that should"
    readings, _ = results_of(run)
    for shard, data in readings.items():
        if data != reference.readings.get(shard) and shard not in damaged:
            yield f"readings of shard {shard} are not those of the undisturbed run"
    for shard, path in parts(run.receipts_dir):
        if shard in damaged:
            continue
        if load_receipt(run, shard) is None:
            yield f"{path.name} is torn"
        elif shard not in readings:
            yield f"{path.name} is a receipt without readings"


def check_complete(run: RunDir, reference: Reference, code: int) -> Iterator[str]:
    """After a run that completed: the very same results, and nothing besides."""
    if code != reference.code:
        yield f"it completed with exit {code}, undisturbed it is {reference.code}"
    readings, csv = results_of(run)
    if readings.keys() != reference.readings.keys():
        yield f"{len(readings)} shards instead of {len(reference.readings)}"
    for shard in sorted(readings.keys() & reference.readings.keys()):
        if readings[shard] != reference.readings[shard]:
            yield f"readings of shard {shard} differ from the undisturbed run"
    if csv != reference.csv:
        yield "readings.csv differs from the undisturbed run"
    for path in temporaries((run.root, run.readings_dir, run.receipts_dir)):
        yield f"{path.name} was left over"
    for finding in verify_run(run):
        if finding.severity is Severity.DAMAGE or "failed cards" not in finding.message:
            yield f"verify: {finding.message}"


def names_in(*folders: Path) -> set[str]:
    """Paths in folders that a program may litter."""
    return {
        os.path.join(folder, name)  # noqa: PTH118 - names, not files that are opened
        for folder in folders
        if folder.is_dir()
        for name in os.listdir(folder)
    }
