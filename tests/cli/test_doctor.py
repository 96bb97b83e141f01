"""Doctor says what is wrong and how it ends; its sheet shows crops from the whole archive."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from batch_fakes import make_model
from tiny_model import write_box
from vin_batch.classifier.keras_classifier import KerasClassifier
from vin_batch.classifier.model_card import CARD_NAME, default_model_directory
from vin_batch.cli import main
from vin_batch.commands import doctor
from vin_batch.errors import ExitCode
from vin_batch.report.contact_sheet import COLUMNS, TILE


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["doctor", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def readable_seed(tiny_classifier: KerasClassifier) -> int:
    """Seed of a card that the tiny model, nine in ten right, reads as a whole."""
    original = doctor.SELF_TEST_SEED
    try:
        for seed in range(60):
            doctor.SELF_TEST_SEED = seed
            written, read = doctor._self_test(tiny_classifier)
            if written == read:
                return seed
    finally:
        doctor.SELF_TEST_SEED = original
    raise AssertionError("the tiny model reads no card at all")


def test_a_sound_installation(
    tiny_model: Path, readable_seed: int, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(doctor, "SELF_TEST_SEED", readable_seed)
    code, out, _ = run(capsys, "--model", tiny_model, "--device", "cpu")
    assert code == 0, out
    lines = out.splitlines()
    gaps = [line for line in lines if not line.startswith("ok ")]
    assert len(gaps) == 2
    assert gaps[0].startswith("--    ")
    assert "LiteRT" in gaps[0]
    assert gaps[1].startswith("--    no second reader: model tiny has no second reader")
    assert gaps[1].endswith("train-second-reader --data DIR --model DIR.")
    words_of_a_run = "a run computes with tensorflow 2."
    for words in ("python 3.", "model tiny@", words_of_a_run, "device cpu", "end to end"):
        assert any(words in line for line in lines), words


def test_a_model_that_reads_badly(
    tiny_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_self_test", lambda _: ("XTA210700J2232670", "XTA2107OO"))
    code, out, _ = run(capsys, "--model", tiny_model, "--device", "cpu")
    assert code == ExitCode.MODEL
    assert "FAIL  the synthetic card XTA210700J2232670 was read as XTA2107OO" in out


def test_a_damaged_a_missing_and_a_foreign_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = make_model(tmp_path / "damaged")
    text = (damaged / CARD_NAME).read_text()
    (damaged / CARD_NAME).write_text(text.replace('"sha256": "', '"sha256": "0'))
    digits = make_model(tmp_path / "digits", classes="0123456789")
    for directory, words in (
        (damaged, "damaged or was swapped"),
        (tmp_path / "nowhere", "model.json is missing"),
        (digits, "not the 33 of a VIN"),
    ):
        code, out, err = run(capsys, "--model", directory)
        assert code == ExitCode.MODEL
        assert words in out.splitlines()[-2]
        assert out.splitlines()[-1].startswith("      ")
        assert len(out.splitlines()[-1].strip()) > 20
        assert "Traceback" not in err


def test_a_gpu_that_is_not_there(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    code, out, _ = run(capsys, "--model", tiny_model, "--device", "gpu")
    assert code == ExitCode.NO_GPU
    assert "FAIL  a GPU was demanded" in out


@pytest.mark.skipif(
    not (default_model_directory() / CARD_NAME).is_file(), reason="no default model here"
)
def test_the_model_that_ships_passes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--device", "cpu")
    assert code == 0, out


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five cards of 17 boxes, the last of them broken in every way."""
    root = tmp_path_factory.mktemp("archive")
    box = write_box(root / "box.png", "R").read_bytes()
    (root / "box.png").unlink()
    for card in range(5):
        for number in range(1, 18):
            path = root / f"card_{card}" / f"{number:02d}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(box if card < 4 else box[: 40 * (number - 1)])
    (root / "card_4" / "17.png").unlink()
    os.mkfifo(root / "card_4" / "17.png")
    return root


def sheet(path: Path) -> np.ndarray:
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.dtype == np.uint8
    return np.asarray(picture)


def test_a_sheet_of_a_whole_archive(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "sheet.png"
    code, out, _ = run(capsys, "--sheet", archive, "-o", target)
    assert code == 0
    assert out == f"{target}: 85 of 85 crops\n"
    picture = sheet(target)
    assert picture.shape == (5 * 2 * TILE, COLUMNS * TILE)
    assert np.array_equal(picture[: 2 * TILE], picture[2 * TILE : 4 * TILE])
    before, after = picture[:TILE, :TILE], picture[TILE : 2 * TILE, :TILE]
    assert np.median(before[5:50, 5:40]) > 200
    assert np.median(after) == 0
    assert after.max() == 255
    assert not np.array_equal(picture[8 * TILE :], picture[: 2 * TILE])


def test_a_small_sheet_shows_cards_from_all_over_the_archive() -> None:
    images = [Path(f"{number:03d}.png") for number in range(17 * 9 + 5)]
    chosen = doctor._spread(images, 17 * 5, 17)
    assert len(chosen) == 17 * 5
    rows = [int(path.stem) // 17 for path in chosen[::17]]
    assert rows == [0, 2, 4, 6, 8]
    assert doctor._spread(images, 10_000, 17) == images
    assert doctor._spread(images, 0, 17) == images[:17]
    assert doctor._spread(images[:3], 340, 17) == images[:3]


def test_a_sheet_of_nothing_or_to_nowhere(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "--sheet", tmp_path, "-o", tmp_path / "x.png")
    assert code == ExitCode.ARCHIVE
    assert "no images found" in err
    assert not (tmp_path / "x.png").exists()
    code, _, err = run(capsys, "--sheet", archive, "-o", tmp_path / "no" / "x.png")
    assert code == ExitCode.DISK
    assert "x.png" in err
