from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vin_batch.batch.schedule import Schedule


def started(schedule: Schedule) -> list[int]:
    """Start all that may start; suspects as negative numbers, less one."""
    shards = []
    while (turn := schedule.next()) is not None:
        shards.append(-turn.shard - 1 if turn.alone else turn.shard)
    return shards


def test_width_bounds_what_is_in_flight() -> None:
    schedule = Schedule(range(10), width=4)
    assert started(schedule) == [0, 1, 2, 3]
    schedule.finished(2)
    assert started(schedule) == [4]


def test_suspects_run_alone_after_everything_else() -> None:
    schedule = Schedule(range(5), width=3)
    assert started(schedule) == [0, 1, 2]
    assert not schedule.lost(1)
    assert not schedule.lost(0)
    assert started(schedule) == [3, 4]
    for shard in (2, 3):
        schedule.finished(shard)
        assert started(schedule) == []
    schedule.finished(4)
    for suspect in (1, 0):
        assert started(schedule) == [-suspect - 1]
        schedule.finished(suspect)
    assert schedule.done


def test_the_turn_of_a_suspect_goes_on_after_losses() -> None:
    schedule = Schedule([7, 8], width=3)
    assert started(schedule) == [7, 8]
    assert not schedule.lost(7)
    schedule.finished(8)
    assert started(schedule) == [-8]
    assert schedule.lost(7)
    assert schedule.lost(7)
    assert started(schedule) == []
    assert not schedule.done
    schedule.finished(7)
    assert schedule.done
    assert schedule.strikes == {7: 3}


@given(
    shards=st.integers(1, 30),
    width=st.integers(1, 6),
    deadly=st.dictionaries(st.integers(0, 29), st.integers(1, 4)),
    data=st.data(),
)
def test_every_shard_ends_once_whatever_dies(
    shards: int, width: int, deadly: dict[int, int], data: st.DataObject
) -> None:
    schedule = Schedule(range(shards), width)
    left = dict(deadly)
    finished: list[int] = []
    flight: list[int] = []
    while not schedule.done:
        flight += started(schedule)
        assert 0 < len(flight) <= width
        assert min(flight) >= 0 or len(flight) == 1, "a suspect has company"
        place = data.draw(st.sampled_from(flight))
        shard = place if place >= 0 else -place - 1
        if left.get(shard, 0):
            left[shard] -= 1
            assert schedule.lost(shard) == (place < 0)
            if place >= 0:
                flight.remove(place)
        else:
            schedule.finished(shard)
            flight.remove(place)
            finished.append(shard)
    assert sorted(finished) == list(range(shards))
    assert schedule.strikes == {shard: n for shard, n in deadly.items() if shard < shards}
