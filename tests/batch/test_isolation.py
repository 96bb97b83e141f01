"""Parts of a shard: every row ends once, who is blamed is guilty, and losses are few."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vin_batch.batch.isolation import COST_OF_TIMEOUT, PATIENCE, Isolation, Patience

ENDLESS = 10**6
ROWS = st.integers(1, 300)


def settle(
    rows: int, guilty: set[int], pointing: bool = True, patience: int = ENDLESS
) -> tuple[Isolation, int]:
    """Read parts until all rows are settled; losses are counted."""
    isolation = Isolation(rows, Patience(patience))
    losses = 0
    while (part := isolation.part) is not None:
        killers = sorted(guilty & set(part))
        if killers:
            isolation.lost(killers[0] if pointing else None, timed_out=False)
            losses += 1
        else:
            isolation.read()
    return isolation, losses


def read_rows(isolation: Isolation) -> list[int]:
    return [row for part in isolation.passed for row in part]


def test_innocent_rows_are_read_at_once() -> None:
    isolation, losses = settle(1000, set())
    assert (isolation.passed, isolation.blamed, losses) == ([range(1000)], [], 0)


def test_nothing_to_read_is_settled() -> None:
    assert Isolation(0, Patience()).part is None


def test_a_known_row_is_cut_out() -> None:
    isolation, losses = settle(1000, {300})
    assert isolation.passed == [range(300), range(301, 1000)]
    assert (isolation.blamed, losses) == ([300], 2)


def test_an_unknown_row_is_found_by_halving() -> None:
    isolation, losses = settle(1000, {300}, pointing=False)
    assert isolation.blamed == [300]
    assert losses <= 12
    assert sorted(read_rows(isolation)) == [row for row in range(1000) if row != 300]


def test_one_accident_blames_nobody() -> None:
    isolation = Isolation(8, Patience())
    isolation.lost(3, timed_out=False)
    while isolation.part is not None:
        isolation.read()
    assert isolation.blamed == []
    assert read_rows(isolation) == list(range(8))


def test_a_single_row_is_blamed_by_its_second_loss() -> None:
    isolation = Isolation(1, Patience())
    isolation.lost(None, timed_out=True)
    assert (isolation.part, isolation.blamed) == (range(1), [])
    isolation.lost(None, timed_out=True)
    assert (isolation.part, isolation.blamed) == (None, [0])


@pytest.mark.parametrize(("timed_out", "losses"), [(False, PATIENCE), (True, 16)])
def test_patience_ends(timed_out: bool, losses: int) -> None:
    isolation = Isolation(1000, Patience())
    for _ in range(losses):
        assert isolation.part is not None
        isolation.lost(isolation.part.start, timed_out)
    assert isolation.part is None
    assert isolation.blamed == list(range(losses // 2))
    assert isolation.given_up == list(range(losses // 2, 1000))
    assert PATIENCE == 16 * COST_OF_TIMEOUT


def test_stages_share_their_patience() -> None:
    patience = Patience(3)
    first = Isolation(4, patience)
    first.lost(1, timed_out=False)
    first.read()
    first.lost(1, timed_out=False)
    first.read()
    assert (first.blamed, first.part, first.given_up) == ([1], None, [])
    second = Isolation(3, patience)
    second.lost(0, timed_out=False)
    assert (second.part, second.given_up) == (None, [0, 1, 2])


@given(rows=ROWS, guilty=st.sets(st.integers(0, 299)), pointing=st.booleans())
def test_exactly_the_guilty_are_blamed_and_the_others_read_once(
    rows: int, guilty: set[int], pointing: bool
) -> None:
    guilty &= set(range(rows))
    isolation, losses = settle(rows, guilty, pointing)
    assert sorted(isolation.blamed) == sorted(guilty)
    assert read_rows(isolation) == [row for row in range(rows) if row not in guilty]
    depth = math.ceil(math.log2(rows)) if rows > 1 else 0
    assert losses <= len(guilty) * (2 if pointing else depth + 2)


@given(
    rows=ROWS,
    patience=st.integers(1, 40),
    losses=st.lists(st.tuples(st.booleans(), st.none() | st.integers(-5, 305), st.booleans())),
)
def test_whatever_dies_every_row_ends_once_within_the_patience(
    rows: int,
    patience: int,
    losses: list[tuple[bool, int | None, bool]],
) -> None:
    """Workers that die by chance and point anywhere."""
    isolation = Isolation(rows, Patience(patience))
    cost, alone = 0, dict.fromkeys(range(rows), 0)
    script = iter(losses)
    while (part := isolation.part) is not None:
        assert cost < patience
        dies, row, timed_out = next(script, (False, None, False))
        if dies:
            isolation.lost(row, timed_out)
            cost += COST_OF_TIMEOUT if timed_out else 1
            if len(part) == 1:
                alone[part[0]] += 1
        else:
            isolation.read()
    ends = read_rows(isolation) + isolation.blamed + isolation.given_up
    assert sorted(ends) == list(range(rows))
    assert all(alone[row] >= 1 for row in isolation.blamed), "blamed for what others did"
    assert not isolation.given_up or cost >= patience


@given(rows=ROWS, guilty=st.sets(st.integers(0, 299), min_size=1), patience=st.integers(1, 80))
def test_no_innocent_row_is_ever_blamed(rows: int, guilty: set[int], patience: int) -> None:
    isolation, losses = settle(rows, guilty, patience=patience)
    assert set(isolation.blamed) <= guilty
    assert losses <= patience
