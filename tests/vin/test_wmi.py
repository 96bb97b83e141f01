from __future__ import annotations

import csv
from importlib.resources import files

import pytest

from vin_batch.vin.alphabet import INDEX
from vin_batch.vin.wmi import country_of, lookup


@pytest.mark.parametrize(
    ("wmi", "maker", "country"),
    [
        ("XTA", "AvtoVAZ (Lada)", "Russia"),
        ("XTE", "ZAZ", "Ukraine"),
        ("Y6D", "ZAZ", "Ukraine"),
        ("X96", "GAZ", "Russia"),
        ("Y3M", "MAZ", "Belarus"),
        ("XWB", "UzDaewoo", "Uzbekistan"),
        ("WVW", "Volkswagen", "Germany"),
        ("W0L", "Opel", "Germany"),
        ("TMB", "Škoda", "Czech Republic"),
        ("1G1", "Chevrolet", "United States"),
        ("2HG", "Honda", "Canada"),
        ("5YJ", "Tesla", "United States"),
    ],
)
def test_makers(wmi: str, maker: str, country: str) -> None:
    assert lookup(wmi) == (maker, country)


@pytest.mark.parametrize("wmi", ["Y79", "1M9", "Y39", "ZA9", "VF9"])
def test_small_makers_are_not_named_by_their_shared_code(wmi: str) -> None:
    maker, country = lookup(wmi)
    assert maker is None
    assert country


@pytest.mark.parametrize(
    ("start", "country"),
    [
        *(("Y6", "Ukraine"), ("Y7", "Ukraine"), ("Y8", "Ukraine"), ("Y9", "Ukraine")),
        *(("Y3", "Belarus"), ("Y5", "Belarus"), ("XT", "Russia"), ("X0", "Russia")),
        *(("Z6", "Russia"), ("Z3", "Lithuania"), ("SU", "Poland"), ("VF", "France")),
        *(("3X", "Mexico"), ("LZ", "China"), ("J1", "Japan"), ("NT", "Uzbekistan")),
    ],
)
def test_countries_by_range(start: str, country: str) -> None:
    assert country_of(start + "7") == country


def test_an_unallocated_code_is_unknown() -> None:
    assert lookup("G00") == (None, None)


def test_own_table_is_well_formed() -> None:
    text = files("vin_batch.vin").joinpath("data/makers.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    codes = [row["wmi"] for row in rows]
    assert len(codes) == len(set(codes))
    assert all(len(code) == 3 and set(code) <= set(INDEX) for code in codes)
    assert all(row["country"] for row in rows)
