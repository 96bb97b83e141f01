"""Archives of synthetic cards: deterministic, extensible, and careful with OUT."""

import argparse
import csv
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from vin_batch.commands import synthesise
from vin_batch.errors import ExitCode, UsageError
from vin_batch.synthesis import folders
from vin_batch.synthesis.folders import ORDER_NAME, Order, card_id, write_archive
from vin_batch.synthesis.scan import LEVELS
from vin_batch.synthesis.vins import TrueVin
from vin_batch.vin.check_digit import is_valid


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ORDER_NAME
    }


def truth(root: Path) -> list[dict[str, str]]:
    with (root / "truth.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_layout_and_truth(tmp_path: Path) -> None:
    write_archive(Order(3, 1, "scan", "png"), tmp_path / "new" / "out")
    rows = truth(tmp_path / "new" / "out")
    assert [row["card_id"] for row in rows] == [card_id(index) for index in range(3)]
    for row in rows:
        names = sorted(path.name for path in (tmp_path / "new/out" / row["card_id"]).iterdir())
        assert names == [f"{position:02d}.png" for position in range(1, 18)]
        assert row["level"] == "scan"
        assert row["check_digit"] == ("valid" if is_valid(row["vin"]) else "invalid")


def test_folders_hold_a_thousand() -> None:
    assert card_id(999) == "box_000/card_000999"
    assert card_id(1000) == "box_001/card_001000"


def test_the_outcome_does_not_depend_on_count_chunks_or_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = Order(5, 7, "hard", "png"), Order(9, 7, "hard", "png")
    write_archive(few, tmp_path / "few")
    monkeypatch.setattr(folders, "CHUNK", 2)
    write_archive(many, tmp_path / "many", workers=2)
    small, large = digests(tmp_path / "few"), digests(tmp_path / "many")
    small.pop("truth.csv"), large.pop("truth.csv")
    assert small.items() <= large.items()
    assert truth(tmp_path / "few") == truth(tmp_path / "many")[:5]


def test_another_seed_or_level_gives_other_cards(tmp_path: Path) -> None:
    write_archive(Order(1, 1, "scan", "png"), tmp_path / "a")
    write_archive(Order(1, 2, "scan", "png"), tmp_path / "b")
    write_archive(Order(1, 1, "clean", "png"), tmp_path / "c")
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert not {*a.values()} & {*b.values()}
    assert not {*a.values()} & {*c.values()}


def test_jpeg_shows_the_same_card_as_png(tmp_path: Path) -> None:
    write_archive(Order(1, 3, "clean", "png"), tmp_path / "png")
    write_archive(Order(1, 3, "clean", "jpg"), tmp_path / "jpg")
    for position in range(1, 18):
        png, jpg = (
            cv2.imread(str(tmp_path / kind / card_id(0) / f"{position:02d}.{kind}"), 0)
            for kind in ("png", "jpg")
        )
        assert png is not None
        assert jpg is not None
        assert png.shape == jpg.shape
        assert np.abs(png.astype(int) - jpg.astype(int)).mean() < 3


def test_given_vins_are_written_in_turn(tmp_path: Path) -> None:
    given = [TrueVin("11111111111111111", "na"), TrueVin("XTA210130D0000002", "given")]
    write_archive(Order(3, 1, "scan", "png"), tmp_path, vins=given)
    rows = truth(tmp_path)
    assert [row["vin"] for row in rows] == [given[i].vin for i in (0, 1, 0)]
    assert [row["group"] for row in rows] == ["na", "given", "na"]


def test_finishes_and_extends_its_own_output(tmp_path: Path) -> None:
    write_archive(Order(2, 1, "scan", "png"), tmp_path / "out")
    (tmp_path / "out" / card_id(1) / "05.png").unlink()
    (tmp_path / "out" / "truth.csv").unlink()
    write_archive(Order(4, 1, "scan", "png"), tmp_path / "out")
    write_archive(Order(4, 1, "scan", "png"), tmp_path / "fresh")
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")


@pytest.mark.parametrize(
    "order",
    [
        Order(1, 1, "scan", "png"),
        Order(2, 2, "scan", "png"),
        Order(2, 1, "hard", "png"),
        Order(2, 1, "scan", "jpg"),
    ],
)
def test_refuses_to_mix_orders(tmp_path: Path, order: Order) -> None:
    write_archive(Order(2, 1, "scan", "png"), tmp_path)
    before = digests(tmp_path)
    with pytest.raises(UsageError, match="another order"):
        write_archive(order, tmp_path)
    assert digests(tmp_path) == before


def test_refuses_other_vins_for_the_same_output(tmp_path: Path) -> None:
    write_archive(Order(1, 1, "scan", "png"), tmp_path)
    with pytest.raises(UsageError, match="another order"):
        write_archive(Order(1, 1, "scan", "png"), tmp_path, vins=[TrueVin("1" * 17, "na")])


def test_refuses_a_directory_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("precious")
    with pytest.raises(UsageError, match="not empty"):
        write_archive(Order(1, 1, "scan", "png"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def parse(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    synthesise.add_parser(parser.add_subparsers())
    return parser.parse_args(["synthesise", *flags])


def test_command_takes_as_many_cards_as_there_are_vins(tmp_path: Path) -> None:
    (tmp_path / "vins.txt").write_text("11111111111111111\nXTA210130D0000002\n")
    flags = ["--vins", str(tmp_path / "vins.txt"), "--seed", "3", "--level", "clean"]
    args = parse(str(tmp_path / "out"), *flags, "--format", "jpg", "--workers", "1")
    assert synthesise.execute(args) is ExitCode.DONE
    assert len(truth(tmp_path / "out")) == 2
    assert (tmp_path / "out" / card_id(1) / "17.jpg").is_file()


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--cards", "0"],
        ["--cards", "1", "--seed", "-1"],
        ["--cards", "1", "--workers", "0"],
        ["--samples", "--cards", "3"],
    ],
)
def test_command_refuses_nonsense(tmp_path: Path, flags: list[str]) -> None:
    with pytest.raises(UsageError):
        synthesise.execute(parse(str(tmp_path / "out"), *flags))
    assert not (tmp_path / "out").exists()


def test_command_offers_every_level(tmp_path: Path) -> None:
    for level in LEVELS:
        assert parse("x", "--level", level).level == level
