"""Folders of images by class: names, parts, formats, files that are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from public_sources import upright, write_image
from vin_batch.errors import UsageError
from vin_batch.training.datasets import open_dataset
from vin_batch.training.datasets.folders import SIDE, class_of, into_square


@pytest.mark.parametrize(
    ("name", "character"),
    [
        ("A", "A"), ("z", "z"), ("7", "7"), ("upper_A", "A"), ("upper_a", "A"), ("a_lower", "a"),
        ("A_lower", "a"), ("lowercase-b", "b"), ("Capital B", "B"), ("digit_5", "5"),
        ("41", "A"), ("4a", "J"), ("4A", "J"), ("6B", "k"), ("30", "0"), ("39", "9"), ("7a", "z"),
        ("10", None), ("3a", None), ("5b", None), ("7f", None), ("Ä", None), ("train", None),
        ("upper", None), ("hsf_0", None), ("AB", None),
    ],
)  # fmt: skip
def test_names_of_class_folders(name: str, character: str | None) -> None:
    assert class_of(name) == character


def test_folders_in_every_format_and_polarity(tmp_path: Path) -> None:
    light = upright(8)
    for row, (place, end) in enumerate(
        [("upper_A", "png"), ("upper_A", "bmp"), ("lower_a", "tif"), ("42", "webp"),
         ("7", "PNG"), ("7/deeper", "png")]
    ):  # fmt: skip
        image = light[row] if row % 2 else 255 - light[row]
        write_image(tmp_path / place / f"{row}.{end.lower()}", image)
    (tmp_path / "7" / "notes.txt").write_text("no image")
    (tmp_path / "7" / ".hidden.png").write_bytes(b"x")
    (source,) = open_dataset(tmp_path)
    assert "".join(source.pack.labels) == "77AABa"
    assert source.pack.images.shape == (6, SIDE, SIDE)
    assert not source.unreadable
    edge = (SIDE - 28) // 2
    middle = source.pack.images[0, edge : edge + 28, edge : edge + 28]
    assert np.array_equal(middle, 255 - light[4])
    assert (source.pack.images[:, 0] == 255).all()


def test_broken_files_are_counted_not_fatal(tmp_path: Path) -> None:
    light = upright(5)
    whole = write_image(tmp_path / "A" / "1.png", light[0]).read_bytes()
    (tmp_path / "A" / "torn.png").write_bytes(whole[:40])
    (tmp_path / "A" / "empty.png").write_bytes(b"")
    (tmp_path / "A" / "text.jpg").write_text("hello")
    (tmp_path / "A" / "again.png").write_bytes(whole)
    (tmp_path / "B").mkdir()
    (tmp_path / "B" / "1.png").write_bytes(whole)
    (source,) = open_dataset(tmp_path)
    assert "".join(source.pack.labels) == "AB"
    assert sum(source.unreadable.values()) == 4
    assert source.unreadable["repeated"] == 1
    assert source.unreadable["empty_file"] == 1
    assert any("text.jpg" in note and "torn.png" in note for note in source.notes)


def test_nothing_but_broken_files(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "1.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="no readable images"):
        open_dataset(tmp_path)


def test_published_parts(tmp_path: Path) -> None:
    light = upright(6)
    write_image(tmp_path / "a" / "train" / "A" / "1.png", light[0])
    write_image(tmp_path / "a" / "test" / "A" / "1.png", light[1])
    (source,) = open_dataset(tmp_path / "a")
    assert source.pack.held_out.tolist() == [True, False]
    write_image(tmp_path / "nist" / "41" / "hsf_0" / "1.png", light[2])
    write_image(tmp_path / "nist" / "41" / "hsf_4" / "1.png", light[3])
    (source,) = open_dataset(tmp_path / "nist")
    assert source.pack.held_out.tolist() == [False, True]


def test_numbers_of_classes_are_refused(tmp_path: Path) -> None:
    for name in ("0", "1", "10", "11"):
        write_image(tmp_path / name / "1.png", upright(1)[0])
    with pytest.raises(UsageError, match="no character is named by: 10, 11") as caught:
        open_dataset(tmp_path)
    assert "41" in caught.value.advice


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = write_image(tmp_path / "1.png", upright(1)[0])
    with pytest.raises(UsageError, match="is a file"):
        open_dataset(path, "folders")


def test_large_images_are_cut_to_the_ink_before_they_shrink() -> None:
    page = np.full((128, 128), 255, np.uint8)
    page[40:90, 50:80] = 0
    square = into_square(page)
    assert (square < 128).sum() == 50 * 30, "the ink fits, so it keeps its size"
    page[10:120, 20:30] = 0
    square = into_square(page)
    rows = np.flatnonzero((square < 128).any(axis=1))
    assert rows[-1] - rows[0] + 1 == SIDE


@given(arrays(np.uint8, st.tuples(st.integers(1, 150), st.integers(1, 150))))
def test_any_image_fits_the_square(image: NDArray[np.uint8]) -> None:
    before = image.copy()
    square = into_square(image)
    assert square.shape == (SIDE, SIDE)
    assert square.dtype == np.uint8
    assert np.array_equal(image, before)
