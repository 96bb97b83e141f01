"""Which VINs the drawn cards carry.

The decoder knows what makers write (``vin.maker_characters``), so it matters which vehicles a
model is calibrated and measured on. There are two fleets: vehicles of a list, none of which the
packaged counts come from; and made-up models (``synthesis.vins``), as an archive holds them that
the counts know little of. A threshold must hold on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np

from vin_batch.errors import UsageError
from vin_batch.synthesis.vins import random_vin
from vin_batch.training.held_out import Half

MADE_UP: Final = "made-up models"
LISTED: Final = "listed models"
_PARTS: Final = 6
_LEARNED_PARTS: Final = 4
LEAST_HELD_OUT: Final = 100
"""Fewer different VINs of a half are no fleet."""


def learned_from(vin: str) -> bool:
    """Whether ``learn-makers`` counts this VIN; two thirds are counted, by checksum."""
    return _part(vin) < _LEARNED_PARTS


def _part(vin: str) -> int:
    return crc32(vin.encode("ascii")) % _PARTS


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where the VINs of drawn cards come from.

    Attributes:
        calibration: VINs of a list that were not counted, for the people that calibrate.
        measurement: Others of them, for the people that measure.
    """

    calibration: tuple[str, ...] = ()
    measurement: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The fleets to draw from, the more telling one first."""
        return (LISTED, MADE_UP) if self.measurement else (MADE_UP,)

    def vins(self, name: str, half: Half, count: int, seed: int) -> list[str]:
        """Draw VINs.

        Args:
            name: One of ``names``.
            half: Whose handwriting they will be.
            count: How many.
            seed: The same seed gives the same VINs.
        """
        rng = np.random.default_rng([seed, 3])
        if name == MADE_UP:
            return [random_vin(rng).vin for _ in range(count)]
        members: tuple[str, ...] = getattr(self, half)
        rounds = [rng.permutation(len(members)) for _ in range(-(-count // len(members)))]
        return [members[place] for place in np.concatenate(rounds)[:count].tolist()]


MADE_UP_FLEET: Final = Fleet()
"""Made-up models alone."""


def fleet_of(vins: Sequence[str]) -> Fleet:
    """Split the VINs of a list that were not counted.

    Raises:
        UsageError: Too few are left.
    """
    left = sorted({vin for vin in vins if not learned_from(vin)})
    fleet = Fleet(
        tuple(vin for vin in left if _part(vin) == _LEARNED_PARTS),
        tuple(vin for vin in left if _part(vin) != _LEARNED_PARTS),
    )
    if min(len(fleet.calibration), len(fleet.measurement)) < LEAST_HELD_OUT:
        raise UsageError(
            f"too few VINs: of {len(set(vins))} different ones, {len(fleet.calibration)} are left "
            f"to calibrate on and {len(fleet.measurement)} to measure",
            f"A list needs about {2 * LEAST_HELD_OUT * _PARTS:,}; two thirds of them are kept for "
            "`vin-batch learn-makers`. Without --vins cards show made-up models.",
        )
    return fleet
