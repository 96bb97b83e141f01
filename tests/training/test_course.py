"""A whole training in seconds: tiny pools, a tiny network, every step of the real one."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

from batch_fakes import make_model
from glyph_packs import write_data, write_pack
from tiny_model import publish
from vin_batch.classifier.alphabets import ALPHABETS
from vin_batch.classifier.model_card import CARD_NAME, load_model_card, require_vin_classes
from vin_batch.cli import main
from vin_batch.errors import ExitCode, UsageError
from vin_batch.training.calibrate import NEVER
from vin_batch.training.pool import GlyphBank, ImagePool, build_bank, draw_pool
from vin_batch.vin.alphabet import ALPHABET

if TYPE_CHECKING:
    from vin_batch.training.fit import TrainingPlan
    from vin_batch.training.held_out import Half
    from vin_batch.training.packs import GlyphPack

CONFIG = (
    "[train]\npools = 2\npool_images = 256\npasses = 1\nbatch = 64\n"
    "mixed_precision = false\nstroke_writers = 1\n"
)
DRAWN_AT_MOST = 256
NAME = "six_convolutions"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of a few filters, few images for validation and temperature, one hand.

    Most of the time goes into graphs of TensorFlow, whose size is the number of layers.
    """
    from vin_batch.training import cost, course, fit, network, rejects, sources, typeface_pack

    monkeypatch.setattr(network, "WIDTHS", (6,))
    monkeypatch.setattr(network, "HEAD_UNITS", 16)
    monkeypatch.setattr(typeface_pack, "HANDS", 1)
    monkeypatch.setattr(course, "TEMPERATURE_IMAGES", 200)
    monkeypatch.setattr(fit, "draw_pool", few)
    monkeypatch.setattr(rejects, "CROPS", 12)
    monkeypatch.setattr(sources, "DRAWN_REJECTS", 40)
    monkeypatch.setattr(cost, "IMAGES", 300)
    monkeypatch.setattr(cost, "CROPS", 30)


def few(bank: GlyphBank, count: int, seed: int, workers: int) -> ImagePool:
    return draw_pool(bank, min(count, DRAWN_AT_MOST), seed, 1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def fit() -> ModuleType:
    from vin_batch.training import fit

    return fit


@pytest.mark.slow
def test_from_packs_to_a_model_that_can_be_used(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / "train.toml"
    config.write_text(CONFIG)
    out = tmp_path / "models" / "small"
    common = ["--data", str(data), "--workers", "1"]
    arguments = ["train", *common, "-o", str(out), "--config", str(config), "--cards", "6"]
    assert main([*arguments, "--seed", "7"]) == 0
    table = capsys.readouterr().out
    card = load_model_card(out)
    require_vin_classes(card)
    training, metrics = card.details["training"], card.details["metrics"]
    plan = training["plan"]
    assert (plan["pools"], plan["batch"], plan["seed"], plan["mixed_precision"]) == (
        2,
        64,
        7,
        False,
    )
    assert [row["pool"] for row in training["history"]] == [0, 1]
    assert set(training["packs_sha256"]) == {
        "train/sheets.npz", "train/forms.npz", "evaluate/letter_cards.npz",
    }  # fmt: skip
    assert training["glyphs"]["sheets"] == training["glyphs"]["forms"] == 9 * 33
    assert 0.3 <= card.temperature <= 5
    assert card.policy.accept_confidence == NEVER, "such a network must not be believed"
    assert set(metrics["characters"]) == {"sheets", "forms", "letter_cards"}
    assert metrics["characters"]["letter_cards"]["images"] == 66
    assert [metrics["cards"][level]["cards"] for level in ("clean", "scan", "hard")] == [6] * 3
    assert all(metrics["cards"][level]["accepted"] == 0 for level in metrics["cards"])
    work = out.parent / ".small-work"
    assert {path.name for path in work.iterdir()} == {
        "checkpoint.json", "checkpoint-2.keras", "checkpoint-2-average.npz",
        "history.csv", "history.png", "network.keras",
    }  # fmt: skip
    with (work / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2
    assert "letter_cards" in table
    assert "cards, level hard (6)" in table
    readme = (out / "README.md").read_text("utf-8")
    assert card.sha256 in readme
    assert f"| letter_cards | {66} |" in readme
    fewer_crops_on_pictures(monkeypatch)
    evaluate_again(data, out, capsys)


def fewer_crops_on_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of full size are drawn elsewhere; every crop is a diagram to matplotlib."""
    from vin_batch.training import plot_cards, plot_characters, rejects

    monkeypatch.setattr(plot_characters, "SHEET", (2, 4))
    monkeypatch.setattr(plot_characters, "PAIRS", 3)
    monkeypatch.setattr(plot_characters, "EXAMPLES", 2)
    monkeypatch.setattr(plot_cards, "CARDS_SHOWN", 1)
    monkeypatch.setattr(rejects, "EXAMPLES", 2)


def evaluate_again(data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``evaluate`` prints what ``train`` stored."""
    stored = json.loads((out / CARD_NAME).read_text())["metrics"]
    arguments = ["evaluate", "--data", str(data), "--model", str(out), "--workers", "1", "--json"]
    plots = out.parent / "plots"
    assert main([*arguments, "--drawn", "6", "--plots", str(plots)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {name: told[name] for name in ("characters", "cards", "rejects")} == stored
    assert set(told["curves"]) == set(stored["cards"])
    assert told["cost"]["parameters"] == load_model_card(out).details["training"]["parameters"]
    assert told["cost"]["network_rate"] > 0
    assert told["rejects"]["crossed out"]["crops"] > 0
    assert {path.name for path in plots.iterdir()} >= {
        "confusion_matrix.png", "worst_confusions.png", "predictions.png", "rejects.png",
        "risk_coverage.png", "reliability_characters.png", "reliability_cards.png",
        "sources.png", "classes.png", "cards.png",
    }  # fmt: skip
    assert main([*arguments, "--drawn", "0"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["characters"], told["cards"]) == (stored["characters"], {})


@pytest.fixture
def bank(data: Path) -> GlyphBank:
    from vin_batch.training.course import load_data

    return build_bank(load_data(data, ALPHABET).training, ALPHABET)


def plan_of(fit: ModuleType, **changes: object) -> TrainingPlan:
    small_plan: TrainingPlan = fit.TrainingPlan(
        pools=2, pool_images=256, passes=1, batch=64, mixed_precision=False, seed=3, workers=1
    )
    return replace(small_plan, **changes)  # type: ignore[arg-type]


def test_teachers_asked_for_teach(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vin_batch.training import course

    asked: list[dict[str, object]] = []

    def train(*_: object, **settings: object) -> None:
        asked.append(settings)
        raise UsageError("far enough")

    monkeypatch.setattr(course, "train", train)
    command = ["train", "--data", str(data), "-o", str(tmp_path / "out"), "--distillation", "0.4"]
    first = make_model(tmp_path / "first")
    for flags in (["--teach-second-reader"], ["--teacher", str(first)]):
        assert main([*command, *flags]) == ExitCode.USAGE
    assert [bool(each["second_reader"]) for each in asked] == [True, False]
    assert [each["teachers"] for each in asked] == [[], [load_model_card(first)]]


def interrupt_before(number: int, seed: int) -> Callable[..., ImagePool]:
    def draw(bank: GlyphBank, count: int, pool_seed: int, workers: int) -> ImagePool:
        if pool_seed == seed + number:
            raise KeyboardInterrupt
        return few(bank, count, pool_seed, workers)

    return draw


@pytest.mark.slow
def test_an_interrupted_training_goes_on_after_its_last_pool(
    bank: GlyphBank, fit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(fit)
    whole, history = fit.train_network(bank, 33, plan, tmp_path / "whole")
    monkeypatch.setattr(fit, "draw_pool", interrupt_before(1, plan.seed))
    with pytest.raises(KeyboardInterrupt):
        fit.train_network(bank, 33, plan, tmp_path / "broken")
    before = json.loads((tmp_path / "broken" / "checkpoint.json").read_text())["history"]
    assert len(before) == 1
    seen: list[int] = []

    def watched(bank: GlyphBank, count: int, seed: int, workers: int) -> ImagePool:
        seen.append(seed)
        return few(bank, count, seed, workers)

    monkeypatch.setattr(fit, "draw_pool", watched)
    resumed, after = fit.train_network(bank, 33, plan, tmp_path / "broken")
    assert after[:1] == before, "the history is continued, not written anew"
    assert [row["pool"] for row in after] == [0, 1]
    assert seen == [plan.seed - 1, plan.seed + 1], "only validation and the missing pool"
    assert [row["loss"] for row in after] == pytest.approx(
        [row["loss"] for row in history], rel=0.02
    )
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert np.abs(one - other).max() < 0.05
    again, unchanged = fit.train_network(bank, 33, plan, tmp_path / "broken")
    assert unchanged == after
    for one, other in zip(again.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_a_checkpoint_of_another_plan_is_not_resumed(
    bank: GlyphBank, fit: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import keras

    from vin_batch.training import checkpoint

    plan = plan_of(fit, pools=1, mixed_precision=True)
    other = checkpoint.identity_of(bank, replace(plan, seed=4), None)
    text = json.dumps({**other, "history": [{"pool": 0}]})
    (tmp_path / "checkpoint.json").write_text(text)
    logging.getLogger("vin_batch").propagate = True
    with caplog.at_level(logging.WARNING, "vin_batch"):
        model, history = fit.train_network(bank, 33, plan, tmp_path)
    assert "of another training: starting anew" in caplog.text
    assert [row["images"] for row in history] == [history[0]["images"]]
    assert 200 < history[0]["images"] <= 256
    state = json.loads((tmp_path / "checkpoint.json").read_text())
    assert state == {**checkpoint.identity_of(bank, plan, None), "history": history}
    assert state["plan"] == asdict(plan)
    fewer = GlyphBank(bank.glyphs[1:], bank.labels[1:], bank.weights[1:])
    assert checkpoint.identity_of(fewer, plan, None)["glyphs"] != state["glyphs"], (
        "other data, other training"
    )
    assert keras.mixed_precision.global_policy().name == "float32"
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}, "what production loads"


def test_a_training_may_begin_with_the_weights_of_another(fit: ModuleType, tmp_path: Path) -> None:
    from vin_batch.training.network import build_network

    model = build_network(33)
    model.save(tmp_path / "start.keras")
    begun, fresh = fit._begin(33, tmp_path / "start.keras", NAME), fit._begin(33, None, NAME)
    pairs = zip(begun.get_weights(), fresh.get_weights(), model.get_weights(), strict=True)
    different = [not np.array_equal(two, three) for one, two, three in pairs]
    assert any(different)
    for one, other in zip(begun.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_a_start_with_other_classes_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = make_model(tmp_path / "digits", classes="0123456789")
    out = tmp_path / "out"
    code = main(["train", "--data", str(data), "-o", str(out), "--start", str(start)])
    assert code == ExitCode.USAGE
    assert "10 classes" in capsys.readouterr().err
    assert not out.exists()


def test_other_alphabets_are_calibrated_without_cards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vin_batch.training.network import build_network

    wide = ALPHABETS["alnum36"]
    write_pack(tmp_path / "data" / "train" / "sheets.npz", wide, copies=10)
    out = publish(build_network(36), tmp_path / "wide", wide)
    arguments = ["train", "--data", str(tmp_path / "data"), "-o", str(out), "--workers", "1"]
    assert main([*arguments, "--calibrate-only", "--cards", "5"]) == 0
    card = load_model_card(out)
    assert card.classes == wide
    assert card.policy.accept_confidence >= 1
    assert card.details["metrics"]["cards"] == {}
    assert card.details["metrics"]["characters"]["sheets"]["images"] == 36
    assert "sheets" in capsys.readouterr().out
    assert "| sheets | 36 |" in (out / "README.md").read_text("utf-8")


def test_data_that_cannot_be_calibrated_is_refused_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pack(tmp_path / "data" / "train" / "few.npz", ALPHABET[:-1], copies=10)
    out = tmp_path / "out"
    code = main(["train", "--data", str(tmp_path / "data"), "-o", str(out), "--workers", "1"])
    assert code == ExitCode.USAGE
    assert "no held-out image of Z" in capsys.readouterr().err
    assert not out.exists()
    assert not (tmp_path / ".out-work").exists()


def test_evaluation_packs_are_held_out_whole(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vin_batch.training import packs
    from vin_batch.training.course import load_data
    from vin_batch.training.held_out import require_held_out

    loaded = load_data(data, ALPHABET)
    assert [pack.name for pack in loaded.training] == ["forms", "sheets"]
    held = {pack.name: len(pack.labels) for pack in loaded.held_out}
    assert held == {"forms": 33, "sheets": 33, "letter_cards": 66}
    assert both_halves(loaded.held_out) == 132
    monkeypatch.setattr(packs, "label_errors", lambda: {"letter_cards": (0, 5)})
    assert both_halves(loaded.held_out) == 130, "wrong labels draw no cards"
    framed = [replace(pack, name="table_cells") for pack in loaded.held_out]
    with pytest.raises(UsageError, match="no held-out image of 0 1 2"):
        require_held_out(framed, ALPHABET)


def both_halves(packs: list[GlyphPack]) -> int:
    from vin_batch.training.held_out import held_out_bank

    halves: tuple[Half, ...] = ("calibration", "measurement")
    return sum(len(held_out_bank(packs, ALPHABET, half).glyphs) for half in halves)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--pools", "0"], "must be positive"),
        (["--cards", "0"], "1 or more"),
        (["--workers", "0"], "1 or more"),
        (
            ["--teacher", "{base}", "--teach-second-reader", "--distillation", "0.4"],
            "exclude each other",
        ),
        (["--config", "{base}/nowhere.toml"], "cannot read"),
        (["--config", "{base}/broken.toml"], "cannot read"),
        (["--config", "{base}/odd.toml"], "unknown keys in [train]: patience"),
        (["--data", "{base}"], "no glyph packs"),
    ],
)
def test_wrong_use(
    data: Path, tmp_path: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.toml").write_text("[train\n")
    (tmp_path / "odd.toml").write_text("[train]\npatience = 3\n")
    given = [flag.format(base=tmp_path) for flag in flags]
    code = main(["train", "--data", str(data), "-o", str(tmp_path / "out"), *given])
    assert code == ExitCode.USAGE
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
