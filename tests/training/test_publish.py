"""What is published is what is loaded, and the words say the same as the numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vin_batch.classifier.model_card import CARD_NAME, load_model_card, sha256_of
from vin_batch.errors import ModelError
from vin_batch.preprocess import PREPROCESSING
from vin_batch.records import DecisionPolicy
from vin_batch.training.measure import CardScore, CharacterScore
from vin_batch.training.model_readme import write_model_readme
from vin_batch.training.publish import UNFITTED_POLICY, publish_weights, update_card
from vin_batch.training.tables import measurement_text
from vin_batch.vin.alphabet import ALPHABET

TRAINING = {"parameters": 418_337, "history": []}
CHARACTERS = [
    CharacterScore("letter_cards", 200, 190, {"blank": 1}, (("O0", 4), ("I1", 2))),
    CharacterScore("forms", 50, 50, {}, ()),
]
CARDS = {
    "scan": CardScore(400, 0.987, 0.8, 0.95, 300, 1, {"accepted": 300, "review": 100}, 0.0123),
    "hard": CardScore(400, 0.9, 0.3, 0.6, 0, 0, {"review": 400}, 0.2),
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    weights = tmp_path / "new.keras"
    weights.write_bytes(b"weights")
    publish_weights(weights, tmp_path / "some", ALPHABET, TRAINING)
    return tmp_path / "some"


def test_a_published_model_is_loaded_as_it_was_given(model: Path) -> None:
    card = load_model_card(model)
    assert card.name == "some"
    assert card.weights.read_bytes() == b"weights"
    assert card.sha256 == sha256_of(card.weights)
    assert card.preprocessing == PREPROCESSING
    assert card.temperature == 1
    assert card.policy == UNFITTED_POLICY
    assert card.details["training"] == TRAINING
    assert card.details["made"].endswith("+00:00")


def test_an_uncalibrated_model_accepts_nothing(model: Path) -> None:
    assert load_model_card(model).policy.accept_confidence >= 1


def test_updates_replace_only_what_they_name(model: Path) -> None:
    before = json.loads((model / CARD_NAME).read_text())
    policy = DecisionPolicy(slope=0.9, intercept=-0.2, accept_confidence=0.9987)
    update_card(model, temperature=1.25, policy=policy, metrics={"характер": 1})
    card = load_model_card(model)
    assert card.temperature == 1.25
    assert card.policy == policy
    after = json.loads((model / CARD_NAME).read_text())
    assert after["metrics"] == {"характер": 1}
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"temperature", "policy", "metrics"}


def test_a_new_model_replaces_the_old_one(model: Path, tmp_path: Path) -> None:
    update_card(model, temperature=3.0)
    (tmp_path / "newer.keras").write_bytes(b"newer weights")
    publish_weights(tmp_path / "newer.keras", model, ALPHABET, TRAINING)
    card = load_model_card(model)
    assert card.temperature == 1
    assert card.weights.read_bytes() == b"newer weights"


def test_swapped_weights_are_noticed(model: Path) -> None:
    load_model_card(model).weights.write_bytes(b"weightz")
    with pytest.raises(ModelError, match="damaged or was swapped"):
        load_model_card(model)


def test_a_measurement_in_words() -> None:
    text = measurement_text(CHARACTERS, CARDS)
    lines = text.splitlines()
    forms, letters = (next(line for line in lines if name in line) for name in ("forms", "letter"))
    assert lines.index(forms) < lines.index(letters)
    assert "100.00 % [92.87, 100.00]" in forms
    assert "95.00 % [91.04, 97.26]" in letters
    assert letters.endswith("O0:4 I1:2")
    assert "cards, level scan (400)" in text
    assert "(1 of 300)" in text
    assert "(0 of 0)" in text
    assert "calibration error     0.0123" in text


def test_the_model_card_for_people_holds_every_figure(model: Path) -> None:
    metrics = {
        "characters": {
            score.source: {
                "images": score.images, "accuracy": score.accuracy, "issues": score.issues,
                "confusions": dict(score.confusions),
            } for score in CHARACTERS
        },
        "cards": {level: score.as_json() for level, score in CARDS.items()},
    }  # fmt: skip
    policy = DecisionPolicy(slope=0.9, intercept=-0.2, accept_confidence=0.9987)
    update_card(model, metrics=metrics, temperature=1.25, policy=policy)
    write_model_readme(model)
    text = (model / "README.md").read_text("utf-8")
    for words in (
        "# Model card: some", "418,337 parameters", load_model_card(model).sha256,
        "| letter_cards | 200 | 95.00 % | O0:4 I1:2 |", "| forms | 50 | 100.00 % |",
        "| scan | 400 | 98.70 % | 80.0 % [75.8, 83.6] | 95.0 % [92.4, 96.7] |",
            "| 75.0 % [70.5, 79.0] | 1 of 300 [0.06, 1.86] | 0.0123 |",
        "Temperature 1.250", "0.900 x log odds", "-0.200", "0.998700", "Open Font License",
        "## Limits",
    ):  # fmt: skip
        assert words in text, words
