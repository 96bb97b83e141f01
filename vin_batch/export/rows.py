"""From the readings of a shard to rows of the contract; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vin_batch.corrections.records import Correction
from vin_batch.errors import DiskError
from vin_batch.export.contract import CONFIRMED, CONTRACT, MACHINE, TIMESTAMP, Source
from vin_batch.records import Status
from vin_batch.vin.alphabet import VIN_LENGTH

NO_CHARACTER: Final = "?"
_CORRECTED: Final = (
    "status", "vin", "source", "check_digit", "wmi", "maker", "country", "model_years",
    "reviewer", "reviewed_at", "note",
)  # fmt: skip
"""Columns whose value a correction decides."""


def machine_rows(table: pa.Table, read_at: datetime, shard: int) -> pa.Table:
    """What the machine says, one row per card in the order of the readings.

    Args:
        table: Rows of ``READINGS_SCHEMA``.
        read_at: When the shard was read.
        shard: Its number.

    Returns:
        Rows of ``MACHINE``; nothing is rounded, every value can be had back.

    Raises:
        DiskError: A card has not one outcome for each of the 17 boxes.
    """
    rows = table.num_rows
    columns: dict[str, pa.Array] = {
        **_boxes(table),
        **_alternatives(table),
        "read_at": pa.array(np.full(rows, np.datetime64(_naive(read_at), "us")), TIMESTAMP),
        "shard": pa.array(np.full(rows, shard, np.int32)),
    }
    for field in MACHINE:
        if field.name not in columns:
            columns[field.name] = table.column(field.name).combine_chunks()
    return pa.table([columns[field.name] for field in MACHINE], schema=MACHINE)


def contract_rows(machine: pa.Table, corrections: Mapping[str, Correction]) -> pa.Table:
    """Put people's words before the machine's.

    Args:
        machine: Rows of ``MACHINE``.
        corrections: The deciding correction of every corrected card.

    Returns:
        Rows of ``CONTRACT``, in the same order.
    """
    rows = machine.num_rows
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        name: machine.column(name) for name in machine.column_names
    }
    columns["machine_status"] = machine.column("status")
    columns["machine_vin"] = machine.column("vin")
    columns["source"] = pa.array([Source.MACHINE.value] * rows, pa.string())
    for name in ("reviewer", "reviewed_at", "note"):
        columns[name] = pa.nulls(rows, CONTRACT.field(name).type)
    ids = machine.column("card_id").to_pylist()
    hits = [(row, corrections[card]) for row, card in enumerate(ids) if card in corrections]
    if hits:
        for name in _CORRECTED:
            values = columns[name].to_pylist()
            for row, correction in hits:
                values[row] = _corrected(correction)[name]
            columns[name] = pa.array(values, CONTRACT.field(name).type)
    return pa.table([columns[name] for name in CONTRACT.names], schema=CONTRACT)


def _corrected(correction: Correction) -> dict[str, Any]:
    facts = correction.facts
    return {
        "status": Status.UNREADABLE.value if correction.vin is None else CONFIRMED,
        "vin": correction.vin,
        "source": Source.PERSON.value,
        "check_digit": facts.check_digit.value,
        "wmi": facts.wmi,
        "maker": facts.maker,
        "country": facts.country,
        "model_years": list(facts.model_years),
        "reviewer": correction.reviewer,
        "reviewed_at": correction.signed_at,
        "note": correction.note,
    }


def _naive(moment: datetime) -> datetime:
    """The same UTC time without its zone, as NumPy wants it."""
    return moment.replace(tzinfo=None)


def _boxes(table: pa.Table) -> dict[str, pa.Array]:
    chars = table.column("chars").combine_chunks()
    lengths = pc.list_value_length(chars)
    boxes = chars.flatten()
    seconds = pc.fill_null(boxes.field("second"), NO_CHARACTER)
    positions = np.asarray(boxes.field("position"))
    whole = pc.all(pc.equal(lengths, VIN_LENGTH)).as_py() is not False
    if not whole or not np.array_equal(
        positions, np.tile(np.arange(1, VIN_LENGTH + 1), table.num_rows)
    ):
        raise _incoherent(table, "has not one outcome for each of its 17 boxes")
    offsets = pa.array(np.arange(table.num_rows + 1, dtype=np.int32) * VIN_LENGTH)

    def lists(name: str, values: pa.Array) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, values, type=MACHINE.field(name).type)

    texts = pa.ListArray.from_arrays(offsets, boxes.field("char"))
    if not pc.binary_join(texts, "").equals(table.column("raw_vin").combine_chunks()):
        raise _incoherent(table, "has a raw_vin that its boxes do not spell")
    return {
        "char_probs": lists("char_probs", boxes.field("prob")),
        "second_chars": pc.binary_join(pa.ListArray.from_arrays(offsets, seconds), ""),
        "second_probs": lists("second_probs", boxes.field("second_prob")),
        "issues": _issues(boxes, table.num_rows),
    }


def _issues(boxes: pa.StructArray, cards: int) -> pa.ListArray:
    found = pc.is_valid(boxes.field("issue"))
    positions = pc.cast(pc.filter(boxes.field("position"), found), pa.string())
    texts = pc.binary_join_element_wise(positions, pc.filter(boxes.field("issue"), found), ":")
    counts = np.asarray(found).reshape(cards, VIN_LENGTH).sum(axis=1, dtype=np.int32)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, texts, type=MACHINE.field("issues").type)


def _alternatives(table: pa.Table) -> dict[str, pa.Array]:
    column = table.column("alternatives").combine_chunks()
    lengths = np.asarray(pc.list_value_length(column), np.int32)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    items = column.flatten()
    return {
        f"alternative_{name}s": pa.ListArray.from_arrays(
            offsets, items.field(name), type=MACHINE.field(f"alternative_{name}s").type
        )
        for name in ("vin", "prob")
    }


def _incoherent(table: pa.Table, what: str) -> DiskError:
    first = table.column("card_id")[0].as_py()
    return DiskError(
        f"a card of the shard that begins with {first} {what}",
        "`vin-batch verify` tells what else is damaged.",
    )
