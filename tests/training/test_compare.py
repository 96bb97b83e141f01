"""A finished run against known VINs: nothing is lost, nothing counted twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from finished_run import chars_of, make_run, reading, unreadable
from tiny_model import write_box
from vin_batch.cli import main
from vin_batch.errors import ExitCode
from vin_batch.records import Status
from vin_batch.training.compare import compare_run, with_pictures

VIN, OTHER = "XTA210130D0000002", "XTA210130D0000003"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compared") / "run"
    low = {"reasons": ("low_confidence", "second_reader")}
    make_run(
        root,
        [
            [
                reading("right"),
                reading("wrong", vin=OTHER, raw_vin=OTHER, chars=chars_of(OTHER)),
                reading("repaired", raw_vin=OTHER, chars=chars_of(OTHER, {17: 0.5})),
                reading("doubtful", Status.REVIEW, vin=OTHER, raw_vin=OTHER, confidence=0.7, **low),
                unreadable("none"),
                reading("none but accepted"),
                unreadable("failed", Status.FAILED),
                reading("stranger"),
            ]
        ],
    )
    return root


TRUTH = {
    "right": VIN, "wrong": VIN, "repaired": VIN, "doubtful": VIN, "none": "",
    "none but accepted": "", "failed": VIN, "not in the run": VIN,
}  # fmt: skip


def test_every_card_is_counted_once(run: Path) -> None:
    found = compare_run(run, TRUTH)
    assert (found.unknown, found.lost, found.score.cards) == (1, 1, 7)
    assert found.score.with_vin == 5, "two of the seven hold no VIN"
    assert found.score.raw_right == pytest.approx(1 / 5)
    assert found.score.vin_right == pytest.approx(2 / 5), "right and repaired"
    assert found.score.characters_right == pytest.approx((17 + 3 * 16) / (5 * 17))
    assert found.score.status == {"accepted": 4, "review": 1, "unreadable": 1, "failed": 1}
    assert (found.score.accepted, found.score.accepted_wrong) == (4, 2)
    assert found.judged.accepted_wrong() == [
        ("wrong", OTHER, VIN),
        ("none but accepted", VIN, ""),
    ]


def test_the_curve_holds_what_confidence_alone_keeps_back(run: Path) -> None:
    judged = compare_run(run, TRUTH).judged
    assert judged.eligible.tolist() == [True, True, True, True, False, True, False]
    curve = judged.curve()
    assert curve.total == 7
    assert curve.accepted.tolist() == [4, 5], "the doubtful card comes last"
    assert curve.wrong.tolist() == [2, 3]
    assert judged.posterior_curve() is None, "runs do not keep the posterior"


def test_errors_are_counted_by_position(run: Path) -> None:
    rows = compare_run(run, TRUTH).judged.positions()
    assert [row.number for row in rows] == list(range(1, 18))
    assert (rows[0].boxes, rows[0].raw_wrong, rows[0].empty, rows[0].vin_wrong) == (5, 1, 1, 0)
    last = rows[16]
    assert (last.raw_wrong, last.empty, last.vin_wrong) == (4, 1, 2)
    assert dict(last.pairs) == {"23": 3, "2?": 1}


def test_words_and_json_agree(run: Path) -> None:
    found = compare_run(run, TRUTH)
    text, told = found.text(), json.loads(json.dumps(found.as_json()))
    assert "cards compared          7\n" in text
    assert "cards without a VIN   2 (wrong when accepted)" in text
    assert "VIN right, decoded     40.00 % [11.76, 76.93]" in text
    assert "wrong among accepted   50.00 %" in text
    assert "(2 of 4)" in text
    assert f"wrong              {OTHER}  {VIN}  17" in text
    assert f"none but accepted  {VIN}  (none)" in text
    assert "boxes by position" in text
    assert told["accepted_and_wrong"][0] == {"card_id": "wrong", "read": OTHER, "true": VIN}
    assert told["intervals_95"]["vin_right"] == [0.11762, 0.76928]
    assert told["vin_right"] == 0.4
    assert told["positions"][16]["confusions"] == {"23": 3, "2?": 1}
    assert told["curves"]["as_accepted"]["points"] == [[0.9995, 4, 2], [0.7, 5, 3]]
    assert told["accepted_at_risk"]["0"] == {"share": 0.0, "accepted": 0, "wrong": 0}


def test_truth_of_other_cards_compares_nothing(run: Path) -> None:
    found = compare_run(run, {"elsewhere": VIN})
    assert (found.score.cards, found.unknown, found.lost) == (0, 8, 1)
    assert found.text().splitlines()[0] == "cards compared          0"
    assert json.dumps(found.as_json())


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("card_id,vin\n" + "".join(f"{card},{vin}\n" for card, vin in TRUTH.items()))
    assert main(["evaluate", "--run", str(run), "--truth", str(truth)]) == 0
    assert "cards compared          7" in capsys.readouterr().out
    plots = tmp_path / "plots"
    arguments = ["evaluate", "--run", str(run), "--truth", str(truth), "--json"]
    assert main([*arguments, "--plots", str(plots)]) == 0
    assert json.loads(capsys.readouterr().out)["unknown"] == 1
    assert {path.name for path in plots.iterdir()} == {
        "risk_coverage.png", "reliability_cards.png", "positions.png",
    }  # fmt: skip


def test_pictures_come_from_the_archive(run: Path, tmp_path: Path) -> None:
    write_box(tmp_path / "wrong" / "03.png", "A")
    found = with_pictures(compare_run(run, TRUTH), tmp_path)
    assert found.score.judged is found.judged
    assert list(found.judged.pictures) == [1], "of other cards there is no folder"
    picture = found.judged.pictures[1]
    assert picture.shape == (17, 28, 28)
    assert np.flatnonzero(picture.any(axis=(1, 2))).tolist() == [2]
    assert found.as_json() == compare_run(run, TRUTH).as_json()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what to measure"),
        (["--run", "{run}"], "--run needs --truth"),
        (["--cards", "{run}"], "--cards needs --truth"),
        (["--run", "{run}", "--data", "x"], "say what to measure"),
        (["--data", "x", "--cards", "4000"], "The number of drawn cards is --drawn 4000"),
        (["--run", "{run}", "--truth", "{run}/nowhere.csv"], "there is no truth file"),
        (["--run", "{run}/..", "--truth", "{truth}"], "run.json"),
        (["--data", "x", "--drawn", "-1"], "--drawn must be 0 or more"),
        (["--data", "x", "--workers", "0"], "--workers 1 or more"),
    ],
)
def test_wrong_use(
    run: Path,
    tmp_path: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("card_id,vin\n")
    filled = [argument.format(run=run, truth=truth) for argument in arguments]
    assert main(["evaluate", *filled]) == ExitCode.USAGE
    assert words in capsys.readouterr().err
