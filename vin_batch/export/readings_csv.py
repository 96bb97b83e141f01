"""The readings of a run as one flat CSV file.

UTF-8 without a byte order mark, RFC 4180 quoting and line ends, one row per card in plan
order, columns as in ``COLUMNS``. Lists are flattened:

- ``changed``, ``reasons``, ``model_years``: items joined by ``;``.
- ``char_probs``, ``second_probs``: 17 numbers joined by ``;``, empty where a box gave no
  evidence; ``second_chars``: 17 characters, ``?`` where there is none. The characters
  themselves are ``raw_vin``.
- ``issues``: ``position:code`` joined by ``;``, only boxes with an issue.
- ``alternatives``: ``VIN:probability`` joined by ``;``, most probable first.

Probabilities are rounded to six significant digits, ``confidence`` is exact. An empty cell is
an empty list or an unknown value. Exact numbers are in the Parquet files.

Text that a spreadsheet would run as a formula is defused: a cell that begins with one of
``= + - @``, behind blanks or not, a tab, a line end or an apostrophe gets an apostrophe in
front. A loader drops one leading apostrophe from every text cell (``restore``) and has the
original back; see ``spreadsheet``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from vin_batch.batch.atomic import atomic_file
from vin_batch.batch.ledger import RunRecord, is_valid, load_run
from vin_batch.batch.readings_schema import read_part
from vin_batch.batch.receipts import load_receipt
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import DiskError, UsageError
from vin_batch.export.spreadsheet import GUARD, CardRows, defuse, restore
from vin_batch.vin.alphabet import VIN_LENGTH

__all__ = [
    "COLUMNS",
    "GUARD",
    "defuse",
    "finished_shards",
    "flatten",
    "restore",
    "write_readings_csv",
]

COLUMNS: Final = (
    "card_id",
    "status",
    "vin",
    "raw_vin",
    "confidence",
    "check_digit",
    "changed",
    "reasons",
    "char_probs",
    "second_chars",
    "second_probs",
    "issues",
    "alternatives",
    "wmi",
    "maker",
    "country",
    "model_years",
    "model_id",
    "run_id",
)
SEPARATOR: Final = ";"
_NO_CHARACTER: Final = "?"


def write_readings_csv(run_dir: Path, target: Path | None = None, *, partial: bool = False) -> Path:
    """Write the readings of a run as CSV, holding one shard in memory.

    Args:
        run_dir: The run directory.
        target: The file; ``readings.csv`` in the run directory when None.
        partial: Take what is finished, instead of refusing an unfinished run.

    Returns:
        The file.

    Raises:
        UsageError: The directory holds no run, or an unfinished one.
        DiskError: Readings are damaged, or the file cannot be written.
    """
    run = RunDir(run_dir)
    record = load_run(run)
    shards = finished_shards(run, record)
    if len(shards) < record.shards and not partial:
        raise UsageError(
            f"the run in {run_dir} is not complete: {len(shards)} of {record.shards} shards "
            "are finished",
            "Finish it with `vin-batch run` and the same arguments, or export what is there "
            "with --partial.",
        )
    path = target or run_dir / "readings.csv"
    with atomic_file(path, "csv") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = CardRows(text)
        writer.writerow(COLUMNS)
        for table in _tables(run, record, shards):
            writer.writerows(flatten(table))
        text.flush()
        text.detach()
    return path


def finished_shards(run: RunDir, record: RunRecord) -> list[int]:
    """Shards of the plan that have a receipt, in plan order."""
    return [shard for shard in range(record.shards) if run.receipt(shard).is_file()]


def _tables(run: RunDir, record: RunRecord, shards: Iterable[int]) -> Iterator[pa.Table]:
    for shard in shards:
        receipt = load_receipt(run, shard)
        if receipt is None or not is_valid(run, receipt, record.run_id, receipt.cards):
            raise DiskError(
                f"{run.readings(shard)} is not what its receipt says",
                "`vin-batch run` with the same arguments reads the damaged shard again.",
            )
        yield read_part(run, shard)


def flatten(table: pa.Table) -> Iterator[tuple[str, ...]]:
    """Turn readings into CSV cells.

    Args:
        table: Rows of ``READINGS_SCHEMA``.

    Yields:
        The cells of one card, in the order of ``COLUMNS``, formulas defused.
    """
    boxes = _flatten_boxes(table.column("chars"))
    flat: dict[str, Iterable[str]] = {
        **boxes,
        "confidence": map(repr, table.column("confidence").to_pylist()),
        "alternatives": map(_alternatives, table.column("alternatives").to_pylist()),
    }
    for name in ("changed", "reasons", "model_years"):
        flat[name] = map(_join, table.column(name).to_pylist())
    for name in COLUMNS:
        if name not in flat:
            flat[name] = ("" if cell is None else cell for cell in table.column(name).to_pylist())
    for row in zip(*(flat[name] for name in COLUMNS), strict=True):
        yield tuple(map(defuse, row))


def _flatten_boxes(chars: pa.ChunkedArray) -> dict[str, list[str]]:
    """Columns made from the 17 outcomes per card, by position."""
    structs = chars.combine_chunks().flatten()
    members: dict[str, list[Any]] = {
        name: structs.field(name).to_pylist() for name in ("position", "char", "second", "issue")
    }
    cards = range(0, len(structs), VIN_LENGTH)
    probs = _numbers(structs.field("prob"))
    second_probs = _numbers(structs.field("second_prob"))
    silent = [character == _NO_CHARACTER for character in members["char"]]
    lonely = [second is None for second in members["second"]]
    seconds = [second or _NO_CHARACTER for second in members["second"]]
    issues = [
        f"{position}:{issue}" if issue else ""
        for position, issue in zip(members["position"], members["issue"], strict=True)
    ]
    return {
        "char_probs": [_join_numbers(probs, silent, card) for card in cards],
        "second_chars": ["".join(seconds[card : card + VIN_LENGTH]) for card in cards],
        "second_probs": [_join_numbers(second_probs, lonely, card) for card in cards],
        "issues": [_join(filter(None, issues[card : card + VIN_LENGTH])) for card in cards],
    }


def _numbers(array: pa.Array) -> list[float]:
    numbers: list[float] = np.asarray(array, np.float64).tolist()
    return numbers


def _join_numbers(numbers: list[float], absent: list[bool], start: int) -> str:
    boxes = range(start, start + VIN_LENGTH)
    return SEPARATOR.join("" if absent[box] else f"{numbers[box]:.6g}" for box in boxes)


def _alternatives(alternatives: list[dict[str, Any]]) -> str:
    return _join(f"{other['vin']}:{other['prob']:.6g}" for other in alternatives)


def _join(items: Iterable[object]) -> str:
    return SEPARATOR.join(map(str, items))
