"""Which model years a VIN may mean.

The code of 49 CFR 565.15 table VII repeats every 30 years. Many makers outside North
America write something else at position 10; for those there is no answer, and none is
better than a wrong one.
"""

from __future__ import annotations

from typing import Final

from vin_batch.vin.body_rules import YEAR_CODES

FIRST_YEAR: Final = 1980
"""Year of the code A in the first cycle."""
CYCLE_YEARS: Final = len(YEAR_CODES)
LATEST_YEAR: Final = 2027
"""Latest model year taken as plausible, fixed by the release so that the same card gives
the same reading on any day; raise it with a release."""
FIRST_SOVIET_YEAR: Final = 1983
"""OST 37.001.269-83 introduced the 17-character number in the Soviet Union."""
FIRST_NA_LETTER_YEAR: Final = 2010
"""From this model year on, position 7 of a North American light vehicle is a letter."""

_FORD_EUROPE: Final = frozenset(("WF0", "WE0"))
_FORD_EUROPE_YEAR: Final = 11
_YEAR: Final = 10
_NORTH_AMERICA: Final = frozenset("123457")
_NO_YEAR_WMIS: Final = frozenset(
    (
        *("VF1", "VF6", "VNK", "VNV", "VSK"),
        *("JTM", "JTN", "JTJ", "JMZ", "NMT", "SB1", "SJN", "TSM", "MR0"),
        *("ZFA", "ZFB", "ZCF", "UU1", "XLR", "YS2"),
        *("WSM", "WKE", "WK0", "WME", "JKA", "JSA", "JS1", "JYA"),
    )
)
"""WMIs whose position 10 agrees with the year in less than half of the measured cars."""
_BAUMUSTER_WMIS: Final = frozenset(("WDB", "WDC", "WDD", "WDF", "W1K", "W1N", "W1V"))
"""Mercedes-Benz: with digits in 4-9, position 10 is the side of the steering wheel."""
_SOVIET_WMI_STARTS: Final = ("XT", "XS", "XU", "XW", "X1", "X7", "X9", "Y3", "Y6", "Y7", "SUP")


def model_years(vin: str, latest: int = LATEST_YEAR) -> tuple[int, ...]:
    """List the model years that a VIN may mean.

    Args:
        vin: 17 characters.
        latest: Latest plausible model year.

    Returns:
        Oldest first; empty where the maker writes no year or the symbol is not a code.
        Heavy vehicles are free of the rule about position 7: where it would leave no year,
        it is not applied.
    """
    position = year_position(vin)
    if position is None or vin[position - 1] not in YEAR_CODES:
        return ()
    start = FIRST_YEAR + YEAR_CODES.index(vin[position - 1])
    years = tuple(range(start, latest + 1, CYCLE_YEARS))
    return tuple(year for year in years if _fits(vin, year)) or years


def year_position(vin: str) -> int | None:
    """1-based position of the year code, or None where the maker writes none."""
    wmi = vin[:3]
    if wmi in _FORD_EUROPE:
        return _FORD_EUROPE_YEAR
    if wmi in _NO_YEAR_WMIS or (wmi in _BAUMUSTER_WMIS and vin[3:9].isdigit()):
        return None
    return _YEAR


def _fits(vin: str, year: int) -> bool:
    if vin[0] in _NORTH_AMERICA:
        return (year >= FIRST_NA_LETTER_YEAR) == vin[6].isalpha()
    if vin.startswith(_SOVIET_WMI_STARTS):
        return year >= FIRST_SOVIET_YEAR
    return True
