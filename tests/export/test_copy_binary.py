"""Whatever a table holds, a real server receives exactly that."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postgres_server import Server
from vin_batch.export.contract import MACHINE, TIMESTAMP
from vin_batch.export.copy_binary import copy_binary, kind_of
from vin_batch.export.postgres_connection import Destination

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
SINGLE = st.floats(width=32, allow_nan=False)
MICROSECONDS = st.integers(-60_000_000_000_000_000, 250_000_000_000_000_000)
"""Years 68 to 9891: Python reads no more."""
COLUMNS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.none() | TEXT,
    pa.int8(): st.integers(-128, 127),
    pa.int16(): st.integers(-(2**15), 2**15 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.float32(): SINGLE,
    pa.float64(): st.floats(allow_nan=False),
    TIMESTAMP: MICROSECONDS,
    pa.list_(pa.string()): st.lists(TEXT, max_size=4),
    pa.list_(pa.int8()): st.lists(st.integers(-128, 127), max_size=4),
    pa.list_(pa.float32()): st.lists(SINGLE, max_size=4),
    pa.list_(pa.float64()): st.lists(st.floats(allow_nan=False), max_size=4),
}
SCHEMA = pa.schema([(f"c{n}", kind) for n, kind in enumerate(COLUMNS)])


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Any rows, sometimes cut out of more."""
    rows = draw(st.lists(st.tuples(*COLUMNS.values()), max_size=12))
    cells = zip(*rows, strict=True) if rows else [[] for _ in SCHEMA]
    arrays = [pa.array(list(c), field.type) for c, field in zip(cells, SCHEMA, strict=True)]
    table = pa.table(arrays, schema=SCHEMA)
    first = draw(st.integers(0, len(rows)))
    return table.slice(first, draw(st.integers(0, len(rows) - first)))


def through(server: Server, table: pa.Table) -> list[tuple[Any, ...]]:
    columns = ", ".join(f"{field.name} {kind_of(field.type)}" for field in table.schema)
    with server.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        connection.execute(f"CREATE TEMP TABLE t ({columns})".encode())
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY t FROM STDIN (FORMAT binary)") as copy,
        ):
            copy.write(copy_binary(table))
        return connection.execute("SELECT * FROM t").fetchall()


@given(tables())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_any_table_arrives_exactly(server: Server, table: pa.Table) -> None:
    found = through(server, table)
    arrays = [[row[n] for row in found] for n in range(len(SCHEMA))]
    again = pa.table([pa.array(a, f.type) for a, f in zip(arrays, SCHEMA, strict=True)], SCHEMA)
    assert again.equals(table)


def test_numbers_that_are_none_arrive_too(server: Server) -> None:
    odd = [math.nan, math.inf, -math.inf, -0.0, 5e-324]
    table = pa.table({"x": pa.array(odd, pa.float64()), "y": pa.array([odd] * 5)})
    found = through(server, table)
    assert np.array([row[0] for row in found]).tobytes() == np.array(odd).tobytes()
    assert np.array(found[0][1]).tobytes() == np.array(odd).tobytes()


def test_no_rows_are_fine(server: Server) -> None:
    assert through(server, SCHEMA.empty_table()) == []


def test_a_text_that_the_server_cannot_hold_is_refused(server: Server) -> None:
    with pytest.raises(Exception, match="invalid byte sequence"):
        through(server, pa.table({"x": ["a\0b"]}))


def test_the_tables_have_the_types_that_are_sent(server: Server, register: Destination) -> None:
    with server.connect() as connection:
        found = connection.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0",
            [f"{register.schema}.machine_readings"],
        ).fetchall()
    assert set(found) == {(field.name, kind_of(field.type)) for field in MACHINE}
