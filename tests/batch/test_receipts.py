from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vin_batch.batch.ledger import is_valid, load_run, tally
from vin_batch.batch.receipts import (
    ReaderPart,
    Receipt,
    ReceiptError,
    ShardState,
    encode_digests,
    iter_receipts,
    receipt_from_json,
    receipt_to_json,
    save_receipt,
)
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.sealed import open_sealed
from vin_batch.errors import DiskError, UsageError

counts = st.dictionaries(st.sampled_from(["accepted", "review", "failed"]), st.integers(0, 99))
receipts_strategy = st.builds(
    Receipt,
    shard=st.integers(0, 10**6),
    run_id=st.text("0123456789abcdef", min_size=1, max_size=32),
    model_id=st.text(max_size=20),
    state=st.sampled_from(ShardState),
    cards=st.integers(0, 1000),
    readings_sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    readings_bytes=st.integers(0, 10**9),
    plan_digest=st.text(max_size=32),
    stat_digest=st.text(max_size=32),
    content_digests=st.just(""),
    statuses=counts,
    reasons=counts,
    issues=counts,
    extra_boxes=st.integers(0, 99),
    ignored_files=st.integers(0, 99),
    timings=st.dictionaries(st.text(max_size=9), st.floats(0, 1e6)),
    device=st.text(max_size=20),
    host=st.text(st.characters(codec="utf-8"), max_size=20),
    finished_at=st.text(max_size=20),
    rss_bytes=st.integers(0, 2**50),
    worker_rss_bytes=st.integers(0, 2**50),
    strikes=st.integers(0, 9),
    errors=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    readers=st.lists(
        st.builds(
            ReaderPart,
            name=st.text(max_size=20),
            sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
            engine=st.text(max_size=20),
            cards=st.integers(0, 1000),
            boxes=st.integers(0, 17_000),
            seconds=st.floats(0, 1e6),
        ),
        max_size=2,
    ).map(tuple),
)


@given(receipts_strategy)
def test_receipts_round_trip(receipt: Receipt) -> None:
    assert receipt_from_json(receipt_to_json(receipt)) == receipt


@given(receipts_strategy, st.data())
def test_torn_receipts_are_refused(receipt: Receipt, data: st.DataObject) -> None:
    whole = receipt_to_json(receipt)
    cut = data.draw(st.integers(0, len(whole) - 3))
    with pytest.raises(ReceiptError):
        receipt_from_json(whole[:cut])


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 99},
        {"cards": "4"},
        {"state": "splendid"},
        {"statuses": [1]},
        {"unknown": 1},
        {"content_digests": "not base 64!"},
        {"stamp_digests": "not base 64!"},
        {"readers": [{"name": "nobody"}]},
        {"blamed": [{"card_id": "nobody"}]},
        {"blamed": [{"card_id": "a", "stage": "dream", "cause": "c"}]},
        {"given_up": "4"},
    ],
)
def test_receipts_with_wrong_fields_are_refused(change: dict[str, object]) -> None:
    document = open_sealed(receipt_to_json(make_receipt(0, b"")))
    with pytest.raises(ReceiptError):
        receipt_from_json(json.dumps(document | change).encode())
    for name in document:
        smaller = {key: value for key, value in document.items() if key != name}
        # Receipts of earlier versions do not say who read or who is to blame, and have no
        # stamps per card.
        if name not in {"errors", "readers", "stamp_digests", "blamed", "given_up", "read_bytes"}:
            with pytest.raises(ReceiptError):
                receipt_from_json(json.dumps(smaller).encode())


def make_receipt(shard: int, data: bytes, **changes: object) -> Receipt:
    values: dict[str, object] = {
        "shard": shard,
        "run_id": "run",
        "model_id": "model",
        "state": ShardState.DONE,
        "cards": 2,
        "readings_sha256": hashlib.sha256(data).hexdigest(),
        "readings_bytes": len(data),
        "plan_digest": "p",
        "stat_digest": "s",
        "content_digests": encode_digests(np.arange(16, dtype=np.uint8).reshape(2, 8)),
        "statuses": {"review": 1, "failed": 1},
        "reasons": {"low_confidence": 1},
        "issues": {"missing": 3},
        "extra_boxes": 1,
        "ignored_files": 2,
        "timings": {"read": 0.5},
        "device": "cpu",
        "host": "h",
        "finished_at": "2026-01-01T00:00:00+00:00",
        "rss_bytes": 1,
        "worker_rss_bytes": 1,
        "strikes": 0,
    }
    return Receipt(**(values | changes))  # type: ignore[arg-type]


def test_content_digests_survive() -> None:
    receipt = receipt_from_json(receipt_to_json(make_receipt(0, b"")))
    contents = receipt.contents()
    assert contents is not None
    assert contents.tolist() == np.arange(16).reshape(2, 8).tolist()
    assert dataclasses.replace(receipt, content_digests="").contents() is None


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path)
    run.readings_dir.mkdir()
    run.receipts_dir.mkdir()
    return run


def test_a_receipt_holds_only_for_its_own_readings(run: RunDir) -> None:
    receipt = make_receipt(0, b"readings")
    assert not is_valid(run, receipt, "run", 2), "there are no readings yet"
    run.readings(0).write_bytes(b"readings")
    assert is_valid(run, receipt, "run", 2)
    assert not is_valid(run, receipt, "other run", 2)
    assert not is_valid(run, receipt, "run", 3)
    run.readings(0).write_bytes(b"reading")
    assert not is_valid(run, receipt, "run", 2), "torn"
    run.readings(0).write_bytes(b"Readings")
    assert not is_valid(run, receipt, "run", 2), "same length, other bytes"


def test_receipts_come_in_shard_order_without_the_torn_ones(run: RunDir) -> None:
    for shard in (100000, 2, 10):
        save_receipt(run, make_receipt(shard, b""))
    run.receipt(3).write_bytes(b"{")
    run.receipt(4).write_bytes(run.receipt(2).read_bytes())
    (run.receipts_dir / "notes.txt").write_bytes(b"x")
    assert [receipt.shard for receipt in iter_receipts(run)] == [2, 10, 100000]


def test_tally_adds_up() -> None:
    total = tally(
        [make_receipt(0, b""), make_receipt(1, b"", state=ShardState.QUARANTINED, timings={})]
    )
    assert (total.shards, total.cards, total.quarantined) == (2, 4, (1,))
    assert total.statuses == {"review": 2, "failed": 2}
    assert total.issues == {"missing": 6}
    assert (total.extra_boxes, total.ignored_files) == (2, 4)
    assert total.timings == {"read": 0.5}


def test_no_run_and_damaged_run(run: RunDir) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        load_run(run)
    run.run_json.write_text("{")
    with pytest.raises(DiskError, match=r"run\.json"):
        load_run(run)
