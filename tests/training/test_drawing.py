"""Pools and cards: reproducible, weighted as said, through the production preprocessing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from glyph_packs import as_pack, drawn_glyphs
from tiny_model import Grey
from vin_batch.preprocess import preprocess_image
from vin_batch.records import BoxIssue
from vin_batch.synthesis.scan import LEVELS
from vin_batch.training import pool as pool_module
from vin_batch.training.cards import CARDS_PER_TASK, draw_cards
from vin_batch.training.draw import (
    BOX_SIDES,
    Hand,
    draw_level,
    draw_training_box,
    place_in_box,
    write_glyph,
)
from vin_batch.training.packs import GlyphPack, ink_mask
from vin_batch.training.pool import SOURCE_WEIGHTS, GlyphBank, build_bank, draw_pool
from vin_batch.training.typeface_pack import typeface_pack
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH


def pack(name: str, labels: str, seed: int = 0) -> GlyphPack:
    """One drawn glyph for each of ``labels``."""
    characters = sorted(set(labels))
    images, drawn = drawn_glyphs("".join(characters), 1, seed)
    chosen = [drawn.index(character) for character in labels]
    return as_pack(name, images[chosen], labels)


@pytest.fixture(scope="module")
def bank() -> GlyphBank:
    images, labels = drawn_glyphs(ALPHABET, 4, 0)
    return build_bank([as_pack("sheets", images, labels)], ALPHABET)


def class_weights(
    packs: list[GlyphPack], alphabet: str, source_weights: dict[str, float] = SOURCE_WEIGHTS
) -> list[float]:
    built = build_bank(packs, alphabet, source_weights)
    assert built.weights.sum() == pytest.approx(1)
    return [float(built.weights[built.labels == n].sum()) for n in range(len(alphabet))]


def test_classes_count_by_the_square_root_of_their_size() -> None:
    weights = class_weights([pack("sheets", "A" * 64 + "B" * 16 + "C" * 4)], "ABC")
    assert weights == pytest.approx([8 / 14, 4 / 14, 2 / 14])


def test_sources_that_are_not_pen_on_paper_count_less() -> None:
    mouse, sheets = pack("mouse_capitals_a", "A" * 10), pack("sheets", "A" * 10)
    built = build_bank([mouse, sheets], "A")
    assert built.weights[:10].sum() / built.weights[10:].sum() == pytest.approx(0.3)
    turned = build_bank([mouse, sheets], "A", {"mouse_capitals_a": 3.0})
    assert turned.weights[:10].sum() / turned.weights[10:].sum() == pytest.approx(3.0)


def test_a_class_without_glyphs_has_no_weight() -> None:
    weights = class_weights([pack("sheets", "AAC")], "ABC")
    assert weights[1] == 0
    assert min(weights[0], weights[2]) > 0.3


def test_images_without_ink_are_not_gathered() -> None:
    whole = pack("sheets", "AB")
    empty = replace(whole, images=np.full_like(whole.images, 255))
    built = build_bank([empty, whole], "AB")
    assert len(built.glyphs) == len(built.labels) == len(built.weights) == 2


def test_the_same_seed_draws_the_same_pool(
    bank: GlyphBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "CHUNK", 50)
    first = draw_pool(bank, 120, seed=5, workers=1)
    again = draw_pool(bank, 120, seed=5, workers=2)
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.labels, again.labels)
    assert first.issues == again.issues
    other = draw_pool(bank, 120, seed=6, workers=1)
    assert not np.array_equal(first.images[:50], other.images[:50])


def test_every_image_of_a_pool_has_its_label_and_the_rest_is_counted(bank: GlyphBank) -> None:
    drawn = draw_pool(bank, 400, seed=1, workers=1)
    assert drawn.images.shape == (len(drawn.labels), 28, 28)
    assert drawn.images.dtype == np.uint8
    assert len(drawn.labels) + sum(drawn.issues.values()) == 400
    assert len(drawn.labels) > 380
    assert drawn.images.any(axis=(1, 2)).all()
    assert set(drawn.labels.tolist()) == set(range(33))


def test_images_without_a_character_take_their_labels_with_them(
    bank: GlyphBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = {id(glyph): number for number, glyph in enumerate(bank.glyphs)}

    def chunk(
        glyphs: list[NDArray[np.float32]], seed: list[int], level: str | None, faithful: bool
    ) -> tuple[Grey, NDArray[np.uint8]]:
        images = np.zeros((len(glyphs), 28, 28), np.uint8)
        images[:, 0, 0] = [numbers[id(glyph)] for glyph in glyphs]
        issues = np.where(np.arange(len(glyphs)) % 3 == 0, BoxIssue.BLOT, BoxIssue.NONE)
        return images, issues.astype(np.uint8)

    monkeypatch.setattr(pool_module, "_draw_chunk", chunk)
    monkeypatch.setattr(pool_module, "CHUNK", 40)
    drawn = draw_pool(bank, 100, seed=2, workers=1)
    assert drawn.issues == {"blot": 14 + 14 + 7}
    assert np.array_equal(drawn.labels, bank.labels[drawn.images[:, 0, 0]])


def test_labels_belong_to_their_images(bank: GlyphBank) -> None:
    """Clean drawings are nearer to clean drawings of their own class than to others."""
    one, other = (draw_pool(bank, 700, seed=s, workers=1, level="clean") for s in (1, 2))
    means = np.stack([one.images[one.labels == n].mean(axis=0).ravel() for n in range(33)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    nearest = (other.images.reshape(len(other.images), -1) @ means.T).argmax(axis=1)
    assert (nearest == other.labels).mean() > 0.6


@given(st.integers(0, 10**9), st.sampled_from((None, *LEVELS)))
def test_any_training_box_is_a_plausible_crop(seed: int, level: str | None) -> None:
    glyph = GLYPHS[seed % len(GLYPHS)]
    crop = draw_training_box(glyph, np.random.default_rng(seed), level)  # type: ignore[arg-type]
    assert crop.dtype == np.uint8
    assert crop.ndim == 2
    assert 1 < min(crop.shape) <= max(crop.shape) < 2.2 * BOX_SIDES[1]
    again = draw_training_box(glyph, np.random.default_rng(seed), level)  # type: ignore[arg-type]
    assert np.array_equal(crop, again)


def masks() -> list[NDArray[np.float32]]:
    images, _ = drawn_glyphs("A17W", 1, 0)
    found = [ink_mask(image) for image in images]
    return [mask for mask in found if mask is not None]


GLYPHS = masks()


def test_the_mix_holds_all_levels() -> None:
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(LEVELS, 0)
    for _ in range(600):
        counts[draw_level(rng)] += 1
    assert counts["scan"] > counts["clean"] > 90
    assert counts["hard"] > 80


def hand(**changes: float) -> Hand:
    return replace(Hand(size=0.6, stretch=1.0, slant=0.0, pen=0.0, bent_share=0.0), **changes)


def written(**changes: float) -> NDArray[np.float32]:
    return write_glyph(GLYPHS[0], 80, hand(**changes), np.random.default_rng(4))


def test_a_hand_decides_size_proportion_and_pen() -> None:
    plain = written()
    assert abs(max(plain.shape) / 80 - 0.6) < 0.1
    assert max(written(size=0.8).shape) > 1.2 * max(plain.shape)
    wide = written(stretch=1.25)
    assert wide.shape[1] / wide.shape[0] > 1.3 * plain.shape[1] / plain.shape[0]
    share = [
        float((image > 0.5).mean()) for image in (written(pen=-0.06), plain, written(pen=0.08))
    ]
    assert share[0] < share[1] < share[2]
    assert written(pen=-0.5).max() > 0.9, "a pen never erodes the glyph away"
    slanted = written(slant=0.4)
    top, bottom = (np.flatnonzero(slanted[row] > 0.4).mean() for row in (2, -3))
    straight_top, straight_bottom = (np.flatnonzero(plain[row] > 0.4).mean() for row in (2, -3))
    assert top - bottom > straight_top - straight_bottom + 5


@given(st.integers(0, 10**6), st.integers(5, 60), st.integers(5, 60))
def test_a_glyph_stays_inside_its_box(seed: int, height: int, width: int) -> None:
    glyph = np.ones((height, width), np.float32)
    mask = place_in_box(glyph, (40, 30), np.random.default_rng(seed))
    assert mask.shape == (40, 30)
    assert mask.sum() == min(height, 40) * min(width, 30)


def test_cards_are_what_they_say(bank: GlyphBank) -> None:
    vins = ["XTA210700J2232670", "1G1JC524587013914", "0123456789ABCDEFG"] * 3
    cards = draw_cards(bank, vins, "clean", seed=3, workers=1)
    assert cards.vins == tuple(vins)
    assert cards.pixels.shape == (9, VIN_LENGTH, 28, 28)
    assert cards.issues.shape == (9, VIN_LENGTH)
    assert (cards.issues == BoxIssue.NONE).mean() > 0.95
    again = draw_cards(bank, vins, "clean", seed=3, workers=1)
    assert np.array_equal(cards.pixels, again.pixels)
    other = draw_cards(bank, vins, "clean", seed=4, workers=1)
    assert not np.array_equal(cards.pixels, other.pixels)
    marked = bank_of_squares_and_bars()
    drawn = draw_cards(marked, ["0" * 9 + "1" * 8], "clean", 1, 1).pixels[0]
    widths = [int(box.any(axis=0).sum()) for box in drawn]
    assert min(widths[:9]) > max(widths[9:]), "every box holds the glyph of its character"


def bank_of_squares_and_bars() -> GlyphBank:
    """Rings for 0 and bars for 1."""
    ring: NDArray[np.float32] = np.ones((30, 30), np.float32)
    ring[6:-6, 6:-6] = 0
    bar: NDArray[np.float32] = np.ones((30, 5), np.float32)
    return GlyphBank([ring, bar], np.array([0, 1], np.int16), np.array([0.5, 0.5]))


def test_more_cards_than_one_task_holds() -> None:
    bank = bank_of_squares_and_bars()
    count = CARDS_PER_TASK + 3
    cards = draw_cards(bank, ["01" * 8 + "0"] * count, "clean", 2, 1)
    assert len(cards.pixels) == len(cards.issues) == count
    assert not np.array_equal(cards.pixels[0], cards.pixels[CARDS_PER_TASK])


def test_typefaces_serve_as_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    from vin_batch.synthesis.typefaces import families
    from vin_batch.training import typeface_pack as module

    monkeypatch.setattr(module, "HANDS", 1)
    drawn = typeface_pack("A7", seed=1)
    assert drawn.name == "typefaces"
    assert not drawn.held_out.any()
    assert drawn.images.shape == (2 * len(families()), 72, 72)
    assert "".join(drawn.labels) == "A7" * len(families())
    assert np.array_equal(drawn.images, typeface_pack("A7", seed=1).images)
    readable = [preprocess_image(image)[1] is BoxIssue.NONE for image in drawn.images]
    assert all(readable)


def test_dark_on_white_is_kept(bank: GlyphBank) -> None:
    """A pool is light ink on black, whatever the polarity of the crops was."""
    drawn: Grey = draw_pool(bank, 100, seed=9, workers=1).images
    assert np.median(drawn) == 0
    assert (drawn.reshape(len(drawn), -1).max(axis=1) == 255).all()
