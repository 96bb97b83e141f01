"""A finished run against known VINs: nothing is lost, nothing counted twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from finished_run import make_run, reading, unreadable
from vin_batch.cli import main
from vin_batch.errors import ExitCode, UsageError
from vin_batch.records import Status
from vin_batch.training.compare import compare_run, load_truth

VIN, OTHER = "XTA210130D0000002", "XTA210130D0000003"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compared") / "run"
    make_run(
        root,
        [
            [
                reading("right"),
                reading("wrong", vin=OTHER, raw_vin=OTHER),
                reading("repaired", raw_vin=OTHER),
                reading("doubtful", Status.REVIEW, vin=OTHER, raw_vin=OTHER),
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
    assert (found.cards, found.unknown, found.lost) == (7, 1, 1)
    assert found.raw_right == 1
    assert found.vin_right == 3, "right, repaired, and the card without a VIN that stayed out"
    assert found.status == {"accepted": 4, "review": 1, "unreadable": 1, "failed": 1}
    assert found.accepted_wrong == ("wrong", "none but accepted")


def test_words_and_json_agree(run: Path) -> None:
    found = compare_run(run, TRUTH)
    text = found.text()
    assert "cards compared          7\n" in text
    assert "VIN right                     3   42.86 % [15.82, 74.95]" in text
    assert "wrong among accepted          2   50.00 %" in text
    assert text.endswith("  wrong: wrong\n  wrong: none but accepted")
    assert found.as_json()["accepted_wrong"] == ("wrong", "none but accepted")


def test_truth_of_other_cards_compares_nothing(run: Path) -> None:
    found = compare_run(run, {"elsewhere": VIN})
    assert (found.cards, found.unknown, found.lost) == (0, 8, 1)
    assert "VIN right               none" in found.text()


def test_truth_files_are_forgiving_about_form_and_strict_about_content(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("\ufeffcard_id,vin,note\r\nящик/1, xta210130d0000002 ,x\r\n2,,\r\n", "utf-8")
    assert load_truth(path) == {"ящик/1": VIN, "2": ""}
    for data in (b"a,b\n1,2\n", b"card_id,vin\n1\n", b"card_id,vin\n\xff,x\n", b"card_id\n1\n"):
        path.write_bytes(data)
        with pytest.raises(UsageError, match="is not a truth file") as caught:
            load_truth(path)
        assert "card_id and vin" in caught.value.advice
    with pytest.raises(UsageError):
        load_truth(tmp_path / "nowhere.csv")


def test_the_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("card_id,vin\n" + "".join(f"{card},{vin}\n" for card, vin in TRUTH.items()))
    assert main(["evaluate", "--run", str(run), "--truth", str(truth)]) == 0
    assert "cards compared          7" in capsys.readouterr().out
    assert main(["evaluate", "--run", str(run), "--truth", str(truth), "--json"]) == 0
    assert '"vin_right": 3' in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--run", "{run}"],
        ["--run", "{run}", "--data", "x"],
        ["--run", "{run}", "--truth", "{run}/nowhere.csv"],
        ["--run", "{run}/..", "--truth", "{truth}"],
        ["--data", "x", "--cards", "-1"],
        ["--data", "x", "--workers", "0"],
    ],
)
def test_wrong_use(
    run: Path, tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("card_id,vin\n")
    filled = [argument.format(run=run, truth=truth) for argument in arguments]
    assert main(["evaluate", *filled]) == ExitCode.USAGE
    assert "vin-batch: error: " in capsys.readouterr().err
