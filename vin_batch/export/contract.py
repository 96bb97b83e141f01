"""The columns that other systems may rely on: names, types, meanings.

Every target has them: the Parquet and CSV files of a package, the view ``readings`` of
PostgreSQL, DuckDB and SQLite. The table in the documentation is made from this module.
A column is never renamed, retyped or given another meaning without a new
``CONTRACT_VERSION``; new ones are added at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa

from vin_batch.records import Status

CONTRACT_VERSION: Final = 1
CONTRACT_KEY: Final = b"vin_batch.export_contract"
TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
CONFIRMED: Final = "confirmed"
"""Status of a card whose VIN a person gave."""
LOADABLE: Final = (Status.ACCEPTED.value, CONFIRMED)
"""Statuses whose VIN belongs in a register."""
STATUSES: Final = (*(status.value for status in Status), CONFIRMED)


class Source(StrEnum):
    """Whose word the VIN is."""

    MACHINE = "machine"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the contract.

    Attributes:
        name: Its name in every target.
        kind: Arrow type.
        meaning: One sentence for the documentation.
        example: A value as the CSV writes it.
        nullable: Whether a value may be absent.
    """

    name: str
    kind: pa.DataType
    meaning: str
    example: str
    nullable: bool = False


def _list(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("item", kind, nullable=False))


_TEXT: Final = pa.string()
COLUMNS: Final = (
    Column("card_id", _TEXT, "the card's folder below the archive root; unique",
           "1987/box_012/card_000345"),
    Column("status", _TEXT,
           "`accepted`, `confirmed` (a person gave the VIN), `review`, `unreadable`, `failed`",
           "accepted"),
    Column("vin", _TEXT, "the VIN; a best guess where the status is `review`",
           "XTA210990K1491754", nullable=True),
    Column("source", _TEXT, "whose word `status` and `vin` are: `machine` or `person`",
           "machine"),
    Column("confidence", pa.float64(),
           "calibrated probability that `machine_vin` is the VIN on the card", "0.999312"),
    Column("check_digit", _TEXT, "of `vin`: `valid`, `invalid`, `not_applicable`",
           "not_applicable"),
    Column("wmi", _TEXT, "first three characters of `vin`", "XTA", nullable=True),
    Column("maker", _TEXT, "maker of the WMI", "AvtoVAZ", nullable=True),
    Column("country", _TEXT, "country of the WMI", "Russia", nullable=True),
    Column("model_years", _list(pa.int16()), "what position 10 of `vin` may mean",
           "1989;2019"),
    Column("machine_status", _TEXT, "the machine's verdict, whatever a person said",
           "accepted"),
    Column("machine_vin", _TEXT, "the machine's VIN", "XTA210990K1491754", nullable=True),
    Column("raw_vin", _TEXT,
           "most probable character of every box, `?` where it gave nothing",
           "XTA2?0990K1491754"),
    Column("changed", _list(pa.int8()),
           "positions where `machine_vin` differs from `raw_vin`", "5"),
    Column("reasons", _list(_TEXT), "why the machine did not accept", "low_confidence"),
    Column("char_probs", _list(pa.float32()),
           "17 probabilities of the characters of `raw_vin`; 0 where a box gave nothing",
           "0.998;0.87;..."),
    Column("second_chars", _TEXT,
           "17 second most probable characters, `?` where there is none", "Y1A2I0..."),
    Column("second_probs", _list(pa.float32()), "their probabilities", "0.001;0.12;..."),
    Column("issues", _list(_TEXT), "`position:code` of every box that something was wrong with",
           "5:blank;9:missing"),
    Column("alternative_vins", _list(_TEXT), "next most probable VINs",
           "XTA210990K1491764"),
    Column("alternative_probs", _list(pa.float64()), "their probabilities", "0.0003"),
    Column("reviewer", _TEXT, "who signed the correction", "i.petrova", nullable=True),
    Column("reviewed_at", TIMESTAMP, "when it was signed", "2026-11-20T09:14:00+00:00",
           nullable=True),
    Column("note", _TEXT, "what the reviewer noted", "frame checked", nullable=True),
    Column("read_at", TIMESTAMP, "when the machine finished reading the card's shard",
           "2026-11-20T02:31:07+00:00"),
    Column("model_id", _TEXT, "model that read the card", "default@3f2a9c01b7de"),
    Column("run_id", _TEXT, "run that read the card, 32 hex digits",
           "0123456789abcdef0123456789abcdef"),
    Column("shard", pa.int32(), "shard of that run", "42"),
)  # fmt: skip
"""In the order of every target."""

CONTRACT: Final = pa.schema(
    [pa.field(column.name, column.kind, nullable=column.nullable) for column in COLUMNS],
    metadata={CONTRACT_KEY: str(CONTRACT_VERSION).encode()},
)
NAMES: Final = tuple(CONTRACT.names)
BY_PERSON: Final = (
    "source", "machine_status", "machine_vin", "reviewer", "reviewed_at", "note",
)  # fmt: skip
"""Columns that exist only because people may correct the machine."""
MACHINE: Final = pa.schema([field for field in CONTRACT if field.name not in BY_PERSON])
"""What the machine alone says about a card; ``vin`` and ``status`` are its own here."""


def type_name(kind: pa.DataType) -> str:
    """A type in words that a database administrator knows."""
    names = {
        pa.string(): "text",
        pa.float64(): "double",
        pa.float32(): "real",
        pa.int8(): "smallint",
        pa.int16(): "smallint",
        pa.int32(): "integer",
        TIMESTAMP: "timestamp with time zone",
    }
    if pa.types.is_list(kind):
        return f"list of {names[kind.value_type]}"
    return names[kind]


def markdown_table() -> str:
    """The contract as a table for people."""
    lines = ["| column | type | meaning | example |", "|---|---|---|---|"]
    for column in COLUMNS:
        kind = type_name(column.kind) + (", may be null" if column.nullable else "")
        lines.append(f"| `{column.name}` | {kind} | {column.meaning} | `{column.example}` |")
    return "\n".join(lines) + "\n"
