"""What comes out is the character, the same whatever paper, scanner and light did to it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from box_crops import (
    ROOMY,
    Grey,
    all_families,
    cut_to_ink,
    ink_of,
    overlap,
    plain_crop,
    read,
    scan,
    style,
    writer,
)
from vin_batch.preprocess import IMAGE_SIDE, preprocess_bytes, preprocess_image
from vin_batch.records import BoxIssue
from vin_batch.synthesis.scan import LEVELS, Level
from vin_batch.synthesis.writer import BoxShape
from vin_batch.vin.alphabet import ALPHABET


def kept_share(expected: Grey, crop: Grey) -> float:
    """Overlap of what a crop gives with what it should; 0 where it gives nothing."""
    image, issue = preprocess_image(crop)
    return overlap(expected, image) if issue is BoxIssue.NONE else 0.0


SIDES = st.one_of(st.integers(1, 12), st.integers(13, 90))


@st.composite
def crops(draw: st.DrawFn) -> Grey:
    """Any crop: noise, constants, blocks, few tones; any shape from 1x1."""
    shape = (draw(SIDES), draw(SIDES))
    if draw(st.booleans()):
        seed = draw(st.integers(0, 2**32 - 1))
        tones = np.array(draw(st.lists(st.integers(0, 255), min_size=1, max_size=4)), np.uint8)
        coarse = np.random.default_rng(seed).choice(tones, size=(draw(SIDES), draw(SIDES)))
        size = (shape[1], shape[0])
        return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    return draw(arrays(np.uint8, shape))


@given(crops())
def test_any_crop_gives_an_image_or_an_issue(crop: Grey) -> None:
    before = crop.copy()
    image, issue = preprocess_image(crop)
    assert image.shape == (IMAGE_SIDE, IMAGE_SIDE)
    assert image.dtype == np.uint8
    assert issue in {BoxIssue.NONE, BoxIssue.BLANK, BoxIssue.BLOT}
    assert image.any() == (issue is BoxIssue.NONE)
    assert np.array_equal(crop, before)
    again, same = preprocess_image(crop)
    assert same is issue
    assert np.array_equal(again, image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (5, 400), (6, 4000), (2000, 7)])
def test_extreme_proportions(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for crop in (np.full(shape, 200, np.uint8), rng.integers(0, 256, shape, dtype=np.uint8)):
        image, issue = preprocess_image(crop)
        assert image.shape == (IMAGE_SIDE, IMAGE_SIDE)
        assert issue is BoxIssue.BLOT or min(shape) >= 6


@pytest.mark.parametrize("level", LEVELS)
def test_ink_has_the_size_and_the_place_of_the_convention(level: Level) -> None:
    for seed, character in enumerate(ALPHABET):
        image = read(scan(ink_of(character), style(level, seed, line_share=0.0)))
        inked = image > 60
        rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
        sides = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert 19 <= max(sides) <= 20, character
        mass = image.astype(np.float64)
        centre = np.array([mass.sum(axis=axis) @ np.arange(IMAGE_SIDE) for axis in (1, 0)])
        assert np.abs(centre / mass.sum() - (IMAGE_SIDE - 1) / 2).max() <= 0.55, character
        assert image.max() == 255, "a full stroke is white"
        assert np.count_nonzero((image > 20) & (image < 235)) > 15, "grey edges, not steps"


@pytest.mark.parametrize("level", LEVELS)
def test_a_negative_copy_reads_as_the_original(level: Level) -> None:
    same = [
        overlap(read(crop), read(np.subtract(255, crop, dtype=np.uint8)))
        for seed, character in enumerate(ALPHABET)
        for crop in [scan(ink_of(character), style(level, seed, line_share=0.0))]
    ]
    assert min(same) > 0.5
    assert np.median(same) > 0.97


@pytest.mark.parametrize(
    ("level", "median", "worst_tenth"),
    [("clean", 0.97, 0.9), ("scan", 0.9, 0.7), ("hard", 0.7, 0.4)],
)
def test_a_printed_frame_leaves_the_character_as_it_is(
    level: Level, median: float, worst_tenth: float
) -> None:
    same = []
    for seed in range(4):
        for character in ALPHABET:
            scanner = style(level, 100 * seed + ord(character), line_share=0.0)
            framed = style(level, 100 * seed + ord(character), line_share=1.0)
            ink = ink_of(character, writer(pen=0.08 + 0.02 * seed))
            same.append(kept_share(read(scan(ink, scanner)), scan(ink, framed)))
    assert np.median(same) > median
    assert np.quantile(same, 0.1) > worst_tenth


@pytest.mark.parametrize("sides", [(0,), (1,), (2,), (3,), (0, 1), (0, 1, 2, 3)])
def test_straight_lines_of_any_side_are_removed(sides: tuple[int, ...]) -> None:
    for character in ALPHABET:
        crop = plain_crop(ink_of(character))
        framed = np.ascontiguousarray(crop)
        for side in sides:
            np.rot90(framed, side)[2:4] = 60
        assert overlap(read(crop), read(framed)) > 0.8, character


def test_a_frame_does_not_hide_that_the_box_is_blank() -> None:
    for seed in range(12):
        paper = np.zeros((64, 56), np.float32)
        framed = style("scan", seed, line_share=1.0, specks=0.0, line_gaps=0.0)
        assert preprocess_image(scan(paper, framed))[1] is BoxIssue.BLANK


@pytest.mark.parametrize("level", LEVELS)
def test_paper_without_ink_is_blank(level: Level) -> None:
    for seed in range(25):
        paper = scan(np.zeros((64, 56), np.float32), style(level, seed, line_share=0, specks=0))
        assert preprocess_image(paper)[1] is BoxIssue.BLANK
        negative = np.subtract(255, paper, dtype=np.uint8)
        assert preprocess_image(negative)[1] is BoxIssue.BLANK
    for tone in (0, 128, 255):
        assert preprocess_image(np.full((48, 48), tone, np.uint8))[1] is BoxIssue.BLANK


def test_a_few_specks_are_no_character() -> None:
    for seed in range(25):
        dirty = style("scan", seed, line_share=0.0, specks=2.0)
        assert preprocess_image(scan(np.zeros((72, 64), np.float32), dirty))[1] is BoxIssue.BLANK


@pytest.mark.parametrize("shape", ["disc", "square", "smudge"])
def test_a_filled_shape_is_a_blot(shape: str) -> None:
    ink = np.zeros((64, 56), np.float32)
    if shape == "disc":
        cv2.circle(ink, (28, 32), 15, 1.0, -1)
    elif shape == "square":
        ink[18:46, 14:42] = 1
    else:
        cv2.ellipse(ink, (28, 32), (13, 18), 25.0, 0.0, 360.0, 1.0, -1)
        ink = cv2.GaussianBlur(ink, (0, 0), 1.5).astype(np.float32)
    for level in LEVELS:
        crop = scan(ink, style(level, 3, line_share=0.0))
        assert preprocess_image(crop)[1] is BoxIssue.BLOT
    assert preprocess_image(plain_crop(ink, noise=2.0))[1] is BoxIssue.BLOT


def test_a_single_stroke_is_no_blot() -> None:
    for pen in (0.06, 0.1, 0.18):
        read(plain_crop(ink_of("1", writer(pen=pen))))


def shaded(crop: Grey, down: float, right: float) -> Grey:
    height, width = crop.shape
    shade = np.add.outer(np.linspace(0, down, height), np.linspace(0, right, width))
    return np.clip(np.rint(crop - shade), 0, 255).astype(np.uint8)


DAMAGES: dict[str, Callable[[Grey], Grey]] = {
    "light from the left": lambda crop: shaded(crop, 0, 60),
    "light from above": lambda crop: shaded(crop, 60, 0),
    "dark corner": lambda crop: shaded(crop, 40, 40),
    "low contrast": lambda crop: (150 + crop / 8).astype(np.uint8),
    "dark": lambda crop: (crop / 3).astype(np.uint8),
    "noise": lambda crop: np.clip(
        crop + np.random.default_rng(1).normal(0, 8, crop.shape), 0, 255
    ).astype(np.uint8),
    "blur": lambda crop: cv2.GaussianBlur(crop, (0, 0), 1.2).astype(np.uint8),
    "jpeg": lambda crop: np.asarray(
        cv2.imdecode(
            cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE
        ),
        np.uint8,
    ),
    "300 dpi": lambda crop: cv2.resize(crop, None, fx=3, fy=3).astype(np.uint8),
    "100 dpi": lambda crop: cv2.resize(
        crop, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA
    ).astype(np.uint8),
    "off centre": lambda crop: cv2.copyMakeBorder(crop, 0, 20, 16, 0, cv2.BORDER_REPLICATE).astype(
        np.uint8
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_light_noise_and_size_leave_the_character_as_it_is(damage: str) -> None:
    same = []
    for character in ALPHABET:
        crop = plain_crop(ink_of(character), tone=110)
        same.append(overlap(read(crop), read(DAMAGES[damage](crop))))
    assert min(same) > 0.55
    assert np.median(same) > 0.75


@pytest.mark.parametrize(("side", "median"), [(16, 0.6), (20, 0.66), (28, 0.72)])
def test_tiny_crops_are_read_too(side: int, median: float) -> None:
    same = []
    for character in ALPHABET:
        crop = plain_crop(ink_of(character))
        scale = side / max(crop.shape)
        tiny = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        same.append(kept_share(read(crop), np.asarray(tiny, np.uint8)))
    assert np.median(same) > median


@pytest.mark.parametrize(("height", "pen"), [(0.3, 0.12), (0.85, 0.1), (0.6, 0.05), (0.6, 0.2)])
def test_small_large_thin_and_thick_writing(height: float, pen: float) -> None:
    unusual = writer(pen=pen, height=height)
    same = [
        overlap(read(plain_crop(ink_of(character))), read(plain_crop(ink_of(character, unusual))))
        for character in ALPHABET
    ]
    assert np.median(same) > 0.55


def test_dirt_beside_the_character_is_dropped() -> None:
    for character in ALPHABET:
        crop = plain_crop(ink_of(character, box=BoxShape(80, 80)))
        dirty = crop.copy()
        for y, x in ((6, 40), (74, 70), (40, 4)):
            dirty[y : y + 2, x : x + 2] = 50
        assert overlap(read(crop), read(dirty)) > 0.8, character


@pytest.mark.parametrize("level", ["clean", "scan"])
@pytest.mark.parametrize(
    ("characters", "margin", "limit"),
    [
        ("ETDZ7L", 0, 0.06),
        ("ETDZ7L", 3, 0.11),
        ("ETDZ7L", 12, 0.01),
        ("0368ABCGSNMKRWXY", 0, 0.08),
        ("0368ABCGSNMKRWXY", 3, 0.05),
        ("0368ABCGSNMKRWXY", 12, 0.01),
    ],
)
def test_strokes_at_the_edge_of_an_unframed_crop_are_not_eaten(
    characters: str, margin: int, limit: float, level: Level
) -> None:
    """Shares as measured: a bar along the edge can look exactly like a printed line."""
    same = []
    for number, family in enumerate(all_families()):
        scanner = style(level, number, line_share=0.0, specks=0.0)
        for character in characters:
            ink = ink_of(character, writer(family), ROOMY)
            same.append(
                kept_share(read(scan(ink, scanner)), scan(cut_to_ink(ink, margin), scanner))
            )
    assert np.mean(np.array(same) < 0.6) <= limit


def test_bytes_and_pixels_go_the_same_way() -> None:
    crop = plain_crop(ink_of("R"))
    image, issue = preprocess_bytes(cv2.imencode(".png", crop)[1].tobytes())
    assert issue is BoxIssue.NONE
    assert np.array_equal(image, read(crop))


@pytest.mark.parametrize(
    ("data", "issue"),
    [(b"", BoxIssue.EMPTY_FILE), (b"torn", BoxIssue.UNDECODABLE)],
)
def test_files_without_pixels_give_zeros_and_their_issue(data: bytes, issue: BoxIssue) -> None:
    image, found = preprocess_bytes(data)
    assert found is issue
    assert image.shape == (IMAGE_SIDE, IMAGE_SIDE)
    assert not image.any()
