"""The command that fits a second reader, and what it measures."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from finished_run import VIN, reading
from glyph_packs import write_data
from vin_batch.classifier.model_card import load_model_card
from vin_batch.cli import main
from vin_batch.errors import ExitCode
from vin_batch.records import DecisionPolicy, Status
from vin_batch.second_reader.parameters import PARAMETERS_NAME, load_parameters
from vin_batch.training.cards import CardSet
from vin_batch.training.second_measure import (
    EVERY,
    LookedCards,
    box_score,
    measurement_text,
    score_second,
)
from vin_batch.vin.alphabet import ALPHABET, encode
from vin_batch.vin.decoder import Decoder

ALWAYS = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=0.0)
OTHER = "XTA210130D0000003"


def clear(*vins: str) -> np.ndarray:
    """Log-probabilities of ink that is quite sure of these VINs."""
    log_probs = np.full((len(vins), 17, len(ALPHABET)), -12, np.float32)
    for row, vin in enumerate(vins):
        log_probs[row, np.arange(17), encode(vin)] = -1e-4
    return log_probs


@pytest.fixture
def looked() -> LookedCards:
    """Eight cards with one VIN: the first reader doubts two and is wrong about another."""
    status = [Status.ACCEPTED] * 8
    status[1] = status[4] = Status.REVIEW
    readings = [reading(str(row), one) for row, one in enumerate(status)]
    readings[4] = replace(readings[4], vin=OTHER)
    readings[7] = replace(readings[7], vin=OTHER)
    cards = CardSet((VIN,) * 8, np.zeros((8, 17, 28, 28), np.uint8), np.zeros((8, 17), np.uint8))
    rows = np.array([0, 1, 4])
    return LookedCards(
        cards, clear(*[VIN] * 8), tuple(readings), rows, np.zeros((3, 17, 62), np.float32),
        np.zeros((3, 17), np.int64), seconds=6.0,
    )  # fmt: skip


def test_modes_replace_what_they_look_at(looked: LookedCards) -> None:
    score = score_second(
        looked, clear(OTHER, VIN, VIN), {"review": ALWAYS, "all": ALWAYS}, Decoder()
    )
    off, review, every = score.off, score.review, score.every
    assert (off.cards, off.vin_right, off.accepted, off.wrong) == (8, 6, 6, 1)
    assert (review.cards, review.vin_right, review.accepted, review.wrong) == (8, 7, 8, 1)
    assert (every.cards, every.accepted, every.wrong) == (8 // EVERY, 2, 1), "cards 0 and 4"
    assert (score.looked, score.seconds) == (2, 2.0)
    document = json.loads(json.dumps(score.as_json()))
    assert document["second_reader"]["review"]["accepted"] == 8
    text = measurement_text({"scan": score})
    assert "looks at 25.0 % of the cards, 2.00 s" in text
    assert text.count("scan") == 4


def test_a_strict_policy_leaves_doubted_cards_in_review(looked: LookedCards) -> None:
    strict = replace(ALWAYS, accept_confidence=1.1)
    score = score_second(looked, clear(VIN, VIN, VIN), {"review": strict, "all": strict}, Decoder())
    assert score.review.accepted == score.off.accepted
    assert score.every.accepted == 0


def test_boxes_are_those_that_gave_evidence(looked: LookedCards) -> None:
    looked.cards.issues[4, 2] = 7
    boxes, where = looked.boxes()
    assert where.sum() == len(boxes.truth) == 3 * 17 - 1
    assert (boxes.truth[:17] == encode(VIN)).all()
    score = box_score(boxes.first, boxes.truth)
    assert (score.boxes, score.right) == (50, 50)
    assert score.loss == pytest.approx(1e-4, abs=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("rapidocr") is None or find_spec("onnxruntime") is None,
    reason="the extra [second-reader] is not installed",
)
def test_command_fits_a_second_reader_that_loads(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data")
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    arguments = ["--data", str(data), "--model", str(model), "--cards", "8", "--workers", "1"]
    assert main(["train-second-reader", *arguments, "--json"]) == ExitCode.DONE
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"clean", "scan", "hard"}
    parameters = load_parameters(load_model_card(model))
    assert parameters.name.startswith("PP-OCR")
    assert parameters.details["metrics"] == told
    assert parameters.details["cards_per_level"] == 8
    assert len(parameters.weights_sha256) == 64


@pytest.mark.parametrize("flag", ["--cards", "--workers"])
def test_nonsense_is_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["train-second-reader", "--data", "x", "--model", "y", flag, "0"])
    assert code == ExitCode.USAGE
    assert flag in capsys.readouterr().err


def test_missing_extra_is_said_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from vin_batch.second_reader import recogniser

    monkeypatch.setattr(recogniser, "PACKAGE", "no_such_package")
    code = main(["train-second-reader", "--data", "nowhere", "--model", str(tmp_path)])
    assert code == ExitCode.MODEL
    assert "pip install 'vin_batch[second-reader]'" in capsys.readouterr().err
    assert not (tmp_path / PARAMETERS_NAME).exists()
