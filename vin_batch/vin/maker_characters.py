"""What single makers write after their WMI: model codes, plants, fillers.

The body rules say what *kinds* of makers do. A maker of whom enough vehicles were counted gets
rules of its own: at every position that describes the vehicle or the plant, the distribution of
its group, corrected by what was counted there. Positions are counted one by one, so that no
VIN can be put together again from the counts.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from io import StringIO
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.alphabet import ALPHABET, INDEX, VIN_LENGTH, encode
from vin_batch.vin.body_rules import YEAR_CODES, BodyRule
from vin_batch.vin.check_digit import CHECK_POSITION

POSITIONS: Final = (4, 5, 6, 7, 8, 9, 10, 11)
"""1-based positions that are counted: what describes the vehicle, its year and its plant. Those
behind them are serial numbers, of which counts say nothing about the next vehicle."""
LEAST_VEHICLES: Final = 3
"""Fewer vehicles under a rule give no rule of their own."""
GROUP_VEHICLES: Final = 4.0
"""As many vehicles the distribution of the group counts for. VINs that were not counted are
about equally probable from 2 to 8 (within 0.6 of 44 bits)."""
GROUP_SHARE: Final = 0.05
"""Share that the distribution of the group keeps however many vehicles were counted: an archive
holds models of a maker that no list of today has. From 0 to 0.1 it changes little: a few right VINs
more of made-up models, a few less of listed ones (``models/default/EXPERIMENTS.md``)."""
SERIAL_DIGITS: Final = 0.975
"""From this share of digits on, position 11 of a rule is a part of the serial number."""
YEAR_SHARE: Final = 0.95
YEAR_TOP: Final = 0.1
"""Where the year codes have this share of position 10 and none of them more than that, it is
the model year."""
CHECKED: Final = 0.5
"""From this use of a check digit on, position 9 is not counted: the arithmetic tells it."""
_TABLE: Final = "data/maker_characters.csv"

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MakerCharacters:
    """The vehicles of one maker that follow one body rule.

    Attributes:
        wmi: The maker's code.
        rule: Name of the group's body rule that they follow.
        vehicles: How many were counted.
        counts: ``int64[17, 33]``, vehicles with a character at a position; zero rows where
            nothing was counted.
    """

    wmi: str
    rule: str
    vehicles: int
    counts: Counts


@cache
def load_maker_characters() -> tuple[MakerCharacters, ...]:
    """Read the packaged table."""
    return parse(files("vin_batch.vin").joinpath(_TABLE).read_text(encoding="utf-8"))


def count(
    vins: Iterable[str], group_of: dict[str, str], rules: Sequence[BodyRule]
) -> tuple[MakerCharacters, ...]:
    """Count what follows the WMIs of vehicles.

    Args:
        vins: 17 characters of the VIN alphabet each.
        group_of: Group of body rules by listed WMI; VINs of other makers are left out.
        rules: All body rules.

    Returns:
        One row for every maker and rule with ``LEAST_VEHICLES`` or more, sorted.
    """
    by_group: dict[str, list[BodyRule]] = defaultdict(list)
    for rule in rules:
        by_group[rule.group].append(rule)
    bodies: dict[tuple[str, str], list[NDArray[np.int8]]] = defaultdict(list)
    for vin in vins:
        if vin[:3] in group_of:
            code = encode(vin)
            bodies[vin[:3], _rule_of(code, by_group[group_of[vin[:3]]]).name].append(code)
    by_name = {rule.name: rule for rule in rules}
    return tuple(
        MakerCharacters(wmi, name, len(some), _counted(np.stack(some), by_name[name]))
        for (wmi, name), some in sorted(bodies.items())
        if len(some) >= LEAST_VEHICLES
    )


def _rule_of(code: NDArray[np.int8], members: Sequence[BodyRule]) -> BodyRule:
    places = np.arange(VIN_LENGTH)
    return next(rule for rule in members if rule.admitted[places, code].all())


def _counted(codes: NDArray[np.int8], rule: BodyRule) -> Counts:
    counts = np.zeros((VIN_LENGTH, len(ALPHABET)), dtype=np.int64)
    for position in counted_positions(rule):
        counts[position - 1] = np.bincount(codes[:, position - 1], minlength=len(ALPHABET))
    return counts


def counted_positions(rule: BodyRule) -> tuple[int, ...]:
    """The 1-based positions of a rule that tell something about a maker's next vehicle.

    Neither are digits of the serial number nor the check digit, and nor is a model year: which
    years there are is a matter of the archive, not of the maker.
    """
    years = [INDEX[character] for character in YEAR_CODES]
    left_out = {
        CHECK_POSITION: rule.use >= CHECKED,
        10: rule.positions[9, years].sum() >= YEAR_SHARE and rule.positions[9].max() <= YEAR_TOP,
        11: rule.positions[10, :10].sum() >= SERIAL_DIGITS,
    }
    return tuple(position for position in POSITIONS if not left_out.get(position, False))


def own_rule(rule: BodyRule, maker: MakerCharacters) -> BodyRule:
    """The body rule of one maker: that of its group, corrected by what was counted.

    The mean of a Dirichlet posterior, ``(count + g * group) / (vehicles + g)`` with
    ``g = GROUP_VEHICLES``, mixed with ``GROUP_SHARE`` of the group's distribution.

    Args:
        rule: The group's rule.
        maker: The counts.
    """
    total = maker.counts.sum(axis=1, keepdims=True)
    counted = (maker.counts + GROUP_VEHICLES * rule.positions) / (total + GROUP_VEHICLES)
    positions = GROUP_SHARE * rule.positions + (1.0 - GROUP_SHARE) * counted
    return replace(
        rule,
        group=maker.wmi,
        name=f"{maker.wmi} {rule.name}",
        positions=np.where(total > 0, positions, rule.positions),
    )


def parse(text: str) -> tuple[MakerCharacters, ...]:
    """Read the table as ``to_csv`` writes it."""
    return tuple(
        MakerCharacters(row["wmi"], row["rule"], int(row["vehicles"]), _parse_counts(row))
        for row in csv.DictReader(text.splitlines())
    )


def _parse_counts(row: dict[str, str]) -> Counts:
    counts = np.zeros((VIN_LENGTH, len(ALPHABET)), dtype=np.int64)
    for position in POSITIONS:
        for term in row[f"p{position}"].split():
            character, number = term.split(":")
            counts[position - 1, INDEX[character]] = int(number)
    return counts


def to_csv(makers: Iterable[MakerCharacters]) -> str:
    """Write the table: a row per maker and rule, ``character:count`` in each position."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["wmi", "rule", "vehicles", *(f"p{position}" for position in POSITIONS)])
    for maker in makers:
        cells = [_cell(maker.counts[position - 1]) for position in POSITIONS]
        writer.writerow([maker.wmi, maker.rule, maker.vehicles, *cells])
    return out.getvalue()


def _cell(counts: Counts) -> str:
    order = np.argsort(-counts, kind="stable")
    return " ".join(f"{ALPHABET[place]}:{counts[place]}" for place in order if counts[place])
