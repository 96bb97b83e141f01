"""From the readings of a shard to rows of the contract; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vin_batch.corrections.records import Correction
from vin_batch.errors import DiskError
from vin_batch.export.arrow_arrays import (
    content,
    ends,
    ends_of,
    even_ends,
    from_bytes,
    from_numpy,
    list_like,
    lists,
    numbers,
    scalar,
)
from vin_batch.export.contract import (
    BY_PERSON,
    CONFIRMED,
    CONTRACT,
    MACHINE,
    TIMESTAMP,
    Source,
)
from vin_batch.records import Status
from vin_batch.vin.alphabet import VIN_LENGTH

_NO_CHARACTER: Final = scalar(b"?", pa.string())
_COLON: Final = scalar(b":", pa.string())
_POSITIONS: Final = np.arange(1, VIN_LENGTH + 1, dtype=np.int8)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CORRECTED: Final = (
    "status", "vin", "source", "check_digit", "wmi", "maker", "country", "model_years",
    "reviewer", "reviewed_at", "note",
)  # fmt: skip
"""Columns whose value a correction decides."""
_SIGNATURE: Final = ("reviewer", "reviewed_at", "note")


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
        "read_at": from_numpy(np.full(rows, _microseconds(read_at)), TIMESTAMP),
        "shard": from_numpy(np.full(rows, shard, np.int32), pa.int32()),
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
    signed = with_people(machine, corrections)
    return pa.table([signed.column(name) for name in CONTRACT.names], schema=CONTRACT)


def with_people(table: pa.Table, corrections: Mapping[str, Correction]) -> pa.Table:
    """Put people's words before the machine's, whatever other columns there are.

    Args:
        table: Has the columns of ``READINGS_SCHEMA`` that a correction decides.
        corrections: The deciding correction of every corrected card.

    Returns:
        The same columns, and those of ``BY_PERSON`` behind them; without schema metadata.
    """
    rows = table.num_rows
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        name: table.column(name) for name in table.column_names
    }
    columns |= {
        "source": pa.array([Source.MACHINE.value] * rows, pa.string()),
        "machine_status": table.column("status"),
        "machine_vin": table.column("vin"),
        **{name: pa.nulls(rows, CONTRACT.field(name).type) for name in _SIGNATURE},
    }
    ids = table.column("card_id").to_pylist()
    hits = [(row, corrections[card]) for row, card in enumerate(ids) if card in corrections]
    if hits:
        for name in _CORRECTED:
            values = columns[name].to_pylist()
            for row, correction in hits:
                values[row] = _corrected(correction)[name]
            columns[name] = pa.array(values, CONTRACT.field(name).type)
    fields = [
        CONTRACT.field(name) if name in BY_PERSON else table.schema.field(name) for name in columns
    ]
    return pa.table(list(columns.values()), schema=pa.schema(fields))


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


def _microseconds(moment: datetime) -> np.int64:
    """Since 1970; exact."""
    return np.int64((moment - _EPOCH) // timedelta(microseconds=1))


def _boxes(table: pa.Table) -> dict[str, pa.Array]:
    chars = table.column("chars").combine_chunks()
    boxes = chars.flatten()
    cards, bounds = table.num_rows, even_ends(table.num_rows, VIN_LENGTH)
    positions = numbers(boxes.field("position"))
    if not np.array_equal(np.diff(ends(chars)), np.diff(bounds)) or not np.array_equal(
        positions, np.tile(_POSITIONS, cards)
    ):
        raise _incoherent(table, "has not one outcome for each of its 17 boxes")
    raw = table.column("raw_vin").combine_chunks()
    if not _joined(boxes.field("char"), cards).equals(raw):
        raise _incoherent(table, "has a raw_vin that its boxes do not spell")

    def listed(name: str, values: pa.Array) -> pa.ListArray:
        return lists(bounds, values, MACHINE.field(name).type)

    seconds = boxes.field("second")
    return {
        "char_probs": listed("char_probs", boxes.field("prob")),
        "second_chars": _joined(pc.fill_null(seconds, _NO_CHARACTER), cards),
        "second_probs": listed("second_probs", boxes.field("second_prob")),
        "issues": _issues(boxes, cards),
    }


def _joined(texts: pa.Array, cards: int) -> pa.Array:
    """17 texts of every card as one."""
    bounds = ends(texts)[::VIN_LENGTH]
    return from_bytes(bounds - bounds[0], content(texts), pa.string())


def _issues(boxes: pa.StructArray, cards: int) -> pa.ListArray:
    codes = boxes.field("issue")
    found = pc.is_valid(codes)
    names = pc.cast(pc.filter(boxes.field("position"), found), pa.string())
    texts = pc.binary_join_element_wise(names, pc.filter(codes, found), _COLON)
    places = numbers(pc.indices_nonzero(found)).astype(np.intp)
    counts = np.bincount(places // VIN_LENGTH, minlength=cards)
    return lists(ends_of(counts), texts, MACHINE.field("issues").type)


def _alternatives(table: pa.Table) -> dict[str, pa.Array]:
    column = table.column("alternatives").combine_chunks()
    items = column.flatten()
    kinds = {f"alternative_{name}s": name for name in ("vin", "prob")}
    return {
        name: list_like(column, items.field(part), MACHINE.field(name).type)
        for name, part in kinds.items()
    }


def _incoherent(table: pa.Table, what: str) -> DiskError:
    first = table.column("card_id")[0].as_py()
    return DiskError(
        f"a card of the shard that begins with {first} {what}",
        "`vin-batch verify` tells what else is damaged.",
    )
