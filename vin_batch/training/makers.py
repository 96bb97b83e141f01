"""Learns from a list of VINs what single makers write, and measures what that is worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vin_batch.errors import UsageError
from vin_batch.training.fleet import learned_from
from vin_batch.vin.alphabet import encode
from vin_batch.vin.body_rules import load_body_rules
from vin_batch.vin.maker_characters import MakerCharacters, count
from vin_batch.vin.priors import build_rules, load_wmi_priors
from vin_batch.vin.rules import Rules


@dataclass(frozen=True, slots=True)
class Learned:
    """What a list of VINs taught.

    Attributes:
        makers: The counts.
        counted: Different VINs that were counted.
        held_out: Different VINs that were not.
        bits_before: Mean of ``-log2`` of the prior probability of the VINs that were not
            counted, by the rules of the groups alone.
        bits_after: The same with the counts. One bit less makes the right VIN twice as probable
            before anything is read.
    """

    makers: tuple[MakerCharacters, ...]
    counted: int
    held_out: int
    bits_before: float
    bits_after: float

    def text(self) -> str:
        """What a person wants to know of it."""
        makers = len({maker.wmi for maker in self.makers})
        return (
            f"{self.counted:,} VINs counted, {self.held_out:,} held out; {len(self.makers)} rules "
            f"of {makers} makers\n"
            f"a held-out VIN has {self.bits_before:.1f} bits by the rules of the groups, "
            f"{self.bits_after:.1f} with the counts"
        )


def learn(vins: Iterable[str]) -> Learned:
    """Count two thirds of a list and measure the rest.

    Args:
        vins: 17 characters of the VIN alphabet each; those that occur twice count once.

    Raises:
        UsageError: There are too few.
    """
    different = sorted(set(vins))
    counted = [vin for vin in different if learned_from(vin)]
    rest = [vin for vin in different if not learned_from(vin)]
    priors, bodies = load_wmi_priors(), load_body_rules()
    makers = count(counted, {prior.wmi: prior.group for prior in priors}, bodies)
    if not makers or not rest:
        raise UsageError(
            f"{len(different)} different VINs teach nothing",
            "Give a list of thousands: a maker needs several vehicles to be known by them.",
        )
    before, after = build_rules(priors, bodies), build_rules(priors, bodies, makers)
    return Learned(makers, len(counted), len(rest), mean_bits(before, rest), mean_bits(after, rest))


def mean_bits(rules: Rules, vins: Sequence[str]) -> float:
    """Mean of ``-log2`` of the prior probability of VINs."""
    return float(np.mean([-np.log2(rules.weigh(encode(vin))[1].sum()) for vin in vins]))
