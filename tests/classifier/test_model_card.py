"""A damaged, swapped or foreign model is refused with words, and without TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_fakes import make_model
from crash_tools import environment
from vin_batch.classifier.alphabets import ALPHABETS, require_alphabet
from vin_batch.classifier.model_card import (
    CARD_NAME,
    default_model_directory,
    load_model_card,
    require_vin_classes,
    sha256_of,
)
from vin_batch.errors import ExitCode, ModelError
from vin_batch.vin.alphabet import ALPHABET


def test_a_whole_card_is_loaded(tmp_path: Path) -> None:
    card = load_model_card(make_model(tmp_path / "small"))
    raw = json.loads((tmp_path / "small" / CARD_NAME).read_text())
    assert card.classes == ALPHABET
    assert card.sha256 == sha256_of(card.weights) == raw["sha256"]
    assert card.model_id == f"{card.name}@{card.sha256[:12]}"
    assert card.directory == tmp_path / "small"
    assert card.policy.accept_confidence == raw["policy"]["accept_confidence"]
    require_vin_classes(card)


def test_unknown_fields_are_kept_as_details(tmp_path: Path) -> None:
    card = load_model_card(make_model(tmp_path, metrics={"right": 0.97}))
    assert card.details["metrics"] == {"right": 0.97}
    assert "name" not in card.details


Damage = Callable[[Path], object]


def lose(name: str) -> Damage:
    return lambda directory: (directory / name).unlink()


def overwrite(name: str, data: bytes) -> Damage:
    return lambda directory: (directory / name).write_bytes(data)


def weights_name(directory: Path) -> str:
    return str(json.loads((directory / CARD_NAME).read_text())["weights"])


def change(**fields: object) -> Damage:
    def damage(directory: Path) -> None:
        path = directory / CARD_NAME
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return damage


def forget(field: str) -> Damage:
    def damage(directory: Path) -> None:
        path = directory / CARD_NAME
        card = json.loads(path.read_text())
        del card[field]
        path.write_text(json.dumps(card))

    return damage


POLICY = {"slope": 1.0, "intercept": 0.0, "accept_confidence": 0.999}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lose(CARD_NAME), "model.json is missing"),
        (overwrite(CARD_NAME, b"{"), "cannot read"),
        (overwrite(CARD_NAME, b"\xff\xfe"), "cannot read"),
        (overwrite(CARD_NAME, b"[]"), "not a model card"),
        (overwrite(CARD_NAME, b"{}"), "not a model card"),
        (lambda directory: (directory / weights_name(directory)).unlink(), "are missing"),
        (
            lambda directory: (directory / weights_name(directory)).write_bytes(b"other"),
            "damaged or was swapped",
        ),
        (change(sha256="0" * 64), "damaged or was swapped"),
        (change(schema=2), "schema 2, expected 1"),
        (change(temperature="warm"), "not a model card"),
        (change(temperature=0), "not a model card"),
        (change(temperature=float("nan")), "not a model card"),
        (change(preprocessing=7), "not a model card"),
        (change(policy={}), "not a model card"),
        (change(policy=POLICY | {"generosity": 1}), "not a model card"),
        (change(policy=POLICY | {"slope": "steep"}), "not a model card"),
        (change(policy=POLICY | {"accept_confidence": float("nan")}), "not a model card"),
        (change(classes=""), "not a model card"),
        (change(classes="AAB"), "not a model card"),
        *((forget(field), "not a model card") for field in
          ("schema", "name", "weights", "sha256", "classes", "preprocessing", "policy")),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_advice(tmp_path: Path, damage: Damage, words: str) -> None:
    directory = make_model(tmp_path / "model")
    damage(directory)
    with pytest.raises(ModelError) as caught:
        load_model_card(directory)
    assert words in caught.value.message
    assert "--model" in caught.value.advice
    assert caught.value.exit_code == ExitCode.MODEL


def test_a_file_or_nothing_in_place_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(ModelError):
            load_model_card(path)


def test_runs_want_the_33_classes_in_order(tmp_path: Path) -> None:
    for classes in ("0123456789", ALPHABET[::-1], ALPHABETS["alnum36"]):
        card = load_model_card(make_model(tmp_path / classes[:2], classes=classes))
        with pytest.raises(ModelError, match="not the 33 of a VIN"):
            require_vin_classes(card)


def test_alphabets_need_a_model_that_knows_them(tmp_path: Path) -> None:
    vin = load_model_card(make_model(tmp_path / "vin"))
    require_alphabet(vin, "vin")
    with pytest.raises(ModelError, match="does not know IOQ, which alnum36 needs") as caught:
        require_alphabet(vin, "alnum36")
    assert "--alphabet alnum36" in caught.value.advice
    large = load_model_card(make_model(tmp_path / "large", classes=ALPHABETS["byclass62"]))
    for alphabet in ALPHABETS:
        require_alphabet(large, alphabet)


def test_alphabets_are_the_published_ones() -> None:
    assert [len(ALPHABETS[name]) for name in ("vin", "alnum36", "byclass62")] == [33, 36, 62]
    for characters in ALPHABETS.values():
        assert len(set(characters)) == len(characters)
        assert set(ALPHABET) <= set(characters)
    assert not set("IOQ") & set(ALPHABETS["vin"])


def test_the_default_model_lies_in_the_checkout_or_the_wheel() -> None:
    directory = default_model_directory()
    assert directory.name == "default"
    assert directory.parent.name in {"models", "_models"}


def test_damage_is_found_without_tensorflow(tmp_path: Path) -> None:
    directory = make_model(tmp_path / "model")
    (directory / weights_name(directory)).write_bytes(b"other")
    guard = (
        "import sys, pathlib; sys.modules.update(tensorflow=None, keras=None)\n"
        "from vin_batch.classifier.model_card import load_model_card\n"
        "from vin_batch.errors import ModelError\n"
        "try: load_model_card(pathlib.Path(sys.argv[1]))\n"
        "except ModelError as error: print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", guard, str(directory)],
        env=environment(), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "damaged or was swapped" in done.stdout
