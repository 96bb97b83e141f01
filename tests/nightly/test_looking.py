"""What a night sees of a card without reading it."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batch_fakes import make_card
from vin_batch.archive import (
    Listing,
    WalkTotals,
    list_folder,
    open_folders,
    stamp_card,
    stamp_listed,
    walk,
    walk_folders,
)
from vin_batch.batch.changes import card_stamps_digest
from vin_batch.batch.pack import ShardTask, pack_shard
from vin_batch.nightly.looking import Settling
from vin_batch.records import BoxIssue

SECOND = 10**9


def test_times_seen_by_the_walk_are_those_that_a_worker_saw(tmp_path: Path) -> None:
    """Otherwise every night would look at every such card again."""
    make_card(tmp_path / "usual", 1)
    make_card(tmp_path / "from zero", 2, boxes=range(17))
    odd = make_card(tmp_path / "odd", 3, boxes=(1, 2, 5, 99))
    (odd / "a_5.png").write_bytes(b"a duplicate")
    (odd / "x.png").write_bytes(b"no number")
    (odd / "7.png").symlink_to(tmp_path / "usual" / "01.png")
    (odd / "8.png").symlink_to("/etc/hostname")
    (odd / "9.png").mkdir()
    os.mkfifo(odd / "10.png")
    root = open_folders(tmp_path)
    for name in (b"usual", b"from zero", b"odd"):
        listing = list_folder(root, name)
        ref = listing.card(name)
        assert ref is not None
        seen = stamp_listed(root, name, listing)
        assert seen == stamp_card(root, ref)
        packed = pack_shard(ShardTask(root, 0, (ref,), lambda data: (None, BoxIssue.BLANK)))  # type: ignore[arg-type, return-value]
        assert packed.pack is not None
        assert packed.pack.stamp_digests.tobytes() == card_stamps_digest(seen)


def test_folders_and_cards_are_one_walk(tmp_path: Path) -> None:
    make_card(tmp_path / "b" / "c", 1, boxes=(1,))
    make_card(tmp_path / "b", 2, boxes=(1,))
    make_card(tmp_path / "a b", 3, boxes=(1,))
    root, totals = open_folders(tmp_path), WalkTotals()
    folders = list(walk_folders(root, totals))
    assert [relative for relative, _ in folders] == [b"", b"a b", b"b", b"b/c"]
    cards = [
        path.decode()
        for path, listing in folders
        if isinstance(listing, Listing) and listing.images
    ]
    assert cards == [ref.card_id for ref in walk(root)]
    assert totals.cards == 3


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**4))
def test_no_time_waits_for_ever(offset: int, seconds: int) -> None:
    """Whatever a clock said: some time after now, and not much later, the card is quiet."""
    now = 10**9 * SECOND
    newest = now + offset * SECOND
    waits = [
        not Settling(seconds, now=lambda at=at: now + at * SECOND).is_quiet(newest)  # type: ignore[misc]
        for at in (0, 2 * seconds + 1)
    ]
    if waits[0]:
        assert abs(offset) < seconds
        assert not waits[1]
