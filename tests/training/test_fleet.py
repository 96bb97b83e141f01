from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vin_batch.errors import UsageError
from vin_batch.synthesis.vins import load_vins, random_vin
from vin_batch.training.fleet import LISTED, MADE_UP, MADE_UP_FLEET, fleet_of, learned_from
from vin_batch.training.makers import learn
from vin_batch.vin.maker_characters import load_maker_characters, to_csv

SHARED = Path(__file__).parents[2] / "../shared/vin/synthetic_vins.csv"


@pytest.fixture(scope="module")
def vins() -> list[str]:
    rng = np.random.default_rng(8)
    return [random_vin(rng).vin for _ in range(3000)]


def test_two_thirds_are_counted(vins: list[str]) -> None:
    assert np.mean([learned_from(vin) for vin in vins]) == pytest.approx(2 / 3, abs=0.03)


def test_no_counted_vin_is_drawn_and_the_halves_share_none(vins: list[str]) -> None:
    fleet = fleet_of(vins)
    drawn = {half: set(getattr(fleet, half)) for half in ("calibration", "measurement")}
    assert not drawn["calibration"] & drawn["measurement"]
    left = drawn["calibration"] | drawn["measurement"]
    assert left == {vin for vin in vins if not learned_from(vin)}


def test_every_vin_is_drawn_before_one_comes_again(vins: list[str]) -> None:
    fleet = fleet_of(vins)
    count = len(fleet.measurement)
    drawn = fleet.vins(LISTED, "measurement", 2 * count, seed=5)
    assert sorted(drawn[:count]) == sorted(drawn[count:]) == sorted(fleet.measurement)
    assert drawn == fleet.vins(LISTED, "measurement", 2 * count, seed=5)
    assert drawn != fleet.vins(LISTED, "measurement", 2 * count, seed=6)


def test_without_a_list_there_are_made_up_models_alone() -> None:
    assert MADE_UP_FLEET.names == (MADE_UP,)
    drawn = MADE_UP_FLEET.vins(MADE_UP, "measurement", 50, seed=1)
    assert len(drawn) == 50
    assert drawn == MADE_UP_FLEET.vins(MADE_UP, "calibration", 50, seed=1)


def test_too_few_vins_are_refused(vins: list[str]) -> None:
    with pytest.raises(UsageError, match="too few VINs: of 300 different ones"):
        fleet_of(vins[:300])


def test_counts_make_vins_of_the_same_makers_more_probable(vins: list[str]) -> None:
    found = learn([*vins, *vins])
    assert found.counted + found.held_out == len(set(vins)), "twice is once"
    assert found.bits_after < found.bits_before - 5
    assert f"{found.counted:,} VINs counted" in found.text()


def test_too_few_vins_teach_nothing(vins: list[str]) -> None:
    with pytest.raises(UsageError, match="teach nothing"):
        learn(vins[:2])


@pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED.name} of ../shared is absent")
def test_the_packaged_table_is_what_the_command_makes() -> None:
    found = learn(each.vin for each in load_vins(SHARED))
    assert to_csv(found.makers) == to_csv(load_maker_characters())
    assert found.bits_after < found.bits_before - 10
