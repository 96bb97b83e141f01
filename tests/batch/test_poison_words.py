"""What people and machines are told about cards that cost a worker."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vin_batch.batch.ledger import MAX_BLAMED, Tally, tally
from vin_batch.batch.poison import describe_poison, poison_of
from vin_batch.batch.receipts import (
    Blame,
    Receipt,
    ReceiptError,
    ShardState,
    Stage,
    receipt_from_json,
    receipt_to_json,
)
from vin_batch.batch.sealed import open_sealed


def receipt(shard: int, blamed: tuple[Blame, ...], given_up: int = 0) -> Receipt:
    return Receipt(
        shard=shard, run_id="r", model_id="m", state=ShardState.DONE, cards=9,
        readings_sha256="0" * 64, readings_bytes=1, plan_digest="", stat_digest="",
        content_digests="", statuses={"review": 9}, reasons={}, issues={}, extra_boxes=0,
        ignored_files=0, timings={}, device="d", host="h", finished_at="t", rss_bytes=0,
        worker_rss_bytes=0, strikes=3, blamed=blamed, given_up=given_up,
    )  # fmt: skip


def blames(count: int, name: str = "a") -> tuple[Blame, ...]:
    return tuple(Blame(f"{name}/{n}", Stage.READ, "killed") for n in range(count))


def test_healthy_run_says_nothing() -> None:
    assert describe_poison(poison_of(Tally())) == []
    assert not Tally().poisoned
    assert not receipt(0, ()).is_poisoned


def test_all_are_counted_and_the_first_are_named() -> None:
    total = tally([receipt(0, blames(3)), receipt(1, blames(4, "b"), 2), receipt(2, blames(1))])
    poison = poison_of(total)
    assert (poison["cards"], poison["given_up"]) == (8, 2)
    assert len(poison["examples"]) == MAX_BLAMED == 5
    assert json.loads(json.dumps(poison)) == poison
    named, given_up = describe_poison(poison)
    assert "8: a/0 (read: killed), " in named
    assert "b/1" in named
    assert "b/2" not in named
    assert named.endswith(", …")
    assert given_up.endswith(": 2")


def test_names_cannot_forge_lines() -> None:
    blame = Blame("a\n0 cards failed\x1b[2J/Карта", Stage.SECOND_LOOK, "killed")
    (line,) = describe_poison(poison_of(tally([receipt(0, (blame,))])))
    assert line.isprintable()
    assert "Карта (second look: killed)" in line


def test_receipts_keep_who_is_to_blame() -> None:
    whole = receipt(0, blames(2), 5)
    assert receipt_from_json(receipt_to_json(whole)) == whole
    assert whole.is_poisoned
    older = open_sealed(receipt_to_json(replace(whole, blamed=(), given_up=0)))
    del older["blamed"], older["given_up"]
    assert receipt_from_json(json.dumps(older).encode()).blamed == ()
    older["blamed"] = [{"card_id": "a"}]
    with pytest.raises(ReceiptError):
        receipt_from_json(json.dumps(older).encode())
