from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from second_fakes import plain_calibration
from tiny_model import drawn_box
from vin_batch.classifier.model_card import sha256_of
from vin_batch.errors import ExitCode, ModelError
from vin_batch.second_reader import recogniser
from vin_batch.second_reader.canvas import canvas_from_crop
from vin_batch.second_reader.evidence import second_log_probs
from vin_batch.second_reader.recogniser import (
    BATCH,
    FLOOR,
    SYMBOLS,
    find_recogniser,
    find_weights,
    open_recogniser,
)
from vin_batch.vin.alphabet import ALPHABET

needs_extra = pytest.mark.skipif(
    find_spec("rapidocr") is None or find_spec("onnxruntime") is None,
    reason="the extra [second-reader] is not installed",
)


@pytest.fixture
def empty_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package without any weights."""
    (tmp_path / "fakeocr" / "models").mkdir(parents=True)
    (tmp_path / "fakeocr" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(recogniser, "PACKAGE", "fakeocr")
    monkeypatch.setattr(recogniser, "ENGINE", "json")
    return tmp_path / "fakeocr" / "models"


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recogniser, "PACKAGE", "no_such_package")
    for find in (find_recogniser, lambda: find_weights("0" * 64)):
        with pytest.raises(ModelError, match="no_such_package") as caught:
            find()
        assert "pip install 'vin_batch[second-reader]'" in caught.value.advice
        assert caught.value.exit_code == ExitCode.MODEL


def test_weights_are_found_by_digest_whatever_their_name(empty_package: Path) -> None:
    (empty_package / "other.onnx").write_bytes(b"other")
    wanted = empty_package / "deeper" / "renamed.onnx"
    wanted.parent.mkdir()
    wanted.write_bytes(b"wanted")
    assert find_weights(sha256_of(wanted)) == wanted


def test_unknown_weights_are_refused(empty_package: Path) -> None:
    (empty_package / "other.onnx").write_bytes(b"other")
    with pytest.raises(ModelError, match="belongs to other weights") as caught:
        find_weights("ab" * 32)
    assert "abababababab" in caught.value.message


def test_swapped_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file.onnx").write_bytes(b"swapped")
    with pytest.raises(ModelError, match="not the file that was checked"):
        open_recogniser(tmp_path / "file.onnx", "0" * 64)
    with pytest.raises(ModelError, match="cannot read"):
        open_recogniser(tmp_path / "nowhere.onnx", "0" * 64)


@needs_extra
def test_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.onnx"
    file.write_bytes(b"no network")
    with pytest.raises(ModelError, match="cannot load"):
        open_recogniser(file, sha256_of(file))


@pytest.fixture(scope="module")
def canvases() -> NDArray[np.uint8]:
    return np.stack([canvas_from_crop(drawn_box(character, 3)) for character in ALPHABET])


@pytest.fixture(scope="module")
def scores(canvases: NDArray[np.uint8]) -> NDArray[np.float32]:
    path = find_recogniser()
    return open_recogniser(path, sha256_of(path)).scores(canvases)


@needs_extra
def test_drawn_characters_are_read(scores: NDArray[np.float32]) -> None:
    assert scores.shape == (len(ALPHABET), len(SYMBOLS))
    assert scores.dtype == np.float32
    assert FLOOR <= scores.min() <= scores.max() <= 0.01
    best = second_log_probs(scores, plain_calibration()).argmax(axis=1)
    assert (best == np.arange(len(ALPHABET))).mean() > 0.7


@needs_extra
def test_a_score_depends_on_its_own_canvas_only(
    canvases: NDArray[np.uint8], scores: NDArray[np.float32]
) -> None:
    path = find_recogniser()
    reader = open_recogniser(path, sha256_of(path))
    order = np.random.default_rng(1).permutation(len(canvases))
    assert np.array_equal(reader.scores(canvases[order]), scores[order])
    assert np.array_equal(reader.scores(canvases[: BATCH - 1]), scores[: BATCH - 1])
    assert reader.scores(canvases[:0]).shape == (0, len(SYMBOLS))


@needs_extra
def test_recogniser_is_found_under_another_name(
    empty_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recogniser, "ENGINE", "onnxruntime")
    monkeypatch.setattr(recogniser, "PACKAGE", "rapidocr")
    real = find_recogniser()
    monkeypatch.setattr(recogniser, "PACKAGE", "fakeocr")
    with pytest.raises(ModelError, match="holds: none"):
        find_recogniser()
    shutil.copyfile(real, empty_package / "renamed.onnx")
    assert find_recogniser() == empty_package / "renamed.onnx"
    shutil.copyfile(real, empty_package / "twin.onnx")
    with pytest.raises(ModelError, match=r"renamed\.onnx, twin\.onnx"):
        find_recogniser()
