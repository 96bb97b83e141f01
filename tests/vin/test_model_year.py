from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vin_batch.vin.alphabet import ALPHABET
from vin_batch.vin.model_year import LATEST_YEAR, model_years, year_position


@pytest.mark.parametrize(
    ("vin", "years"),
    [
        ("1M8GDM9AXKP042788", (1989,)),  # position 7 is a digit: before 2010
        ("1G4AH59H45G118341", (2005,)),
        ("1FTYR2CM0KKA00001", (2019,)),  # position 7 is a letter: from 2010
        ("XTA210130D0000002", (1983, 2013)),
        ("XTA210990A1491754", (2010,)),  # no Soviet VIN before 1983
        ("TMBJC4NU9NB844516", (1992, 2022)),
        ("WF0AXXGCDA5R12345", (2005,)),  # Ford of Europe: year at 11
        ("VF1KZ140649484132", ()),  # Renault: serial number
        ("WDB2020201F123456", ()),  # Mercedes: side of the steering wheel
        ("WDDGF8AB1DR123456", (1983, 2013)),
        ("WBAAL91060CB12345", ()),  # 0 is no code
    ],
)
def test_years(vin: str, years: tuple[int, ...]) -> None:
    assert model_years(vin) == years


@pytest.mark.parametrize("symbol", "IOQUZ0")
def test_some_symbols_are_never_a_year(symbol: str) -> None:
    assert model_years(f"TMBJC4NU9{symbol}B844516") == ()


def test_the_latest_year_is_a_parameter() -> None:
    assert model_years("TMBJC4NU9TB844516", latest=2025) == (1996,)
    assert model_years("TMBJC4NU9TB844516", latest=2026) == (1996, 2026)


@given(st.text(ALPHABET, min_size=17, max_size=17))
def test_years_are_plausible_and_belong_to_the_code(vin: str) -> None:
    years = model_years(vin)
    assert list(years) == sorted(years)
    assert all(1980 <= year <= LATEST_YEAR for year in years)
    assert len({(year - 1980) % 30 for year in years}) <= 1
    assert year_position(vin) or not years
