"""Fonts are whole and licensed; hands draw legible, varied, reproducible ink."""

import csv
import hashlib
from dataclasses import replace

import numpy as np
import pytest

from vin_batch.synthesis.cards import BOX_HEIGHTS, draw_card
from vin_batch.synthesis.scan import LEVELS, Level, ScanStyle
from vin_batch.synthesis.typefaces import CAP_HEIGHT, FONT_DIRECTORY, families, glyph
from vin_batch.synthesis.writer import BoxShape, Writer
from vin_batch.vin.alphabet import ALPHABET

VIN = "XTA210130D0000002"
BOX = BoxShape(height=64, width=56)


def test_every_font_has_its_licence_and_is_the_published_file() -> None:
    with (FONT_DIRECTORY / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(families()) >= 8
    for row in rows:
        font = (FONT_DIRECTORY / f"{row['file']}.woff2").read_bytes()
        assert hashlib.sha256(font).hexdigest() == row["sha256"]
        licence = (FONT_DIRECTORY / f"{row['file']}-OFL.txt").read_text("utf-8")
        assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    fonts = {path.stem for path in FONT_DIRECTORY.glob("*.woff2")}
    assert fonts == {row["file"] for row in rows}


@pytest.mark.parametrize("family", families())
def test_a_typeface_has_33_different_forms(family: str) -> None:
    forms = [glyph(family, character) for character in ALPHABET]
    for form in forms:
        assert 0.3 * CAP_HEIGHT < form.ink_height < 1.7 * CAP_HEIGHT
        assert (form.distance > 0).any()
        assert form.distance[0].max() < 0
        assert form.distance[-1].max() < 0
        assert 0.5 < form.half_pen < 0.12 * CAP_HEIGHT
    shapes = {form.distance.tobytes() for form in forms}
    assert len(shapes) == len(ALPHABET)


def plain_writer(family: str = "neucha") -> Writer:
    drawn = Writer.random("clean", np.random.default_rng(0))
    return replace(drawn, family=family, habits=(), height=0.6, pen=0.1, slant=0.0, stretch=1.0)


def test_the_same_seed_draws_the_same_ink_and_another_one_does_not() -> None:
    writer = plain_writer()
    first, again, other = (writer.draw("A", BOX, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 0.005


def test_ink_stays_in_the_box_and_has_the_wanted_size() -> None:
    writer = plain_writer()
    for character in ALPHABET:
        ink = writer.draw(character, BOX, np.random.default_rng(3))
        assert ink.shape == BOX.drawn
        assert ink.dtype == np.float32
        assert ink.min() >= 0
        assert ink.max() == 1
        rows = np.flatnonzero((ink > 0.5).any(axis=1))
        assert 0.4 < (rows[-1] - rows[0]) / BOX.height < 0.8


def test_a_thicker_pen_leaves_more_ink() -> None:
    thin, thick = (
        replace(plain_writer(), pen=pen).draw("8", BOX, np.random.default_rng(4)).sum()
        for pen in (0.08, 0.16)
    )
    assert 1.5 < thick / thin < 2.6


def test_a_thin_pen_never_breaks_a_stroke() -> None:
    for family in families():
        ink = replace(plain_writer(family), pen=0.01).draw("H", BOX, np.random.default_rng(5))
        assert (ink > 0.3).sum() > 40


def test_slant_leans_to_the_right() -> None:
    ink = replace(plain_writer(), slant=0.4).draw("1", BOX, np.random.default_rng(6))
    columns = np.arange(BOX.width)
    top, bottom = ink[: BOX.height // 2], ink[BOX.height // 2 :]
    assert (top * columns).sum() / top.sum() > (bottom * columns).sum() / bottom.sum() + 3


def test_habits_change_a_form() -> None:
    writer = plain_writer("neucha")
    crossed = replace(writer, habits=(("7", "the-girl-next-door"),))
    plain, other = (w.draw("7", BOX, np.random.default_rng(7)) for w in (writer, crossed))
    assert np.abs(plain - other).mean() > 0.01


@pytest.mark.parametrize("level", LEVELS)
def test_a_card_has_17_crops_with_dark_ink(level: Level) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        writer = Writer.random(level, rng)
        style = replace(ScanStyle.random(level, rng), inverted=False, line_share=0.0)
        crops = draw_card(VIN, writer, level, rng, style)
        assert len(crops) == 17
        for crop in crops:
            assert crop.dtype == np.uint8
            assert 0.9 * BOX_HEIGHTS[0] < crop.shape[0] < 1.1 * BOX_HEIGHTS[1]
            assert np.median(crop) > crop.min() + 15


def test_a_space_leaves_the_box_blank() -> None:
    rng = np.random.default_rng(1)
    style = replace(ScanStyle.random("clean", rng), line_share=0.0, inverted=False)
    crops = draw_card("A " * 8 + "A", plain_writer(), "clean", rng, style)
    assert min(crop.min() for crop in crops[1::2]) > style.paper - 30
    assert max(crop.min() for crop in crops[0::2]) < style.paper - 60


def test_on_hard_cards_strokes_spill_into_the_neighbouring_box() -> None:
    rng = np.random.default_rng(2)
    style = replace(
        ScanStyle.random("clean", rng), line_share=0.0, inverted=False, noise=0.0, texture=0.0
    )
    writer = replace(plain_writer(), offset=(0.45, 0.0))
    crops = draw_card("H HHHHHHHHHHHHHHH", writer, "hard", rng, style)
    assert crops[1][:, :5].min() < style.paper - 60
