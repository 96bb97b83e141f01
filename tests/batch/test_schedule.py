from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vin_batch.batch.schedule import MAX_LOSSES_ALONE, Schedule


def started(schedule: Schedule) -> list[int]:
    shards = []
    while (shard := schedule.next()) is not None:
        shards.append(shard)
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
        assert started(schedule) == [suspect]
        schedule.finished(suspect)
    assert schedule.done


def test_two_losses_alone_convict() -> None:
    schedule = Schedule([7], width=3)
    assert started(schedule) == [7]
    assert not schedule.lost(7)
    for loss in range(1, MAX_LOSSES_ALONE + 1):
        assert started(schedule) == [7]
        assert schedule.lost(7) == (loss == MAX_LOSSES_ALONE)
    assert schedule.done
    assert schedule.strikes == {7: 1 + MAX_LOSSES_ALONE}


@given(
    shards=st.integers(1, 30),
    width=st.integers(1, 6),
    deadly=st.sets(st.integers(0, 29)),
    flaky=st.sets(st.integers(0, 29)),
    data=st.data(),
)
def test_every_shard_ends_once_whatever_dies(
    shards: int, width: int, deadly: set[int], flaky: set[int], data: st.DataObject
) -> None:
    schedule = Schedule(range(shards), width)
    flaky_left = set(flaky)
    finished: list[int] = []
    quarantined: list[int] = []
    flight: list[int] = []
    for _ in range(20 * shards + 20):
        if schedule.done:
            break
        flight += started(schedule)
        assert 0 < len(flight) <= width
        victim = data.draw(st.sampled_from(flight))
        if victim in deadly or victim in flaky_left:
            flaky_left.discard(victim)
            quarantined += [victim] * schedule.lost(victim)
            flight.remove(victim)
        else:
            schedule.finished(victim)
            flight.remove(victim)
            finished.append(victim)
    assert schedule.done
    assert sorted(finished + quarantined) == list(range(shards))
    assert set(quarantined) == deadly & set(range(shards)), "one death is no conviction"
