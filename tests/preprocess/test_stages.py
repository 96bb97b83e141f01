"""The stages between decoding and the 28x28 image, each for itself."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from box_crops import cut_to_ink, ink_of, overlap, plain_crop, read, with_frame, writer
from vin_batch.preprocess.centre import IMAGE_SIDE, INK_SIDE, centre_ink
from vin_batch.preprocess.ink import is_light_on_dark, light_minority, map_ink
from vin_batch.preprocess.strokes import MIN_CONTRAST, select_strokes
from vin_batch.records import BoxIssue

Grey = NDArray[np.uint8]


def page(noise: float = 0.0, slope: float = 0.0, paper: float = 200) -> NDArray[np.float64]:
    """Paper ``[64, 56]`` without ink."""
    grain = np.random.default_rng(2).normal(0, 1, (64, 56)) * noise
    return paper + grain + np.linspace(-slope / 2, slope / 2, 56)[None, :]


def written(paper: NDArray[np.float64], depth: float = 120) -> Grey:
    inked = paper.copy()
    inked[16:48, 26:30] -= depth
    inked[16:20, 18:38] -= depth * (inked[16:20, 18:38] > 150)
    return np.clip(np.rint(inked), 0, 255).astype(np.uint8)


STROKE = np.zeros((64, 56), bool)
STROKE[16:48, 26:30] = STROKE[16:20, 18:38] = True


@pytest.mark.parametrize("slope", [0, 40])
@pytest.mark.parametrize("inverted", [False, True])
def test_ink_strength_is_how_much_darker_than_paper(inverted: bool, slope: float) -> None:
    crop = written(page(slope=slope))
    found = map_ink(np.subtract(255, crop, dtype=np.uint8) if inverted else crop).strength
    assert found.shape == crop.shape
    assert abs(float(np.median(found[17:47, 27:29])) - 120) < 15
    near = cv2.dilate(STROKE.astype(np.uint8), np.ones((7, 7))).astype(bool)
    assert np.quantile(found[~near], 0.95) < 12


@pytest.mark.parametrize("noise", [2.0, 5.0, 10.0])
def test_noise_is_estimated_as_it_is_left_after_smoothing(noise: float) -> None:
    left = 0.375 * noise
    assert 0.7 * left < map_ink(written(page(noise))).noise < 1.4 * left
    assert map_ink(written(page(noise))).unevenness >= map_ink(written(page(noise))).noise


def test_even_paper_has_no_noise_and_no_ink() -> None:
    ink = map_ink(np.full((48, 48), 222, np.uint8))
    assert ink.noise <= 1
    assert not ink.strength.any()


def strength(*patches: tuple[int, int, int, int, int]) -> Grey:
    """An ink map of rectangles ``(top, bottom, left, right, tone)``."""
    ink = np.zeros((64, 56), np.uint8)
    for top, bottom, left, right, tone in patches:
        ink[top:bottom, left:right] = tone
    return ink


CHARACTER = (16, 48, 26, 30, 150), (16, 20, 18, 38, 150)


def selected(*patches: tuple[int, int, int, int, int]) -> Grey:
    cover = select_strokes(strength(*patches), 1.0)
    assert not isinstance(cover, BoxIssue)
    return cover


def test_strokes_are_cut_to_their_box_at_full_cover() -> None:
    cover = selected(*CHARACTER)
    assert cover.shape == (32, 20)
    assert set(np.unique(cover)) == {0, 255}


def test_faint_and_small_ink_is_blank() -> None:
    weak = int(MIN_CONTRAST) - 1
    faint = [(*patch[:4], weak) for patch in CHARACTER]
    assert select_strokes(strength(*faint), 0.5) is BoxIssue.BLANK
    noisy = [(*patch[:4], 36) for patch in CHARACTER]
    assert select_strokes(strength(*noisy), 10.0) is BoxIssue.BLANK
    assert select_strokes(strength((30, 34, 30, 34, 200)), 1.0) is BoxIssue.BLANK
    assert select_strokes(strength(), 0.0) is BoxIssue.BLANK


def test_compact_ink_is_a_blot_and_a_stroke_is_not() -> None:
    assert select_strokes(strength((20, 44, 16, 40, 200)), 1.0) is BoxIssue.BLOT
    assert selected((10, 54, 24, 32, 200)).shape == (44, 8)


def test_specks_go_and_broken_strokes_stay() -> None:
    assert selected(*CHARACTER, (40, 42, 46, 48, 150)).shape == (32, 20)
    broken = selected((16, 30, 26, 30, 150), (33, 48, 26, 30, 150))
    assert broken.shape == (32, 4)
    fragment = selected(*CHARACTER, (51, 53, 27, 29, 150))
    assert fragment.shape == (37, 20)


def test_remnants_of_the_frame_in_the_margin_go() -> None:
    assert selected(*CHARACTER, (0, 4, 0, 56, 150)).shape == (32, 20)
    assert selected(*CHARACTER, (0, 64, 52, 56, 150)).shape == (32, 20)


@given(
    st.tuples(st.integers(6, 64), st.integers(6, 64)).flatmap(lambda s: arrays(np.uint8, s)),
    st.floats(0, 60),
)
def test_any_ink_map_gives_cover_or_an_issue(ink: Grey, noise: float) -> None:
    cover = select_strokes(ink, noise)
    if isinstance(cover, BoxIssue):
        assert cover in {BoxIssue.BLANK, BoxIssue.BLOT}
    else:
        rows, columns = np.nonzero(cover)
        assert (rows.min(), columns.min()) == (0, 0)
        assert (rows.max() + 1, columns.max() + 1) == cover.shape


@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)).flatmap(
        lambda s: arrays(np.uint8, s, elements=st.sampled_from((0, 120, 255)))
    )
)
def test_any_cover_is_placed_in_the_field(cover: Grey) -> None:
    image = centre_ink(cover)
    assert image.shape == (IMAGE_SIDE, IMAGE_SIDE)
    assert image.dtype == np.uint8
    if cover.any():
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 <= INK_SIDE


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (10, 8), (64, 64), (20, 20)])
def test_the_longest_side_becomes_20_pixels(shape: tuple[int, int]) -> None:
    rows, columns = np.nonzero(centre_ink(np.full(shape, 255, np.uint8)))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert max(height, width) == INK_SIDE
    assert abs(height / width - shape[0] / shape[1]) < 0.06


def test_the_centre_of_mass_goes_to_the_middle_as_far_as_the_field_allows() -> None:
    cover = np.zeros((40, 40), np.uint8)
    cover[:, :8] = 255
    cover[30:] = 255
    moments = cv2.moments(centre_ink(cover))
    centre = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    assert np.abs(np.array(centre) - 13.5).max() <= 0.5
    heavy_end = np.zeros((40, 40), np.uint8)
    heavy_end[:, 38:] = 255
    heavy_end[0, :] = 255
    image = centre_ink(heavy_end)
    assert image[:, 0].any() or image[:, :8].any()
    assert np.count_nonzero(image.any(axis=0)) == INK_SIDE


def test_a_hair_line_is_thickened_and_a_normal_stroke_is_not() -> None:
    hair = np.zeros((64, 64), np.uint8)
    cv2.line(hair, (0, 0), (63, 63), (255,), 1)
    normal = np.zeros((64, 64), np.uint8)
    cv2.line(normal, (0, 0), (63, 63), (255,), 8)
    assert (centre_ink(hair) > 128).sum() > 1.3 * INK_SIDE
    expected = cv2.resize(normal, (INK_SIDE, INK_SIDE), interpolation=cv2.INTER_AREA)
    assert abs(float(centre_ink(normal).sum()) / float(expected.sum()) - 1) < 0.05


def test_faint_cover_is_brought_to_white() -> None:
    cover = np.zeros((40, 40), np.uint8)
    cover[:, 16:24] = cover[16:24] = 90
    assert centre_ink(cover).max() == 255


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("depth", [4, 6, 7])
@pytest.mark.parametrize("character", ["2", "8", "A", "H"])
def test_a_thick_frame_does_not_turn_ink_into_paper(
    character: str, depth: int, inverted: bool
) -> None:
    """Frame and ink together are the darker half of such a crop."""
    crop = plain_crop(ink_of(character, writer(pen=0.16)))
    framed = with_frame(crop, depth)
    if inverted:
        crop, framed = (np.subtract(255, each, dtype=np.uint8) for each in (crop, framed))
    assert is_light_on_dark(framed) == inverted
    assert overlap(read(framed), read(crop)) > 0.7


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("character", ["1", "8", "B", "M"])
def test_a_bold_character_is_no_paper_in_a_frame(character: str, inverted: bool) -> None:
    """Cut to its ink it covers most of the crop, and reaches the edge."""
    ink = cut_to_ink(ink_of(character, writer(pen=0.2)), margin=1)
    crop = plain_crop(ink)
    if inverted:
        crop = np.subtract(255, crop, dtype=np.uint8)
    assert is_light_on_dark(crop) == light_minority(crop)
