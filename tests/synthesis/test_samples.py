"""The sample cards of the project are what the program draws, and show every difficulty."""

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from vin_batch.errors import UsageError
from vin_batch.synthesis.samples import SAMPLES, write_samples

PROJECT = Path(__file__).parents[2]
COMMITTED = PROJECT / "sample_cards"
IMAGE_SUFFIXES = {".png", ".jpg", ".tif", ".bmp", ".webp"}
GREY_TOLERANCE = 1.5
"""Mean difference in grey levels that other versions of OpenCV or FreeType may cause; a
character drawn with another seed differs by more than 5."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("samples")
    write_samples(out)
    return out


def rows() -> dict[str, dict[str, str]]:
    with (COMMITTED / "truth.csv").open(newline="", encoding="utf-8") as file:
        return {row["note"]: row for row in csv.DictReader(file)}


def files(root: Path) -> list[Path]:
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path for path in found if path.name not in {"README.md", "truth.csv"})


def folder(note: str) -> Path:
    matches = [row["card_id"] for full, row in rows().items() if note in full]
    assert matches, note
    return COMMITTED / matches[0]


def decode(path: Path) -> np.ndarray | None:
    data = np.fromfile(path, np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None


def test_drawing_again_gives_the_same_truth_and_files(drawn: Path) -> None:
    assert (drawn / "truth.csv").read_bytes() == (COMMITTED / "truth.csv").read_bytes()
    assert files(drawn) == files(COMMITTED)


def test_drawing_again_gives_the_same_pixels(drawn: Path) -> None:
    compared = 0
    for path in files(drawn):
        if path.suffix not in IMAGE_SUFFIXES:
            assert (drawn / path).read_bytes() == (COMMITTED / path).read_bytes()
            continue
        new, old = decode(drawn / path), decode(COMMITTED / path)
        if old is None or new is None:
            assert old is new, path
            continue
        assert new.shape == old.shape
        assert new.dtype == old.dtype
        step = 257 if new.dtype == np.uint16 else 1
        difference = np.abs(new.astype(float) - old.astype(float)).mean() / step
        assert difference < GREY_TOLERANCE, path
        compared += 1
    assert compared > 17 * 26


def test_pixels_of_another_seed_would_not_pass(drawn: Path) -> None:
    # Two different cards of one level are far apart, so the tolerance above means something.
    one = decode(folder("scan: Soviet") / "01.png")
    other = decode(folder("scan: CIS") / "01.png")
    assert one is not None
    assert other is not None
    other = cv2.resize(other, one.shape[::-1])
    assert np.abs(one.astype(float) - other.astype(float)).mean() > 5


def test_every_difficulty_is_there() -> None:
    assert not (folder("box 7 missing") / "07.png").exists()
    torn = folder("torn JPEG") / "box_11.jpg"
    assert torn.stat().st_size > 100
    assert decode(torn) is None
    assert (folder("empty file") / "04.png").stat().st_size == 0
    blank = decode(folder("left blank") / "13.png")
    assert blank is not None
    inner = blank[12:-12, 12:-12].astype(float)
    assert inner.std() < 8
    assert (folder("18th image") / "18.png").is_file()
    assert not folder("Cyrillic").relative_to(COMMITTED).as_posix().isascii()
    inverted = decode(folder("inverted ink") / "01.png")
    assert inverted is not None
    assert np.median(inverted) < 100
    deep = decode(folder("16-bit") / "01.png")
    assert deep is not None
    assert deep.dtype == np.uint16
    alpha = decode(folder("alpha") / "01.png")
    assert alpha is not None
    assert alpha.shape[2] == 4
    assert {path.name for path in folder("from 0.png").iterdir()} == {
        f"{number}.png" for number in range(17)
    }
    assert (folder("no VIN") / "box_1.jpg").is_file()


def test_truth_is_complete() -> None:
    assert len(rows()) == len(SAMPLES) >= 24
    assert {row["card_id"] for row in rows().values()} == {s.card_id for s in SAMPLES}
    for note, row in rows().items():
        assert (COMMITTED / row["card_id"]).is_dir()
        assert len(row["vin"]) == (0 if "no VIN" in note else 17)


def test_the_folder_is_small() -> None:
    size = sum(path.stat().st_size for path in COMMITTED.rglob("*") if path.is_file())
    assert size < 1_500_000


def test_redraws_in_place_but_never_over_something_else(drawn: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(drawn, copy)
    (copy / SAMPLES[0].card_id / "03.png").write_bytes(b"scribble")
    (copy / "README.md").write_text("kept")
    write_samples(copy)
    restored = (copy / SAMPLES[0].card_id / "03.png").read_bytes()
    assert restored == (drawn / SAMPLES[0].card_id / "03.png").read_bytes()
    assert (copy / "README.md").read_text() == "kept"
    other = tmp_path / "other"
    other.mkdir()
    (other / "truth.csv").write_text("somebody else's\n")
    with pytest.raises(UsageError, match="not empty"):
        write_samples(other)
