"""What a register must hold after some runs were loaded, worked out without any database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from finished_run import reading, unreadable
from loader_runs import awkward, run_of
from vin_batch.batch.rundir import RunDir
from vin_batch.corrections.layer import load as load_corrections
from vin_batch.corrections.records import deciding
from vin_batch.export.contract import CONTRACT
from vin_batch.export.rows import contract_rows, machine_rows
from vin_batch.export.shards import open_finished, read_time
from vin_batch.records import Status

NIGHT = datetime(2026, 1, 1, 2, tzinfo=UTC)


def night(number: int) -> str:
    return (NIGHT + timedelta(days=number)).isoformat()


def expected(runs: Iterable[RunDir], layers: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """What the view must show: the newest reading of every card, people first."""
    said = deciding(load_corrections(layers))
    newest: dict[str, tuple[Any, dict[str, Any]]] = {}
    for run in runs:
        finished = open_finished(run.root, partial=True)
        for receipt in finished.receipts():
            read_at = read_time(finished.record, receipt)
            machine = machine_rows(finished.readings(receipt), read_at, receipt.shard)
            for row in contract_rows(machine, said).to_pylist():
                order = (row["read_at"], row["run_id"])
                if row["card_id"] not in newest or order >= newest[row["card_id"]][0]:
                    newest[row["card_id"]] = (order, row)
    return [row for _, (_, row) in sorted(newest.items(), key=lambda item: item[0].encode())]


def exact(found: list[dict[str, Any]]) -> pa.Table:
    """Rows with the bits of the contract's types, so that nothing is compared roundly."""
    return pa.Table.from_pylist(found, schema=CONTRACT)


def overlapping(base: Path) -> list[RunDir]:
    """Three nights: some cards were read again, with all kinds of results."""
    first = [reading("a"), reading("b"), awkward("c"), unreadable("d"), reading("e")]
    second = [awkward("a"), reading("b"), reading("c"), reading("f")]
    third = [unreadable("b", Status.FAILED), awkward("f", 0.5), reading("g")]
    return [
        run_of(base / f"n{n}", [cards], f"{n}" * 32, night(n))
        for n, cards in enumerate((first, second, third), start=1)
    ]
