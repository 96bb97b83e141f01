"""VINs for synthetic cards: real numbering schemes, random serial numbers, no real vehicle.

The schemes follow publicly documented structure only: OST 37.001.269-83 for Soviet numbers
(model index in 4 to 9, year letter in 10, seven-digit serial), makers' published descriptor
patterns for the others, and 49 CFR 565.15 for the check digit where a maker uses one. The
serial number is random, so that a VIN drawn here names no known vehicle.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from vin_batch.errors import UsageError
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH
from vin_batch.vin.check_digit import check_digit

Group = Literal["soviet", "cis", "import", "na"]
GROUPS: Final[tuple[Group, ...]] = get_args(Group)
GROUP_SHARES: Final = (0.2, 0.25, 0.35, 0.2)
"""Mix of a mixed archive, in the order of ``GROUPS``: a choice, not a measurement."""
GIVEN_GROUP: Final = "given"
"""Group of VINs that came from a file without a ``group`` column."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one maker numbered.

    Attributes:
        wmi: Positions 1 to 3.
        descriptors: Choices for positions 4 to 9; ``*`` at the end stands for the check digit.
        tenth: Choices for position 10: year codes where the maker uses them.
        eleventh: Choices for position 11, or an empty string where the serial begins there.
        top_serial: Serial numbers are drawn below this and padded with zeros.
    """

    wmi: str
    descriptors: tuple[str, ...]
    tenth: str
    eleventh: str = ""
    top_serial: int = 1_000_000


_SOVIET_YEARS: Final = "DEFGHJKLM"
_CIS_YEARS: Final = "TVWXY123456789ABC"
_IMPORT_YEARS: Final = "PRSTVWXY123456789ABCDE"
_NA_YEARS: Final = "VWXY123456789ABCDEFG"

SCHEMES: Final[dict[Group, tuple[Scheme, ...]]] = {
    "soviet": (
        Scheme("XTA", ("210110", "210130", "210500", "210600"), _SOVIET_YEARS, "", 2_500_000),
        Scheme("XTA", ("210700", "210800", "210900", "212100"), _SOVIET_YEARS, "", 2_500_000),
        Scheme("XTB", ("214000", "214120", "271500"), _SOVIET_YEARS, "", 1_500_000),
        Scheme("XTH", ("240200", "241000", "310200"), _SOVIET_YEARS, "", 900_000),
        Scheme("XTE", ("968M00", "110200"), _SOVIET_YEARS, "", 600_000),
        Scheme("XTT", ("315120", "330300"), _SOVIET_YEARS, "", 300_000),
        Scheme("XTC", ("532120", "551110"), _SOVIET_YEARS, "", 200_000),
    ),
    "cis": (
        Scheme("Y6D", ("TF69YP", "TF48YP", "110307", "SF69YP"), _CIS_YEARS, "", 700_000),
        Scheme("Y6L", ("211014", "210700"), _CIS_YEARS, "L"),
        Scheme("XTA", ("211540", "217030", "219010", "111830"), _CIS_YEARS, "", 2_500_000),
        Scheme("X96", ("270500", "322132", "330202"), _CIS_YEARS, "", 900_000),
        Scheme("XWB", ("3D31UD", "5V31BD", "4A11BD"), _CIS_YEARS, "A"),
        Scheme("Y3M", ("437043", "555102"), _CIS_YEARS, "0"),
    ),
    "import": (
        Scheme("WVW", ("ZZZ1HZ", "ZZZ1JZ", "ZZZ3BZ", "ZZZ3CZ"), _IMPORT_YEARS, "EPW"),
        Scheme("WDB", ("124026", "202018", "210035", "211006"), "1", "ABF"),
        Scheme("WF0", ("AXXGCD", "AXXWPD", "AXXBBF"), "A", "STVWXY123456789"),
        Scheme("VF1", ("BB0A0F", "LM1B0H", "LZBR0A"), "2345", "0123456789"),
        Scheme("W0L", ("000038", "0TGF48", "0AHL35"), _IMPORT_YEARS, "1258"),
        Scheme("KMH", ("CM41VP", "DN41AP", "JM81BP"), _IMPORT_YEARS, "U"),
        Scheme("TMB", ("GG41U*", "BS21Z*", "EA61Z*"), _IMPORT_YEARS, "278"),
        Scheme("WBA", ("DL110*", "CB110*", "HD310*"), "0", "BGK"),
        Scheme("WAU", ("ZZZ8D*", "ZZZ8P*", "ZZZ4B*"), "123456789ABCDE", "AN"),
        Scheme("JTM", ("BE33V*", "BH31V*"), "0", "05D"),
    ),
    "na": (
        Scheme("1G1", ("ZB5ST*", "JC524*", "ND52F*"), _NA_YEARS, "7F"),
        Scheme("1FA", ("HP2F8*", "FP34P*"), _NA_YEARS, "RW"),
        Scheme("1HG", ("CR2F5*", "EJ864*"), _NA_YEARS, "AL"),
        Scheme("2T1", ("BU4EE*", "BR32E*"), _NA_YEARS, "C"),
        Scheme("3VW", ("D17AJ*", "SK69M*"), _NA_YEARS, "M"),
        Scheme("4T1", ("BF1FK*", "BE32K*"), _NA_YEARS, "U"),
        Scheme("5YJ", ("3E1EA*", "SA1E2*"), "DEFG", "F"),
    ),
}


@dataclass(frozen=True, slots=True)
class TrueVin:
    """A VIN to write on a card, and the group it was drawn from."""

    vin: str
    group: str


def random_vin(rng: np.random.Generator, group: Group | None = None) -> TrueVin:
    """Draw a VIN.

    Args:
        rng: Source of all randomness.
        group: Where from; drawn by ``GROUP_SHARES`` when None.

    Returns:
        17 characters with the right check digit where the scheme has one.
    """
    chosen: Group = group or GROUPS[int(rng.choice(len(GROUPS), p=GROUP_SHARES))]
    schemes = SCHEMES[chosen]
    scheme = schemes[int(rng.integers(len(schemes)))]
    head = scheme.wmi + str(rng.choice(scheme.descriptors)) + str(rng.choice(list(scheme.tenth)))
    if scheme.eleventh:
        head += str(rng.choice(list(scheme.eleventh)))
    serial = str(int(rng.integers(1, scheme.top_serial))).zfill(VIN_LENGTH - len(head))
    vin = head + serial
    if "*" in vin:
        vin = vin.replace("*", check_digit(vin.replace("*", "0")))
    return TrueVin(vin, chosen)


def load_vins(path: Path) -> list[TrueVin]:
    """Read VINs from a file.

    Args:
        path: UTF-8; either a CSV with a ``vin`` column (and perhaps ``group``), or one VIN
            per line.

    Returns:
        The VINs in the file's order, in capitals.

    Raises:
        UsageError: The file cannot be read, has no VIN, or a line is not one.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the VINs of {path}: {error}", "Give a UTF-8 file."
        ) from error
    lines = text.splitlines()
    columns = [name.strip().lower() for name in next(csv.reader(lines[:1]), [])]
    if "vin" in columns:
        rows = csv.reader(lines[1:])
        group = columns.index("group") if "group" in columns else None
        vins = [
            _true_vin(row, columns.index("vin"), group, path, number)
            for number, row in enumerate(rows, start=2)
            if row
        ]
    else:
        vins = [
            _true_vin([line], 0, None, path, number)
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]
    if not vins:
        raise UsageError(f"{path} holds no VIN", "One per line, or a CSV with a vin column.")
    return vins


def _true_vin(
    row: list[str], vin_column: int, group_column: int | None, path: Path, line: int
) -> TrueVin:
    vin = row[vin_column].strip().upper() if vin_column < len(row) else ""
    strange = sorted(set(vin) - set(ALPHABET))
    if len(vin) != VIN_LENGTH or strange:
        what = f"contains {' '.join(strange)}" if strange else f"has {len(vin)} characters"
        raise UsageError(
            f"line {line} of {path} is not a VIN: {vin!r} {what}",
            "A VIN has 17 characters: digits and capitals without I, O and Q.",
        )
    has_group = group_column is not None and group_column < len(row)
    group = row[group_column].strip() if has_group and group_column is not None else ""
    return TrueVin(vin, group or GIVEN_GROUP)
