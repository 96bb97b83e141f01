"""The CSV files of a package, there and back.

RFC 4180: a header, fields in quotes where they hold the separator, a quote or a line end,
quotes doubled, lines ended by CR LF. No byte order mark. An absent value is an empty cell, a
list is its items joined by ``;``, numbers are the shortest text
that gives exactly the same number again, times are ISO 8601 in UTC. A text cell that a
spreadsheet would run as a formula has an apostrophe in front: a loader drops one leading
apostrophe from text cells (``readings_csv.restore``).
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vin_batch.errors import UsageError
from vin_batch.export.arrow_arrays import list_like
from vin_batch.export.contract import CONTRACT, NAMES, TIMESTAMP
from vin_batch.export.readings_csv import defuse, restore

LIST_SEPARATOR: Final = ";"
DELIMITERS: Final = (",", ";", "\t", "|")
LINE_END: Final = "\r\n"
SINGLE_BYTE_NOTE: Final = "ASCII characters must be single bytes"


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """How the CSV files of a package are written.

    Attributes:
        delimiter: One of ``DELIMITERS``.
        encoding: Name of an encoding that Python knows.
    """

    delimiter: str = ","
    encoding: str = "utf-8"

    def check(self) -> None:
        """Refuse what no loader could read.

        Raises:
            UsageError: The separator or the encoding is of no use.
        """
        if self.delimiter not in DELIMITERS:
            known = " ".join(map(repr, DELIMITERS))
            raise UsageError(f"{self.delimiter!r} cannot separate fields", f"Give one of {known}.")
        ascii_text = "".join(map(chr, range(32, 127))) + LINE_END
        try:
            sound = codecs.lookup(self.encoding) and (
                ascii_text.encode(self.encoding) == ascii_text.encode("ascii")
            )
        except (LookupError, UnicodeError):
            sound = False
        if not sound:
            raise UsageError(
                f"{self.encoding!r} is no encoding that a package can have",
                f"Give utf-8, cp1251 or another in which {SINGLE_BYTE_NOTE}.",
            )


def header(dialect: CsvDialect) -> bytes:
    """The first line."""
    return _lines([NAMES], dialect).encode(dialect.encoding)


def encode_rows(table: pa.Table, dialect: CsvDialect) -> bytes:
    """Write rows of ``CONTRACT``.

    Raises:
        UsageError: A cell holds a character that the encoding has not; names card, column
            and character.
    """
    rows = list(cells(table))
    text = _lines(rows, dialect)
    try:
        return text.encode(dialect.encoding)
    except UnicodeEncodeError as error:
        raise _not_encodable(rows, dialect) or error from None


def cells(table: pa.Table) -> Iterator[tuple[str, ...]]:
    """Rows of ``CONTRACT`` as cells, formulas defused."""
    return text_cells(table, NAMES)


def text_cells(table: pa.Table, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Some columns of ``CONTRACT`` as cells, row by row, formulas defused."""
    columns: list[Iterable[str]] = []
    for name in names:
        texts = to_text(table.column(name).combine_chunks()).to_pylist()
        plain = pa.types.is_string(CONTRACT.field(name).type)
        columns.append(map(defuse, texts) if plain else texts)
    yield from zip(*columns, strict=True)


def to_text(array: pa.Array) -> pa.Array:
    """Write a column as CSV text without guards: null becomes the empty text."""
    kind = array.type
    if pa.types.is_list(kind):
        items = pc.cast(array.flatten(), pa.string())
        return pc.binary_join(list_like(array, items), LIST_SEPARATOR)
    if kind == TIMESTAMP:
        texts = [None if moment is None else moment.isoformat() for moment in array.to_pylist()]
        return pc.fill_null(pa.array(texts, pa.string()), "")
    return pc.fill_null(pc.cast(array, pa.string()), "")


def from_cells(rows: Sequence[Sequence[str]]) -> pa.Table:
    """Read cells back; the inverse of ``cells``.

    Raises:
        ValueError: A cell is not of its column's type, or is empty and must not be.
    """
    columns = list(zip(*rows, strict=True)) or [() for _ in NAMES]
    arrays = [
        pa.array([_value(cell, field) for cell in column], field.type)
        for column, field in zip(columns, CONTRACT, strict=True)
    ]
    for array, field in zip(arrays, CONTRACT, strict=True):
        if array.null_count and not field.nullable:
            raise ValueError(f"{field.name} is empty")
    return pa.table(arrays, schema=CONTRACT)


def _value(cell: str, field: pa.Field) -> Any:  # noqa: ANN401 - as many types as columns
    kind = field.type
    if pa.types.is_string(kind):
        return restore(cell) or None
    if pa.types.is_list(kind):
        return [_item(item, kind.value_type) for item in cell.split(LIST_SEPARATOR)] if cell else []
    if not cell:
        return None
    return datetime.fromisoformat(cell) if kind == TIMESTAMP else _item(cell, kind)


def _item(text: str, kind: pa.DataType) -> Any:  # noqa: ANN401
    if pa.types.is_string(kind):
        return text
    if kind == pa.float32():
        return np.float32(text)
    return float(text) if pa.types.is_floating(kind) else int(text)


def _lines(rows: Iterable[Sequence[str]], dialect: CsvDialect) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=dialect.delimiter, lineterminator=LINE_END).writerows(rows)
    return buffer.getvalue()


def _not_encodable(rows: Sequence[Sequence[str]], dialect: CsvDialect) -> UsageError | None:
    for row in rows:
        for name, cell in zip(NAMES, row, strict=True):
            try:
                cell.encode(dialect.encoding)
            except UnicodeEncodeError as error:
                card = restore(row[0])
                character = cell[error.start]
                return UsageError(
                    f"card {card!r}: {name} holds {character!r} (U+{ord(character):04X}), which "
                    f"{dialect.encoding} has not",
                    "Export as UTF-8, which has every character; nothing was published.",
                )
    return None
