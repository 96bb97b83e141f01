"""Near-duplicates: the same drawing in other clothes is found, another drawing is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glyph_packs import as_pack, drawn_glyphs
from public_sources import upright
from vin_batch.training.datasets import check_leaks, drop_leaks
from vin_batch.training.datasets.duplicates import (
    SAME_DRAWING,
    SAME_LINE,
    STRAIGHT,
    find_doubles,
)
from vin_batch.training.datasets.thumbnails import SIDE, Fingerprints, fingerprint
from vin_batch.training.packs import GlyphPack

TEXT = "2AKWS8"
COPIES = 5


@pytest.fixture(scope="module")
def drawn() -> tuple[NDArray[np.uint8], list[str]]:
    return drawn_glyphs(TEXT, COPIES, seed=11)


def padded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(image, ((9, 1), (2, 8)), constant_values=255)


def as_jpeg(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (61, 61), interpolation=cv2.INTER_CUBIC), np.uint8)


def faded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(255 - 0.7 * (255 - image.astype(np.float64)), np.uint8)


def in_pack(images: NDArray[np.uint8], labels: list[str], name: str = "train") -> GlyphPack:
    return as_pack(name, images, labels)


@pytest.mark.parametrize("change", [padded, as_jpeg, enlarged, faded])
def test_another_copy_of_a_drawing_is_found(
    drawn: tuple[NDArray[np.uint8], list[str]],
    change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> None:
    images, labels = drawn
    picked = [3, 11, 17, 25]
    asked = in_pack(np.stack([change(images[row]) for row in picked]), ["?"] * 4, "asked")
    report = check_leaks([in_pack(images, labels)], [asked])
    found = {leak.evaluation[1]: leak.training[1] for leak in report.leaks}
    assert [found.get(place) for place in range(4)] == picked
    assert report.in_training[0][picked].all()
    assert report.by_sources() == {("asked", "train"): 4}
    assert all(leak.exact == (change is padded) for leak in report.leaks)


def test_other_drawings_of_the_same_character_are_no_double(
    drawn: tuple[NDArray[np.uint8], list[str]],
) -> None:
    images, labels = drawn
    others, _ = drawn_glyphs(TEXT, COPIES, seed=12)
    report = check_leaks([in_pack(images, labels)], [in_pack(others, labels)])
    assert report.leaks == []
    assert not report.in_training[0].any()


def test_lines_are_alike_by_chance_and_need_more() -> None:
    stems = np.full((2, 40, 40), 255, np.uint8)
    stems[0, 5:35, 18:21] = 0
    stems[1, 5:35, 18:21] = 0
    stems[1, 5:9, 16:21] = 0
    prints = fingerprint(stems)
    assert (prints.straightness < STRAIGHT).all()
    likeness = float(prints.thumbnails[0] @ prints.thumbnails[1])
    assert SAME_DRAWING - 0.05 < likeness < SAME_LINE
    pack = in_pack(stems, ["1", "1"])
    assert not check_leaks([pack.where(np.array([True, False]))],
                           [pack.where(np.array([False, True]))]).leaks  # fmt: skip
    assert len(check_leaks([pack], [pack]).leaks) == 2


def test_doubles_are_dropped_from_training_alone(
    drawn: tuple[NDArray[np.uint8], list[str]],
) -> None:
    images, labels = drawn
    first, second = in_pack(images[:20], labels[:20], "a"), in_pack(images[20:], labels[20:], "b")
    asked = in_pack(np.stack([padded(images[4]), padded(images[22])]), ["A", "W"], "asked")
    kept = drop_leaks([first, second], [asked])
    assert [pack.name for pack in kept] == ["a", "b"]
    assert kept[0].rows.tolist() == [row for row in range(20) if row != 4]
    assert kept[1].rows.tolist() == [row for row in range(10) if row != 2]
    assert len(first.labels) == 20
    assert not check_leaks(kept, [asked]).leaks


def test_rows_lead_back_to_the_files(drawn: tuple[NDArray[np.uint8], list[str]]) -> None:
    images, labels = drawn
    pack = replace(in_pack(images, labels), held_out=np.arange(len(labels)) % 5 == 0)
    twin = np.concatenate([images[7:8], images[7:8]])
    report = check_leaks([pack.part(held_out=False)], [in_pack(twin, ["A", "A"], "twin")])
    assert {leak.training for leak in report.leaks} == {("train", 7)}
    assert [leak.labels for leak in report.leaks] == [("A", labels[7])] * 2


def test_blank_images_are_no_doubles() -> None:
    blank = np.full((3, 20, 20), 255, np.uint8)
    report = check_leaks([in_pack(blank, ["A"] * 3)], [in_pack(blank, ["A"] * 3)])
    assert not report.leaks


def test_nothing_to_compare() -> None:
    pack = in_pack(255 - upright(3), ["L"] * 3)
    empty = pack.where(np.zeros(3, bool))
    assert check_leaks([], [pack]).leaks == []
    assert check_leaks([empty, pack], [empty]).in_training[0].shape == (0,)
    assert drop_leaks([pack], [])[0].rows.tolist() == [0, 1, 2]


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60))
def test_the_coarse_comparison_misses_nothing(seed: int, asked: int, known: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(5, SIDE * SIDE))
    prints = []
    for count in (asked, known):
        drawn = base[rng.integers(0, 5, count)] + rng.normal(size=(count, SIDE * SIDE)) * 0.1
        drawn -= drawn.mean(axis=1, keepdims=True)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        straight = rng.choice([0.1, 0.9], count).astype(np.float32)
        prints.append(Fingerprints(drawn.astype(np.float32), straight, [b""] * count))
    rows, columns, _ = find_doubles(*prints)
    least = np.where(
        np.minimum.outer(prints[0].straightness, prints[1].straightness) < STRAIGHT,
        SAME_LINE, SAME_DRAWING,
    )  # fmt: skip
    plain = prints[0].thumbnails @ prints[1].thumbnails.T
    sure, perhaps = plain > least + 1e-5, plain > least - 1e-5
    found = np.zeros_like(sure)
    found[rows, columns] = True
    assert (found >= sure).all()
    assert (found <= perhaps).all()
