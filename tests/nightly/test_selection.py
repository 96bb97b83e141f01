"""The rules of the night as properties: every card has exactly one fate, and the right one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vin_batch.archive.names import card_id_of, order_key
from vin_batch.nightly.selection import (
    SELECTED,
    Fate,
    Found,
    Judged,
    KnownCard,
    Rules,
    judge,
    quotas,
)


@dataclass
class FakeLook:
    is_settled: bool
    stamp: bytes
    content: bytes
    asked: int = 0

    def settled(self) -> bool:
        return self.is_settled

    def stamps(self) -> bytes:
        return self.stamp

    def contents(self) -> bytes:
        self.asked += 1
        return self.content


names = st.sampled_from([b"a", b"b", b"c", b"a b", b"a.", b"\xff", b"0"])
paths = st.lists(names, max_size=3).map(b"/".join)
digests = st.sampled_from(["0" * 16, "1" * 16])
marks = st.sampled_from([b"1" * 8, b"2" * 8])
looks = st.builds(FakeLook, st.booleans(), marks, marks)
rules = st.builds(
    Rules, st.booleans(), st.sampled_from([frozenset(), frozenset({"000001"})]), st.integers(0, 2)
)


def found_at(path: bytes, digest: str | None, look: FakeLook) -> Found:
    return Found(order_key(path), card_id_of(path), path, digest, look)


def known_at(path: bytes, digest: str, draw: st.DrawFn) -> KnownCard:
    return KnownCard(
        card_id_of(path), path, digest,
        draw(st.none() | marks), draw(st.none() | marks),
        draw(st.sampled_from(["000001", "000002"])), draw(st.integers(0, 3)),
        draw(st.sampled_from([None, "2026-01-01T00:00:00+00:00"])),
    )  # fmt: skip


@st.composite
def archives(draw: st.DrawFn) -> tuple[list[Found], list[KnownCard]]:
    """A walk and a catalogue over the same few paths, both in order."""
    walked = draw(st.dictionaries(paths, st.tuples(st.none() | digests, looks), max_size=6))
    closed = [order_key(path) for path, (digest, _) in walked.items() if digest is None]
    walked = {
        path: value
        for path, value in walked.items()
        if not any(order_key(path)[: len(key)] == key and order_key(path) != key for key in closed)
    }
    known = draw(st.dictionaries(paths, digests, max_size=6))
    return (
        [found_at(path, *walked[path]) for path in sorted(walked, key=order_key)],
        [known_at(path, known[path], draw) for path in sorted(known, key=order_key)],
    )


@given(archives(), rules)
def test_every_card_has_exactly_one_fate(
    archive: tuple[list[Found], list[KnownCard]], rule: Rules
) -> None:
    found, known = archive
    before = {card.card_id: replace(card) for card in known}
    closed = [one.key for one in found if one.digest is None]
    judged = list(judge(iter(found), iter(known), rule))
    walked = [one.found.card_id for one in judged if one.found is not None]
    catalogued = [one.known.card_id for one in judged if one.known is not None]
    assert walked == [one.card_id for one in found if one.digest is not None]
    assert catalogued == [card.card_id for card in known]
    for one in judged:
        _check(one, before, rule, closed)


def _check(
    one: Judged, before: dict[str, KnownCard], rule: Rules, closed: list[tuple[bytes, ...]]
) -> None:
    if one.found is None:
        assert one.known is not None
        below = any(one.known.key[: len(key)] == key for key in closed)
        assert one.fate is (Fate.UNLISTED if below else Fate.MISSING)
        return
    look = one.found.look
    assert isinstance(look, FakeLook)
    if one.known is None:
        assert one.fate is (Fate.NEW if look.is_settled else Fate.WAITING)
        return
    was = before[one.known.card_id]
    assert one.returned == (was.missing_since is not None)
    assert one.known.missing_since is None
    same_names = was.digest == one.found.digest
    same_times = not rule.compare_stamps or was.stamps == look.stamp
    if one.fate in {Fate.CHANGED, Fate.WAITING}:
        assert not (same_names and same_times)
        assert look.is_settled == (one.fate is Fate.CHANGED)
        assert one.known.stamps == was.stamps, "it is read again, or looked at another night"
    else:
        assert same_names
        assert same_times or one.touched
    if one.touched:
        assert was.contents in {look.content, None}
        assert one.known.stamps == look.stamp
        assert one.known.is_dirty
    if one.fate is Fate.RETRY:
        assert 0 < was.tries <= rule.retry_nights
    if one.fate is Fate.OLDER_MODEL:
        assert was.run in rule.older_runs
    if one.fate is Fate.KNOWN:
        assert not 0 < was.tries <= rule.retry_nights
        assert was.run not in rule.older_runs
    if same_times:
        assert look.asked == 0, "bytes are read only where times differ"


@given(
    st.dictionaries(st.sampled_from(SELECTED), st.integers(0, 9)), st.none() | st.integers(0, 30)
)
def test_a_limit_goes_to_the_most_urgent(counts: dict[Fate, int], most: int | None) -> None:
    shares = quotas(Counter(counts).__getitem__, most)
    wanted = sum(counts.values())
    assert sum(shares.values()) == (wanted if most is None else min(most, wanted))
    for urgent, other in pairwise(SELECTED):
        assert shares[urgent] <= counts.get(urgent, 0)
        assert not shares[other] or shares[urgent] == counts.get(urgent, 0)
