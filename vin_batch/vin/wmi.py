"""Who stands behind the first three characters: maker and country of a WMI (ISO 3780).

The project's own tables come first: they hold the plants of the former Soviet Union,
which other lists lack or have wrong, and the usual names of frequent makers. For the rest
the ``vininfo`` package is asked (BSD-3). ``data/README.md`` names the sources.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import Final

from vininfo.dicts import COUNTRIES as OTHER_COUNTRIES
from vininfo.dicts import WMI as OTHER_MAKERS

SMALL_MAKER_MARK: Final = "9"
"""Third character of makers of few vehicles; positions 12-14 then name the maker."""
_RANGE_ORDER: Final = "ABCDEFGHJKLMNPRSTUVWXYZ1234567890"
"""Order of the second character in the ranges of ISO 3780."""


def lookup(wmi: str) -> tuple[str | None, str | None]:
    """Name the maker and the country of a WMI.

    Args:
        wmi: Three characters of the VIN alphabet.

    Returns:
        Maker and country, None where unknown. For a third character 9 the maker is None
        unless that code belongs to one maker alone.
    """
    maker, country = _own_makers().get(wmi, (None, None))
    if wmi not in _own_makers() and not wmi.endswith(SMALL_MAKER_MARK):
        maker = _other_maker(wmi)
    return maker, country or country_of(wmi)


def country_of(wmi: str) -> str | None:
    """Country by the first two characters alone."""
    region = wmi[:2]
    return _own_countries().get(region) or OTHER_COUNTRIES.get(region)


def _other_maker(wmi: str) -> str | None:
    found = OTHER_MAKERS.get(wmi) or OTHER_MAKERS.get(wmi[:2])
    title = getattr(found, "title", None)
    if isinstance(found, str) or found is None:
        return found
    return title if isinstance(title, str) else None


@cache
def _own_makers() -> dict[str, tuple[str | None, str]]:
    return {row["wmi"]: (row["maker"] or None, row["country"]) for row in _rows("makers.csv")}


@cache
def _own_countries() -> dict[str, str]:
    return {
        row["first"][0] + second: row["country"]
        for row in _rows("country_ranges.csv")
        for second in _between(row["first"][1], row["last"][1])
    }


def _between(first: str, last: str) -> str:
    return _RANGE_ORDER[_RANGE_ORDER.index(first) : _RANGE_ORDER.index(last) + 1]


def _rows(name: str) -> list[dict[str, str]]:
    text = files("vin_batch.vin").joinpath(f"data/{name}").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
