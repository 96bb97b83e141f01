"""A file of corrections is taken whole or not at all, and nothing in it is guessed."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finished_run import VIN
from loader_runs import AMERICAN
from vin_batch.corrections.incoming import (
    CLOCK_DIFFERENCE,
    Dialect,
    Incoming,
    parse_time,
    parse_vin,
    read_incoming,
)
from vin_batch.errors import UsageError
from vin_batch.export.readings_csv import restore
from vin_batch.records import CheckDigitState
from vin_batch.vin.alphabet import ALPHABET

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HEADER = "card_id,vin,reviewer,time,note\n"
GOOD = f"a,{VIN},anna,2026-11-19T10:00+02:00,seen\n"


def read(tmp_path: Path, text: str | bytes, encoding: str = "utf-8", zone: str = "") -> Incoming:
    path = tmp_path / "desk.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    dialect = Dialect(encoding, ZoneInfo(zone) if zone else None, restore)
    return read_incoming(path, dialect, NOW)


def test_a_row_becomes_a_correction(tmp_path: Path) -> None:
    (correction,) = read(tmp_path, HEADER + GOOD).corrections
    assert (correction.card_id, correction.vin, correction.reviewer) == ("a", VIN, "anna")
    assert correction.signed_at == datetime(2026, 11, 19, 8, tzinfo=UTC)
    assert (correction.note, correction.line, correction.source_name) == ("seen", 2, "desk.csv")
    assert correction.facts.maker == "AvtoVAZ (Lada)"


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    rows = f"card_id;vin;more;reviewer;time\r\n'=1+1;{VIN.lower()};x;Анна;2026-11-19 10:00\r\n"
    for data, encoding in ((b"\xef\xbb\xbf" + rows.encode(), "utf-8"),
                           (rows.encode("cp1251"), "cp1251")):  # fmt: skip
        (correction,) = read(tmp_path, data, encoding, "Europe/Kyiv").corrections
        assert (correction.card_id, correction.vin) == ("=1+1", VIN)
        assert correction.reviewer == "Анна"
        assert correction.signed_at == datetime(2026, 11, 19, 8, tzinfo=UTC)


def test_rows_that_nobody_looked_at_are_passed_over(tmp_path: Path) -> None:
    incoming = read(tmp_path, HEADER + "b,,,,\n" + GOOD + "c,  ,,,\n")
    assert [c.card_id for c in incoming.corrections] == ["a"]
    assert (incoming.skipped, incoming.corrections[0].line) == (2, 3)


def test_unreadable_is_an_answer(tmp_path: Path) -> None:
    (correction,) = read(tmp_path, HEADER + GOOD.replace(VIN, "Unreadable")).corrections
    assert correction.vin is None
    assert correction.facts.wmi is None


def test_one_wrong_row_and_nothing_is_taken(tmp_path: Path) -> None:
    incoming = read(tmp_path, HEADER + GOOD + GOOD.replace("anna", " ") + GOOD.replace(VIN, "x"))
    assert incoming.corrections == ()
    assert [problem.partition(":")[0] for problem in incoming.problems] == ["line 3", "line 4"]


@pytest.mark.parametrize(
    ("vin", "message"),
    [
        (VIN[:-1], "16 characters"),
        (VIN + "1", "18 characters"),
        ("O" + VIN[1:], "'O'"),
        ("ХTA210130D0000002", "CYRILLIC CAPITAL LETTER HA"),
        (VIN[:8] + " " + VIN[9:], "SPACE"),
        ("unread", "'U'|6 characters"),
        (VIN[:-1] + "\u0660", "ARABIC-INDIC DIGIT ZERO"),
        ("ß" + VIN[1:], "18 characters|SS"),
    ],
)
def test_vins_are_not_guessed(vin: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_vin(vin)


@given(st.text(ALPHABET + ALPHABET.lower(), min_size=17, max_size=17))
def test_every_well_formed_vin_is_taken(vin: str) -> None:
    assert parse_vin(f" {vin}\t") == vin.upper()


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-19T10:00", "19.11.2026 10:00+02:00",
                                  "2026-11-22T10:00Z", "9999-12-31T23:59-12:00"])  # fmt: skip
def test_times_are_not_guessed(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        parse_time(text, None, NOW)


def test_a_clock_that_is_a_little_fast_is_forgiven() -> None:
    assert parse_time((NOW + CLOCK_DIFFERENCE).isoformat(), None, NOW) == NOW + CLOCK_DIFFERENCE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs the columns"),
        ("card_id,vin,reviewer\n", "missing: time"),
        ("card_id,vin,reviewer,time,vin\n", "each once"),
        (HEADER + "a,b\n", "fields"),
        (HEADER + GOOD.strip() + ",x,y\n", "fields"),
        (HEADER + 'a,"b\n', "line"),
        (b"card_id,vin,reviewer,time\n\xff\xfe", "not utf-8"),
    ],
)
def test_files_that_cannot_be_understood_are_refused(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text)


def test_a_nul_is_refused(tmp_path: Path) -> None:
    assert "NUL" in read(tmp_path, HEADER + GOOD.replace("seen", "a\0b")).problems[0]


def test_a_check_digit_that_does_not_fit_is_noticed_where_the_maker_uses_one(
    tmp_path: Path,
) -> None:
    wrong = AMERICAN[:8] + "7" + AMERICAN[9:]
    vins = (AMERICAN, wrong, VIN)
    rows = "".join(GOOD.replace(VIN, vin) for vin in vins)
    states = [c.facts.check_digit for c in read(tmp_path, HEADER + rows).corrections]
    assert states == [
        CheckDigitState.VALID, CheckDigitState.INVALID, CheckDigitState.NOT_APPLICABLE,
    ]  # fmt: skip
