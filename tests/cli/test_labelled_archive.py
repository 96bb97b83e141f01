"""``evaluate --cards`` and ``calibrate`` on a labelled archive, from files to figures."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from tiny_model import make_tiny_model
from vin_batch.classifier.model_card import CARD_NAME, load_model_card
from vin_batch.cli import main
from vin_batch.errors import ExitCode
from vin_batch.synthesis.folders import Order, write_archive
from vin_batch.training import calibrate, recalibrate

CARDS = 24
FEW = 4
"""Accepted cards that a threshold must have been seen on, in these tests."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("labelled")
    write_archive(Order(CARDS, 5, "clean", "png"), root)
    return root


@pytest.fixture
def labels(archive: Path, tmp_path: Path) -> Path:
    with (archive / "truth.csv").open(newline="") as file:
        rows = [(row["card_id"], row["vin"]) for row in csv.DictReader(file)]
    return write_truth(tmp_path / "labels.csv", rows)


def write_truth(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("card_id,vin\n" + "".join(f"{card},{vin}\n" for card, vin in rows))
    return path


def test_an_archive_is_measured_from_end_to_end(
    archive: Path, model: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--cards", str(archive), "--truth", str(labels), "--model", str(model)]
    run = tmp_path / "run"
    common = ["evaluate", *arguments, "--device", "cpu", "--workers", "1"]
    assert main([*common, "--run-dir", str(run), "--plots", str(tmp_path / "plots")]) == 0
    text = capsys.readouterr().out
    assert f"cards compared          {CARDS}\n" in text
    assert "boxes by position" in text
    assert (run / "report.html").is_file(), "the run stays and is whole"
    for name in ("risk_coverage", "cards"):
        assert (tmp_path / "plots" / f"{name}.png").stat().st_size > 10_000
    assert main(["evaluate", "--run", str(run), "--truth", str(labels), "--json"]) == 0
    by_run = json.loads(capsys.readouterr().out)
    assert main([*common, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == by_run, "the same cards, the same figures"
    assert by_run["characters_right"] > 0.7, "the tiny model reads what typefaces write"


def test_a_truth_of_another_archive_is_refused(
    archive: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = write_truth(tmp_path / "strange.csv", [("box_009/card_1", "XTA210130D0000002")])
    arguments = ["--cards", str(archive), "--truth", str(strange), "--model", str(model)]
    for command in (["evaluate"], ["calibrate", "-o", str(tmp_path / "new")]):
        assert main([*command, *arguments]) == ExitCode.USAGE
        assert "the archive does not have: box_009/card_1" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_part_of_an_archive_may_be_labelled(
    archive: Path, model: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = labels.read_text().splitlines()[:11]
    part = tmp_path / "part.csv"
    part.write_text("\n".join(lines) + "\n")
    arguments = ["evaluate", "--cards", str(archive), "--truth", str(part), "--model", str(model)]
    assert main([*arguments, "--workers", "1"]) == ExitCode.USAGE
    assert f"{CARDS - 10} of {CARDS} cards of the archive have no line" in capsys.readouterr().err
    assert main([*arguments, "--workers", "1", "--partial"]) == 0
    text = capsys.readouterr().out
    assert "cards compared          10\n" in text
    assert f"without a known VIN     {CARDS - 10}\n" in text


def test_a_model_is_calibrated_on_its_own_cards(
    archive: Path,
    model: Path,
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in (calibrate, recalibrate):
        monkeypatch.setattr(module, "MIN_ACCEPTED", FEW)
    out, before = tmp_path / "ours", (model / CARD_NAME).read_bytes()
    arguments = ["calibrate", "--cards", str(archive), "--truth", str(labels)]
    arguments += ["--model", str(model), "--workers", "1", "--device", "cpu"]
    assert main([*arguments, "-o", str(out)]) == 0
    assert f"labelled cards          {CARDS}" in capsys.readouterr().out
    assert (model / CARD_NAME).read_bytes() == before
    old, new = load_model_card(model), load_model_card(out)
    assert new.sha256 == old.sha256
    assert old.policy.accept_confidence >= 1 > new.policy.accept_confidence
    told = new.details["calibration"]
    assert set(told) >= {"command", "version", "revision", "date", "data_sha256", "cards"}
    assert (told["cards"], told["accepted_wrong"]) == (CARDS, 0)
    assert told["accepted"] >= FEW
    assert main([*arguments, "-o", str(out)]) == ExitCode.USAGE, "never in place"
    capsys.readouterr()
    evaluate = ["evaluate", "--cards", str(archive), "--truth", str(labels), "--workers", "1"]
    assert main([*evaluate, "--model", str(out), "--json", "--device", "cpu"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["accepted"] == told["accepted"], "production accepts what was promised"
    again = tmp_path / "again"
    assert main([*arguments, "-o", str(again)]) == 0
    repeated = load_model_card(again)
    assert repeated.policy == new.policy
    assert repeated.details["calibration"]["data_sha256"] == told["data_sha256"]
    assert digest_after_a_change(archive, labels, arguments, tmp_path) != told["data_sha256"]


def digest_after_a_change(archive: Path, labels: Path, arguments: list[str], base: Path) -> str:
    """The data digest when one file of the archive has other bytes."""
    copy = shutil.copytree(archive, base / "copy")
    boxes = sorted(copy.rglob("01.png"))
    shutil.copyfile(boxes[1], boxes[0])
    changed = [str(copy) if word == str(archive) else word for word in arguments]
    assert main([*changed, "-o", str(base / "changed")]) == 0
    digest = load_model_card(base / "changed").details["calibration"]["data_sha256"]
    assert isinstance(digest, str)
    return digest


def test_too_few_cards_are_refused_with_the_reason(
    archive: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    arguments = ["calibrate", "--cards", str(archive), "--truth", str(labels)]
    out = tmp_path / "new"
    assert main([*arguments, "--model", str(model), "-o", str(out)]) == ExitCode.USAGE
    words = capsys.readouterr().err
    assert f"{CARDS} labelled cards are too few" in words
    assert "rule of three" in words
    assert not out.exists()
