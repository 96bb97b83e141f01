"""The exported network: the same answers in any batch, near those of the reference."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vin_batch.classifier.artefact import find_artefact, require_artefact
from vin_batch.classifier.calibration import FLOOR, LOG_PROB_STEP
from vin_batch.classifier.choice import open_chosen
from vin_batch.classifier.litert_classifier import (
    LitertNetwork,
    litert_is_installed,
    open_litert,
    open_network,
)
from vin_batch.classifier.model_card import (
    ModelCard,
    default_model_directory,
    load_model_card,
)
from vin_batch.errors import ModelError
from vin_batch.vin.alphabet import ALPHABET

pytestmark = pytest.mark.skipif(not litert_is_installed(), reason="vin_batch[cpu] is not here")


@pytest.fixture(scope="module")
def card() -> ModelCard:
    card = load_model_card(default_model_directory())
    if find_artefact(card) is None:
        pytest.skip("the default model has no exported network")
    return card


@pytest.fixture(scope="module")
def network(card: ModelCard) -> LitertNetwork:
    return LitertNetwork(require_artefact(card))


def random_pixels(count: int, seed: int) -> NDArray[np.uint8]:
    """Strokes and noise: everything that a network could disagree with itself about."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    pixels[::3] = np.where(pixels[::3] > 200, 255, 0)
    pixels[::7] = 0
    return pixels


def test_rows_do_not_depend_on_batch_place_or_threads(
    card: ModelCard, network: LitertNetwork
) -> None:
    pixels = random_pixels(150, 1)
    whole = network.log_probs(pixels)
    assert whole.shape == (150, len(ALPHABET))
    assert FLOOR <= whole.min() < whole.max() <= 0
    assert np.array_equal(np.rint(whole / LOG_PROB_STEP) * np.float32(LOG_PROB_STEP), whole)
    rng = np.random.default_rng(2)
    for size in (1, 17, 63, 64, 65):
        rows = rng.choice(len(pixels), size, replace=False)
        assert np.array_equal(network.log_probs(pixels[rows]), whole[rows]), size
    assert np.array_equal(open_litert(card, threads=2).log_probs(pixels), whole)
    assert network.log_probs(pixels[:0]).shape == (0, len(ALPHABET))


def test_pixels_may_be_a_read_only_view(network: LitertNetwork) -> None:
    pixels = random_pixels(20, 3)
    view = pixels[::2]
    view.flags.writeable = False
    assert np.array_equal(network.log_probs(view), network.log_probs(pixels[::2].copy()))


def test_a_worker_loads_a_network_once(card: ModelCard) -> None:
    artefact = require_artefact(card)
    assert open_network(artefact) is open_network(replace(artefact))


def test_what_is_no_such_network_is_refused(
    card: ModelCard, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    artefact = require_artefact(card)
    other = tmp_path / "other.tflite"
    other.write_bytes(b"no network at all" * 99)
    with pytest.raises(ModelError, match="digest"):
        LitertNetwork(replace(artefact, path=other))
    digest = sha256(other.read_bytes()).hexdigest()
    with pytest.raises(ModelError, match="cannot load"):
        LitertNetwork(replace(artefact, path=other, sha256=digest))
    fewer = replace(artefact.calibration, class_bias=artefact.calibration.class_bias[:5])
    with pytest.raises(ModelError, match="does not fit 5 classes"):
        LitertNetwork(replace(artefact, calibration=fewer))
    with pytest.raises(ModelError, match="another preprocessing"):
        open_litert(replace(card, preprocessing={}))
    capfd.readouterr()
    LitertNetwork(artefact)
    assert capfd.readouterr().err == "", "greetings are not for the log"


def test_in_process_it_stands_behind_the_same_door(card: ModelCard) -> None:
    classifier = open_chosen(card, "cpu", "litert")
    assert (classifier.card, classifier.device) == (card, "cpu")
