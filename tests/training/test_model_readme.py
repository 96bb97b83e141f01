"""The model card for people says what ``model.json`` knows, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_fakes import make_model
from vin_batch.training.model_readme import write_model_readme
from vin_batch.training.publish import update_card

PROVENANCE = {
    "command": "vin-batch train --data DATA -o models/tiny", "version": "0.2.0",
    "revision": "a" * 40, "date": "2026-11-20T10:00:00+00:00",
}  # fmt: skip
SCORE = {
    "cards": 1000, "characters_right": 0.98, "raw_right": 0.7, "vin_right": 0.9, "accepted": 600,
    "accepted_wrong": 1, "status": {}, "calibration_error": 0.01,
    "intervals_95": {
        "raw_right": [0.67, 0.73], "vin_right": [0.88, 0.917], "accepted": [0.569, 0.63],
        "accepted_wrong": [0.0003, 0.0094],
    },
    "accepted_at_risk": {
        "0": {"share": 0.4, "accepted": 400, "wrong": 0},
        "0.0005": {"share": 0.45, "accepted": 450, "wrong": 0},
    },
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    training = {
        "parameters": 418_337, "multiply_adds": 12_345_678, "provenance": PROVENANCE,
        "plan": {"arch": "residual_small", "reject_share": 0.05}, "glyphs": {"fonts": 10},
    }  # fmt: skip
    return make_model(tmp_path / "tiny", training=training, metrics={}, made="2026-11-20")


def written(model: Path) -> str:
    write_model_readme(model)
    return (model / "README.md").read_text("utf-8")


def test_a_model_that_was_not_measured_claims_nothing(model: Path) -> None:
    text = written(model)
    assert "Network `residual_small`, 418,337 parameters, 12.3 million multiply-adds" in text
    assert "    vin-batch train --data DATA -o models/tiny\n" in text
    assert f"vin_batch 0.2.0, revision {'a' * 40}, 2026-11-20T10:00:00+00:00." in text
    assert "## Characters" not in text
    assert "## Cards" not in text
    assert "vin-batch evaluate --model" not in text
    assert "font_families.csv" in text
    assert "were not trained as rejects" not in text


def test_measurements_come_with_intervals_and_the_curve(model: Path) -> None:
    update_card(model, metrics={"characters": {}, "cards": {"scan": SCORE}})
    text = written(model)
    assert "| 90.0 % [88.0, 91.7] | 60.0 % [56.9, 63.0] | 1 of 600 [0.03, 0.94] |" in text
    assert "| level | 0 % wrong | 0.05 % wrong |" in text
    assert "| scan | 40.0 % | 45.0 % |" in text


def test_a_list_of_vins_is_told(model: Path) -> None:
    characters = {"mnist": {"images": 9, "accuracy": 1.0, "issues": {}, "confusions": {}}}
    update_card(model, metrics={"characters": characters, "cards": {"scan": SCORE}})
    assert "--data DATA --drawn 4000" in written(model)
    cards = {"scan": SCORE, "scan, made-up models": SCORE}
    update_card(model, metrics={"characters": characters, "cards": cards})
    text = written(model)
    assert "--data DATA --vins LIST --drawn 4000" in text
    assert "| scan, made-up models | 1000 |" in text


def test_rejects_have_a_table(model: Path) -> None:
    score = {
        "crops": 400, "refused": {"blot": 30, "blank": 10}, "mean": 0.5, "median": 0.45,
        "percentile_90": 0.8, "share_above_0.9": 0.03, "share_above_0.99": 0.0, "answers": {},
    }  # fmt: skip
    refused = {**score, "mean": None, "median": None, "percentile_90": None}
    update_card(model, metrics={"rejects": {"blots": score, "blank": refused}})
    text = written(model)
    assert "| blots | 400 | 40 | 0.500 | 0.450 | 0.800 | 3.0 % | 0.0 % |" in text
    assert "| blank | 400 | 40 |  |  |  | 3.0 % | 0.0 % |" in text


def test_an_own_calibration_is_told(model: Path) -> None:
    record = {
        **PROVENANCE, "command": "vin-batch calibrate --cards ours", "data_sha256": "d" * 64,
        "cards": 1200, "accepted": 700, "accepted_wrong": 0, "previous": {"model": "default"},
    }  # fmt: skip
    update_card(model, calibration=record)
    text = written(model)
    assert "fitted to 1,200 labelled cards (data sha256 `dddd" in text
    assert "    vin-batch calibrate --cards ours\n" in text
    assert "700 are accepted, 0 of these wrong" in text
    assert "The weights are those of model default." in text
