"""The current reading of every card, gathered from all runs, people's words before the machine's.

Columns are those of a run's readings, ``vin``, ``status`` and what follows from them as people
corrected them, and behind them those that tell machine and people apart (``BY_PERSON``).
"""

from __future__ import annotations

import io
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vin_batch.batch.atomic import atomic_file
from vin_batch.batch.ledger import is_valid, load_run
from vin_batch.batch.readings_schema import READINGS_SCHEMA, read_part
from vin_batch.batch.receipts import load_receipt
from vin_batch.corrections import layer
from vin_batch.corrections.records import deciding
from vin_batch.errors import DiskError, UsageError
from vin_batch.export.contract import BY_PERSON, CONTRACT
from vin_batch.export.csv_dialect import text_cells
from vin_batch.export.readings_csv import COLUMNS, flatten
from vin_batch.export.rows import with_people
from vin_batch.export.spreadsheet import CardRows, defuse
from vin_batch.nightly.catalogue import Catalogue
from vin_batch.nightly.deliveries import correction_layers
from vin_batch.nightly.nightdir import CURRENT_KINDS, NightDir

BLOCK: Final = 16_384
"""Cards whose readings are gathered at a time: about 15 MB."""
OPEN_SHARDS: Final = 8
"""Shards that are kept: neighbours in the walk mostly lie in the same ones."""

CURRENT: Final = pa.schema([*READINGS_SCHEMA, *(CONTRACT.field(name) for name in BY_PERSON)])
"""Columns of the Parquet file."""

Write = Callable[[pa.Table], None]


def write_current(
    nights: NightDir, catalogue: Catalogue, targets: list[Path], check: Callable[[], None]
) -> None:
    """Write the current reading of every card, one row each, in the order of the walk.

    A card that is missing from the archive keeps its row.

    Args:
        nights: The directory of nights; corrections lie in it, or in single runs.
        catalogue: Where the readings lie.
        targets: Files to write at once; ``.csv`` or ``.parquet`` decides the format.
        check: Called now and then; may raise to stop.

    Raises:
        UsageError: A file name has another suffix.
        DiskError: Readings are damaged, or a file cannot be written.
    """
    readings = _Readings(nights)
    said = deciding(layer.load(correction_layers(nights)))
    with ExitStack() as stack:
        writers = [_open_writer(path, stack) for path in targets]
        for block in _blocks(catalogue):
            check()
            table = with_people(readings.gather(block), said)
            for write in writers:
                write(table)


def write_missing(nights: NightDir, catalogue: Catalogue) -> int:
    """Write ``missing.csv``: the cards that were read once and are not in the archive now.

    Returns:
        How many there are.
    """
    columns = ("card_id", "missing_since", "status", "run")
    count = 0
    with atomic_file(nights.missing, "missing") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = CardRows(text)
        writer.writerow(columns)
        for table in catalogue.tables(columns):
            gone = table.filter(table.column("missing_since").is_valid())
            cells = (gone.column(name).to_pylist() for name in columns)
            for row in zip(*cells, strict=True):
                writer.writerow([defuse(cell) for cell in row])
                count += 1
        text.flush()
        text.detach()
    return count


class _Readings:
    """Finds readings by run, shard and row."""

    def __init__(self, nights: NightDir) -> None:
        self._nights = nights
        self._shards: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._run_ids: dict[str, str] = {}

    def gather(self, block: pa.Table) -> pa.Table:
        """Readings of the cards of a block, in its order."""
        runs = block.column("run").to_pylist()
        shards = block.column("shard").to_pylist()
        rows = block.column("row").to_numpy()
        places: dict[tuple[str, int], list[int]] = {}
        for place, where in enumerate(zip(runs, shards, strict=True)):
            places.setdefault(where, []).append(place)
        parts, order = [], []
        for where, wanted in places.items():
            parts.append(self._shard(*where).take(pa.array(rows[wanted])))
            order += wanted
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        table = pa.concat_tables(parts).combine_chunks().take(pa.array(back))
        if not table.column("card_id").equals(block.column("card_id")):
            raise DiskError(
                "the catalogue does not fit the readings of its runs",
                "`vin-batch catalogue --rebuild` makes it again.",
            )
        return table

    def _shard(self, name: str, shard: int) -> pa.Table:
        where = (name, shard)
        if where not in self._shards:
            self._shards[where] = self._load(name, shard)
            if len(self._shards) > OPEN_SHARDS:
                self._shards.popitem(last=False)
        self._shards.move_to_end(where)
        return self._shards[where]

    def _load(self, name: str, shard: int) -> pa.Table:
        run = self._nights.run(name)
        if name not in self._run_ids:
            self._run_ids[name] = load_run(run).run_id
        receipt = load_receipt(run, shard)
        if receipt is None or not is_valid(run, receipt, self._run_ids[name], receipt.cards):
            raise DiskError(
                f"{run.readings(shard)} is not what its receipt says",
                "The next night reads its cards again.",
            )
        return read_part(run, shard)


def _blocks(catalogue: Catalogue) -> Iterator[pa.Table]:
    """The catalogue in blocks of one size: the output must not show how it grew."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in catalogue.tables(("card_id", "run", "shard", "row")):
        waiting.append(table)
        rows += table.num_rows
        while rows >= BLOCK:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, BLOCK).combine_chunks()
            waiting, rows = [joined.slice(BLOCK)], rows - BLOCK
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()


def _open_writer(path: Path, stack: ExitStack) -> Write:
    suffix = path.suffix.removeprefix(".")
    if suffix not in CURRENT_KINDS:
        raise UsageError(
            f"{path} has no suffix that says its format",
            "Give a file that ends in .csv or .parquet.",
        )
    file = stack.enter_context(atomic_file(path, "current"))
    if suffix == "parquet":
        writer = pq.ParquetWriter(file, CURRENT, compression="zstd")
        stack.enter_context(writer)
        return lambda table: writer.write_table(table.cast(CURRENT), row_group_size=BLOCK)
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    stack.callback(text.detach)
    rows = CardRows(text)
    rows.writerow((*COLUMNS, *BY_PERSON))

    def write(table: pa.Table) -> None:
        people = text_cells(table, BY_PERSON)
        rows.writerows(map(operator.add, flatten(table), people))
        text.flush()

    return write
