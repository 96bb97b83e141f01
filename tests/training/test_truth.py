"""Truth files: forgiving about form, strict about content, and clear about what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from vin_batch.errors import UsageError
from vin_batch.training.truth import check_cards, load_truth

VIN, OTHER = "XTA210130D0000002", "1G1JC524587013914"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "truth.csv"


def test_spreadsheets_may_have_saved_it(path: Path) -> None:
    path.write_text("\ufeffcard_id,vin,note\r\nящик/1, xta210130d0000002 ,x\r\n2,,\r\n", "utf-8")
    assert load_truth(path) == {"ящик/1": VIN, "2": ""}


@pytest.mark.parametrize(
    "data",
    [b"a,b\n1,2\n", b"card_id,vin\n1\n", b"card_id,vin\n\xff,x\n", b"card_id;vin\n1;2\n"],
)
def test_other_files_are_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(UsageError, match="is not a truth file") as caught:
        load_truth(path)
    assert "comma-separated UTF-8 with the columns card_id and vin" in caught.value.advice


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(UsageError, match="there is no truth file"):
        load_truth(path)


def test_a_card_has_one_line(path: Path) -> None:
    path.write_text(f"card_id,vin\na,{VIN}\nb,{VIN}\na,{OTHER}\n")
    with pytest.raises(UsageError, match=r"line 4: card a is there twice, first in line 2"):
        load_truth(path)
    path.write_text(f"card_id,vin\n ,{VIN}\n")
    with pytest.raises(UsageError, match="line 2: card_id is empty"):
        load_truth(path)


@pytest.mark.parametrize(
    ("vin", "words"),
    [
        ("XTA21O130D0000002", "has 'O'"),
        ("XTА210130D0000002", "has 'А'"),
        ("XTA210130D000000", "has 16 characters"),
        ("XTA 210130D0000002", "has ' '"),
        ("?", "has '?'"),
    ],
)
def test_what_is_not_a_vin_is_named_with_its_line(path: Path, vin: str, words: str) -> None:
    path.write_text(f"card_id,vin\na,{VIN}\nb,{vin}\n", "utf-8")
    with pytest.raises(UsageError, match="1 values that are not VINs: line 3") as caught:
        load_truth(path)
    assert words in caught.value.message
    assert "no I, O, Q" in caught.value.advice


def test_long_lists_are_cut(path: Path) -> None:
    path.write_text("card_id,vin\n" + "".join(f"{number},X\n" for number in range(30)))
    with pytest.raises(UsageError, match="30 values") as caught:
        load_truth(path)
    assert caught.value.message.count("line ") == 5


def test_truth_and_archive_must_name_the_same_cards() -> None:
    check_cards({"a": VIN, "b": ""}, ["b", "a"], partial=False)
    with pytest.raises(UsageError, match="names 1 cards that the archive does not have: c"):
        check_cards({"a": VIN, "c": VIN}, ["a"], partial=True)
    cards = [f"card_{number}" for number in range(8)]
    with pytest.raises(UsageError, match="7 of 8 cards of the archive have no line") as caught:
        check_cards({"card_0": VIN}, cards, partial=False)
    assert "card_1, card_2, card_3, card_4, card_5 and 2 more" in caught.value.message
    assert "--partial" in caught.value.advice
    check_cards({"card_0": VIN}, cards, partial=True)
