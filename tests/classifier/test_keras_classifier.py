"""Answers depend on the image alone: not on the batch, the neighbours or the position."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tiny_model import publish, samples
from vin_batch.classifier import keras_classifier
from vin_batch.classifier.alphabets import ALPHABETS, restrict
from vin_batch.classifier.calibration import FLOOR, LOG_PROB_STEP
from vin_batch.classifier.keras_classifier import (
    CPU_BATCH,
    KerasClassifier,
    cut,
    open_classifier,
)
from vin_batch.classifier.model_card import CARD_NAME, ModelCard, load_model_card, sha256_of
from vin_batch.errors import ExitCode, LockedError, ModelError, NoGpuError, UsageError
from vin_batch.preprocess import PREPROCESSING
from vin_batch.vin.alphabet import ALPHABET

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> KerasClassifier:
    """The architecture that ships, untrained, with normalisation that is not the identity."""
    import keras

    from vin_batch.training.network import build_network

    keras.utils.set_random_seed(3)
    model = build_network(len(ALPHABET))
    rng = np.random.default_rng(0)
    weights = [w + 0.1 * rng.random(w.shape) * (w.ndim == 1) for w in model.get_weights()]
    model.set_weights(weights)
    directory = publish(model, tmp_path_factory.mktemp("network") / "six", ALPHABET)
    return open_classifier(load_model_card(directory), "cpu")


def random_pixels(count: int, seed: int = 0) -> Pixels:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    pixels[::7] = 0
    return pixels


def test_answers_are_log_probabilities_on_a_grid(network: KerasClassifier) -> None:
    answers = network.log_probs(random_pixels(40))
    assert answers.shape == (40, len(ALPHABET))
    assert answers.dtype == np.float32
    assert FLOOR <= answers.min() < answers.max() <= 0
    assert np.abs(np.logaddexp.reduce(answers, axis=1)).max() < 2 * LOG_PROB_STEP
    assert np.array_equal(np.rint(answers / LOG_PROB_STEP) * np.float32(LOG_PROB_STEP), answers)


@pytest.mark.parametrize("place", [0, 1, 99, CPU_BATCH - 1, CPU_BATCH, CPU_BATCH + 130])
def test_a_row_does_not_depend_on_its_place_or_its_neighbours(
    network: KerasClassifier, place: int
) -> None:
    pixels = random_pixels(2, 12345)
    alone = network.log_probs(pixels)[1]
    crowd = random_pixels(place + 5, place)
    crowd[place] = pixels[1]
    answers = network.log_probs(crowd)
    assert np.array_equal(answers[place], alone)
    assert not np.array_equal(answers[place - 1 if place else 1], alone)


@pytest.mark.parametrize(
    "count", [0, 1, CPU_BATCH - 1, CPU_BATCH, CPU_BATCH + 1, 2 * CPU_BATCH + 3]
)
def test_any_number_of_images(network: KerasClassifier, count: int) -> None:
    pixels = random_pixels(count)
    answers = network.log_probs(pixels)
    assert answers.shape == (count, len(ALPHABET))
    parts = [network.log_probs(pixels[start : start + 100]) for start in range(0, count, 100)]
    assert np.array_equal(answers, np.concatenate([answers[:0], *parts]))
    assert len({row.tobytes() for row in answers}) >= count // 2


def test_pixels_are_not_changed_and_may_be_a_view(network: KerasClassifier) -> None:
    pixels = random_pixels(20)
    before = pixels.copy()
    read_only = pixels[::2]
    read_only.flags.writeable = False
    assert np.array_equal(network.log_probs(read_only), network.log_probs(before[::2].copy()))
    assert np.array_equal(pixels, before)


def test_temperature_divides_the_logits(tiny_model: Path, tiny_classifier: KerasClassifier) -> None:
    card = load_model_card(tiny_model)
    pixels = samples(ALPHABET, 1)[0][:60]
    plain = tiny_classifier.log_probs(pixels).astype(np.float64)
    warm = open_classifier(replace(card, temperature=2.5), "cpu").log_probs(pixels)
    scaled = plain / 2.5
    scaled -= np.logaddexp.reduce(scaled, axis=1, keepdims=True)
    clear = plain > FLOOR + 0.1
    assert np.abs(warm - scaled)[clear].max() < 4 * LOG_PROB_STEP
    assert np.exp(warm).max() < np.exp(plain).max()


def test_the_tiny_model_reads_what_it_was_fitted_to(tiny_classifier: KerasClassifier) -> None:
    images, labels = samples(ALPHABET, 1)
    answers = tiny_classifier.log_probs(images).argmax(axis=1)
    assert (answers == labels).mean() > 0.9


def changed_card(tiny_model: Path, directory: Path, **fields: object) -> ModelCard:
    """The card of a copy whose ``model.json`` says something else."""
    directory.mkdir()
    raw = json.loads((tiny_model / CARD_NAME).read_text())
    (directory / raw["weights"]).write_bytes((tiny_model / raw["weights"]).read_bytes())
    (directory / CARD_NAME).write_text(json.dumps(raw | fields))
    return load_model_card(directory)


def test_a_model_of_another_preprocessing_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    other = PREPROCESSING | {"ink_side": 22}
    card = changed_card(tiny_model, tmp_path / "m", preprocessing=other)
    with pytest.raises(ModelError, match="another preprocessing") as caught:
        open_classifier(card)
    assert "'ink_side': 22" in caught.value.message
    assert caught.value.advice


def test_a_model_with_other_outputs_than_classes_is_refused(
    tiny_model: Path, tmp_path: Path
) -> None:
    card = changed_card(
        tiny_model, tmp_path / "m", classes=ALPHABETS["alnum36"], class_bias=[0.0] * 36
    )
    with pytest.raises(ModelError, match="33 outputs, the card names 36"):
        open_classifier(card, "cpu")


def test_the_class_bias_is_added_after_the_temperature(tiny_model: Path, tmp_path: Path) -> None:
    bias = np.linspace(-2, 2, len(ALPHABET)).tolist()
    temperature = 2.0
    plain = open_classifier(
        changed_card(tiny_model, tmp_path / "a", temperature=1.0, class_bias=[0.0] * 33), "cpu"
    )
    biased = open_classifier(
        changed_card(tiny_model, tmp_path / "b", temperature=temperature, class_bias=bias), "cpu"
    )
    pixels = np.random.default_rng(1).integers(0, 255, (20, 28, 28), np.uint8)
    scaled = plain.log_probs(pixels) / temperature + np.array(bias, np.float32)
    expected = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
    above = expected > -8
    assert biased.log_probs(pixels)[above] == pytest.approx(expected[above], abs=0.02)


@pytest.mark.parametrize("kind", ["text", "empty archive", "torn archive"])
def test_weights_that_are_no_model_are_refused(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "m.keras"
    if kind == "text":
        file.write_text("hello")
    elif kind == "empty archive":
        zipfile.ZipFile(file, "w").close()
    else:
        file.write_bytes((tiny_model / "network.keras").read_bytes()[:3000])
    card = replace(load_model_card(tiny_model), weights=file, sha256=sha256_of(file))
    with pytest.raises(ModelError, match="cannot load") as caught:
        open_classifier(card, "cpu")
    assert caught.value.exit_code == ExitCode.MODEL


def test_a_gpu_that_is_not_there_is_an_error_only_when_demanded(tiny_model: Path) -> None:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    card = load_model_card(tiny_model)
    with pytest.raises(NoGpuError, match="a GPU was demanded") as caught:
        open_classifier(card, "gpu")
    assert caught.value.exit_code == ExitCode.NO_GPU
    assert "--device cpu" in caught.value.advice
    assert open_classifier(card, "auto").device == "cpu"
    with pytest.raises(UsageError, match="tpu"):
        open_classifier(card, "tpu")


@given(st.integers(0, 40_000), st.sampled_from([(256,), (8192, 2048, 256), (16, 4)]))
def test_calls_cover_every_image_once_and_are_half_full(
    count: int, batches: tuple[int, ...]
) -> None:
    calls = list(cut(count, batches))
    rows = [row for where, _ in calls for row in range(where.start, where.stop)]
    assert rows == list(range(count))
    for where, size in calls:
        assert size in batches
        assert where.stop - where.start <= size
        assert 2 * (where.stop - where.start) >= size or size == batches[-1]


@pytest.mark.parametrize("count", [0, 3, 4, 9, 16, 59])
def test_several_batches_in_flight_give_the_same_answers(
    tiny_model: Path, tiny_classifier: KerasClassifier, count: int
) -> None:
    """The way of a GPU, with small batches on the processor."""
    import tensorflow as tf

    card = load_model_card(tiny_model)
    classifier = KerasClassifier(card, tf, (16, 4), on_gpu=False)
    pixels = random_pixels(count, 5)
    answers = classifier.log_probs(pixels)
    assert answers.shape == (count, len(ALPHABET))
    assert np.abs(answers - tiny_classifier.log_probs(pixels)).max(initial=0) <= LOG_PROB_STEP


def test_a_gpu_in_use_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise LockedError("GPU 0 is in use by another vin-batch (process 7)", "Wait for it.")

    monkeypatch.setattr(keras_classifier, "hold_gpu", refuse)
    assert keras_classifier._held([], "auto") == []
    assert keras_classifier._held(["GPU:0"], "auto") == []
    assert "in use by another vin-batch" in caplog.text
    with pytest.raises(LockedError):
        keras_classifier._held(["GPU:0"], "gpu")
    monkeypatch.setattr(keras_classifier, "hold_gpu", lambda: None)
    assert keras_classifier._held(["GPU:0"], "auto") == ["GPU:0"]


class FakeConfig:
    """TensorFlow's device settings, as they behave on a machine with two GPUs."""

    def __init__(self, used: bool) -> None:
        self.used = used
        self.visible = ["GPU:0", "GPU:1"]
        self.growing: list[str] = []
        self.experimental = SimpleNamespace(
            set_memory_growth=self._grow,
            enable_tensor_float_32_execution=lambda enabled: None,
        )

    def _forbid(self) -> None:
        if self.used:
            raise RuntimeError("devices cannot be modified after being initialized")

    def _grow(self, gpu: str, enable: bool) -> None:
        self._forbid()
        self.growing += [gpu] if enable else []

    def set_visible_devices(self, gpus: list[str], kind: str) -> None:
        assert kind == "GPU"
        if gpus != self.visible:
            self._forbid()
            self.visible = gpus

    def list_logical_devices(self, kind: str) -> list[str]:
        assert kind == "GPU"
        return self.visible


@pytest.mark.parametrize("used", [False, True])
def test_a_gpu_is_claimed_also_after_training_used_it(used: bool) -> None:
    config = FakeConfig(used)
    tf = SimpleNamespace(config=config)
    assert keras_classifier._claim(tf, ["GPU:0"]) is True
    assert config.growing == ([] if used else ["GPU:0"])
    assert keras_classifier._claim(tf, []) is used, "what computes is told, not what was wanted"


def test_restricting_keeps_order_and_renormalises(tiny_classifier: KerasClassifier) -> None:
    card = replace(tiny_classifier.card, classes=ALPHABETS["byclass62"])
    raw = np.random.default_rng(0).normal(size=(5, 62)).astype(np.float32)
    log_probs = raw - np.logaddexp.reduce(raw, axis=1, keepdims=True)
    kept = restrict(log_probs, card, "vin")
    assert kept.shape == (5, 33)
    assert np.abs(np.logaddexp.reduce(kept, axis=1)).max() < 1e-5
    places = [ALPHABETS["byclass62"].index(character) for character in ALPHABET]
    gap = kept - log_probs[:, places]
    assert np.abs(gap - gap[:, :1]).max() < 1e-5
    assert restrict(log_probs[:0], card, "alnum36").shape == (0, 36)
