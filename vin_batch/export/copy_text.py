r"""Arrow tables as the text format of PostgreSQL's COPY, made column by column.

Tabs between columns, a newline after a row, ``\N`` for null, backslashes before what would
be read as one of these. Arrays are ``{...}`` with every text item in double quotes; no item
may be null. Numbers are the shortest text that gives the same bits again.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NULL: Final = "\\N"
_ESCAPES: Final = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
_QUOTES: Final = (("\\", "\\\\"), ('"', '\\"'))


def copy_text(table: pa.Table) -> bytes:
    """Write all rows of a table.

    Args:
        table: Columns of text, numbers, times in UTC, or lists of text or numbers.
    """
    if not table.num_rows:
        return b""
    columns = [_column(column.combine_chunks()) for column in table.columns]
    lines = pc.binary_join_element_wise(
        *columns, "\t", null_handling="replace", null_replacement=NULL
    )
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(lines)], lines), "\n")
    return bytes(joined[0].as_buffer()) + b"\n"


def array_literal(texts: pa.ChunkedArray) -> str:
    """Write a column of text as one array of PostgreSQL, to be the value of a parameter."""
    quoted = _quote(texts.combine_chunks())
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(quoted)], quoted), ",")
    return f"{{{joined[0].as_py()}}}"


def _column(array: pa.Array) -> pa.Array:
    if pa.types.is_list(array.type):
        return _list(array)
    if pa.types.is_string(array.type):
        return _replace(array, _ESCAPES)
    if pa.types.is_timestamp(array.type):
        # The zone is part of the text: the session's own zone must not matter.
        naive = pc.cast(array, pa.timestamp("us"))
        return pc.binary_join_element_wise(pc.cast(naive, pa.string()), "+00", "")
    return pc.cast(array, pa.string())


def _list(array: pa.ListArray) -> pa.Array:
    items = array.flatten()
    if pa.types.is_string(items.type):
        texts = _replace(_quote(items), _ESCAPES)
    else:
        texts = pc.cast(items, pa.string())
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0), np.int32)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, texts)
    braced = pc.binary_join_element_wise("{", pc.binary_join(lists, ","), "}", "")
    if not array.null_count:
        return braced
    return pc.if_else(pc.is_valid(array), braced, pa.scalar(None, pa.string()))


def _quote(texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', _replace(texts, _QUOTES), '"', "")


def _replace(texts: pa.Array, pairs: tuple[tuple[str, str], ...]) -> pa.Array:
    # Hardly any text needs it, and a look at the bytes costs a hundredth of a replacement.
    data = texts.buffers()[-1]
    raw = b"" if data is None else data.to_pybytes()
    for character, replacement in pairs:
        if character.encode() in raw:
            texts = pc.replace_substring(texts, character, replacement)
    return texts
