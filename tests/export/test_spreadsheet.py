"""Names that attack a spreadsheet stay text, and a program gets them back exactly."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vin_batch.export.spreadsheet import CardRows, defuse, restore

ATTACKS = (
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1:A9)", "\t=1", "\r=1", "\n=1", " =1", "\xa0=1",
    "\ufeff=1", "\u200b@x", "\v-1", "＝1+1", "＋1", "－1", "＠x", "'=1", "''", "\x00=1",
)  # fmt: skip
HARMLESS = ("1987/box_1/card=1", "ящик-5", "a'b", "", "(=1)", "№ 5", "a\n=1", ".")
names = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("=+-@;'\"\t")))


def written(*rows: list[str]) -> str:
    text = io.StringIO(newline="")
    CardRows(text).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_get_an_apostrophe(name: str) -> None:
    assert defuse(name) == "'" + name
    assert restore(defuse(name)) == name


@pytest.mark.parametrize("name", HARMLESS)
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert defuse(name) == name


@given(names)
def test_defusing_can_always_be_undone(name: str) -> None:
    assert restore(defuse(name)) == name
    assert not defuse(name).strip().startswith(tuple("=+-@＝＋－＠"))


@given(names, names)
def test_no_two_names_become_one(left: str, right: str) -> None:
    assert (defuse(left) == defuse(right)) == (left == right)


@given(st.lists(st.lists(names, min_size=2, max_size=2), min_size=1))
@example([["a;=1+1;b", "x"]])
def test_rows_read_back_as_they_were(rows: list[list[str]]) -> None:
    assert list(csv.reader(io.StringIO(written(*rows), newline=""), strict=True)) == rows


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("inner", ["=cmd|' /C calc'!A0", '"=1+1', '";=1;"', " @x"])
def test_an_id_is_one_cell_whatever_separates_cells(separator: str, inner: str) -> None:
    name = f"box{separator}{inner}{separator}x"
    line = written([defuse(name), "accepted", "XTA210990K1491754", "0.9;0.8"])
    ((first, *others),) = csv.reader([line], delimiter=separator)
    assert first.startswith(name)
    assert not any(cell.lstrip().startswith(tuple("=+-@")) for cell in others)


def test_rows_without_such_ids_are_written_as_ever() -> None:
    rows = [["a", "1;2", 'say "x"'], ["b,c", "", "x"], ["line\nend", "2", "y"]]
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    assert written(*rows) == text.getvalue()
