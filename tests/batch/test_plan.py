from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vin_batch.batch.plan import Plan, shard_digest, write_plan
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import DiskError
from vin_batch.records import CardRef

cards_strategy = st.lists(
    st.builds(
        CardRef,
        card_id=st.text(st.characters(codec="utf-8"), max_size=8),
        path=st.one_of(st.none(), st.binary(max_size=4)),
        digest=st.text("0123456789abcdef", min_size=16, max_size=16),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(cards=cards_strategy, size=st.integers(1, 12))
def test_plan_is_a_partition_in_order(
    cards: list[CardRef], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = RunDir(tmp_path_factory.mktemp("run"))
    summary = write_plan(run, iter(cards), size)
    plan = Plan(run)
    assert list(plan) == cards
    assert plan.shards == summary.shards == -(-len(cards) // size)
    assert plan.cards == summary.cards == len(cards)
    sizes = [len(plan.load(shard)) for shard in range(plan.shards)]
    assert sizes == [plan.rows(shard) for shard in range(plan.shards)]
    assert all(length == size for length in sizes[:-1])
    column = pq.read_table(run.plan).column("shard").to_pylist()
    assert column == [row // size for row in range(len(cards))]


@given(cards=cards_strategy)
def test_digest_sees_every_field(cards: list[CardRef]) -> None:
    digest = shard_digest(cards)
    assert shard_digest(list(cards)) == digest
    if cards:
        first = cards[0]
        moved = CardRef(first.card_id + first.digest[:1], first.path, first.digest[1:])
        other_path = CardRef(first.card_id, b"zzzzz", first.digest)
        assert shard_digest([moved, *cards[1:]]) != digest
        assert shard_digest([other_path, *cards[1:]]) != digest
        assert shard_digest(cards[1:]) != digest


def test_same_cards_same_digest_whatever_happened_before(tmp_path: Path) -> None:
    cards = [CardRef(f"{n}", None, f"{n:016x}") for n in range(25)]
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        summary = write_plan(RunDir(tmp_path / name), cards, 10)
        digests.append((summary.digest, summary.sha256))
    assert digests[0] == digests[1]


def test_stopped_planning_leaves_nothing(tmp_path: Path) -> None:
    def cards() -> Iterator[CardRef]:
        yield CardRef("a", None, "0" * 16)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_plan(RunDir(tmp_path), cards(), 1)
    assert list(tmp_path.iterdir()) == []


def test_damaged_plan_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "plan.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(DiskError, match=r"plan\.parquet"):
        Plan(RunDir(tmp_path))
