"""One network from two."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vin_batch.classifier.model_card import load_model_card
from vin_batch.cli import main
from vin_batch.errors import ExitCode
from vin_batch.training.publish import publish_weights


def real_model(out: Path, seed: int, units: int = 4) -> Path:
    import keras

    keras.utils.set_random_seed(seed)
    pixels = keras.Input((28, 28, 1), dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
    hidden = keras.layers.Dense(units)(flat)
    model = keras.Model(pixels, keras.layers.Dense(3, name="logits")(hidden))
    out.mkdir(parents=True)
    model.save(out / "trained.keras")
    publish_weights(out / "trained.keras", out, "ABC", {"plan": {"seed": seed}, "parameters": 1})
    return out


def weights_of(directory: Path) -> list[np.ndarray]:
    import keras

    model = keras.saving.load_model(load_model_card(directory).weights, compile=False)
    return [np.asarray(part) for part in model.get_weights()]


def test_weights_are_the_mean_and_the_card_names_both(tmp_path: Path) -> None:
    one, two = (real_model(tmp_path / name, seed) for seed, name in enumerate(("one", "two")))
    out = tmp_path / "mean"
    assert main(["average-models", str(one), str(two), "--share", "0.25", "-o", str(out)]) == 0
    for first, second, mean in zip(*map(weights_of, (one, two, out)), strict=True):
        assert mean == pytest.approx(0.75 * first + 0.25 * second, abs=1e-6)
    card = load_model_card(out)
    assert card.policy.accept_confidence >= 1, "uncalibrated: nothing is accepted"
    training = json.loads((out / "model.json").read_text("utf-8"))["training"]
    assert [part["share"] for part in training["averaged"]] == [0.75, 0.25]
    assert [part["training"]["plan"]["seed"] for part in training["averaged"]] == [0, 1]
    assert sorted(path.name for path in out.iterdir()) == ["model.json", "network.keras"]


@pytest.mark.parametrize(
    ("second", "out", "share", "words"),
    [
        ("wide", "mean", "0.5", "different networks"),
        ("two", "one", "0.5", "one of the models"),
        ("two", "mean", "1.5", "from 0 to 1"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    second: str,
    out: str,
    share: str,
    words: str,
) -> None:
    for name, units in (("one", 4), ("two", 4), ("wide", 5)):
        real_model(tmp_path / name, 1, units)
    given = [str(tmp_path / name) for name in ("one", second)]
    code = main(["average-models", *given, "--share", share, "-o", str(tmp_path / out)])
    assert code == ExitCode.USAGE
    assert words in capsys.readouterr().err
    assert not (tmp_path / "mean").exists()
    assert load_model_card(tmp_path / "one").classes == "ABC"
