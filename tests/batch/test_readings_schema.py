from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vin_batch.batch.readings_schema import (
    READINGS_SCHEMA,
    SCHEMA_KEY,
    read_part,
    readings_to_table,
    serialise,
    table_to_readings,
)
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import DiskError
from vin_batch.records import Alternative, CharReading, CheckDigitState, Reading, Status

texts = st.text(st.characters(codec="utf-8"), max_size=8)
maybe = st.one_of(st.none(), texts)
small = st.floats(0, 1, width=32)
readings_strategy = st.lists(
    st.builds(
        Reading,
        card_id=texts,
        status=st.sampled_from(Status),
        vin=maybe,
        raw_vin=texts,
        confidence=st.floats(0, 1),
        check_digit=st.sampled_from(CheckDigitState),
        changed=st.lists(st.integers(1, 17), max_size=3).map(tuple),
        reasons=st.lists(texts, max_size=3).map(tuple),
        chars=st.lists(
            st.builds(
                CharReading,
                position=st.integers(1, 17),
                char=texts,
                prob=small,
                second=maybe,
                second_prob=small,
                issue=maybe,
            ),
            max_size=17,
        ).map(tuple),
        alternatives=st.lists(
            st.builds(Alternative, vin=texts, prob=st.floats(0, 1)), max_size=3
        ).map(tuple),
        wmi=maybe,
        maker=maybe,
        country=maybe,
        model_years=st.lists(st.integers(1950, 2039), max_size=2).map(tuple),
    ),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(readings_strategy)
def test_readings_round_trip_through_parquet(readings: list[Reading]) -> None:
    data = serialise(readings_to_table(readings, "model", "run"))
    table = pq.read_table(pa.BufferReader(data))
    assert table.schema.equals(READINGS_SCHEMA)
    assert table_to_readings(table) == readings
    assert data == serialise(readings_to_table(list(readings), "model", "run"))


def test_part_says_its_schema_and_holds_one_zstd_row_group(tmp_path: Path) -> None:
    run = write_part(tmp_path, serialise(readings_to_table([], "model", "run")))
    file = pq.ParquetFile(run.readings(0))
    assert file.schema_arrow.metadata[SCHEMA_KEY] == b"1"
    assert read_part(run, 0).num_rows == 0


def write_part(root: Path, data: bytes) -> RunDir:
    run = RunDir(root)
    run.readings_dir.mkdir()
    run.readings(0).write_bytes(data)
    return run


def test_torn_missing_or_foreign_parts_are_disk_errors(tmp_path: Path) -> None:
    whole = serialise(readings_to_table([], "model", "run"))
    run = write_part(tmp_path, whole[:-10])
    with pytest.raises(DiskError, match="part-00000"):
        read_part(run, 0)
    with pytest.raises(DiskError, match="part-00001"):
        read_part(run, 1)
    pq.write_table(pa.table({"card_id": ["a"]}), run.readings(0))
    with pytest.raises(DiskError, match="schema"):
        read_part(run, 0)


def test_numpy_floats_are_accepted() -> None:
    char = CharReading(1, "A", float(np.float32(0.1)), None, 0.0, None)
    reading = Reading(
        "c", Status.REVIEW, None, "A", 0.5, CheckDigitState.VALID, (), ("x",), (char,), (),
        None, None, None, (),
    )  # fmt: skip
    (back,) = table_to_readings(readings_to_table([reading], "m", "r"))
    assert back == reading
