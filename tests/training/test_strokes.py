"""Stroke writers: every form draws ink, people differ and repeat themselves, shapes stay apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vin_batch.training.packs import ink_mask
from vin_batch.training.strokes import REJECT_KINDS, StrokeWriter, stroke_pack, write_reject
from vin_batch.training.strokes.curve import round_corners, stroke_points
from vin_batch.training.strokes.cyrillic import CYRILLIC
from vin_batch.training.strokes.digits import DIGITS
from vin_batch.training.strokes.form import CORNER, Form, form
from vin_batch.training.strokes.letters import LETTERS
from vin_batch.training.strokes.pen import HEIGHTS
from vin_batch.training.strokes.writer import EUROPEAN_SHARE, FORMS
from vin_batch.vin.alphabet import ALPHABET

SEEDS = st.integers(0, 2**32 - 1)
EVERY_FORM = [(character, one) for character in FORMS for one in FORMS[character]]


def person(seed: int) -> StrokeWriter:
    return StrokeWriter.random(np.random.default_rng(seed))


def calm(seed: int = 0) -> StrokeWriter:
    """A person who writes exactly what the forms say."""
    writer = person(seed)
    exact = dict.fromkeys(
        ("slant", "waist", "middle", "bow", "ends", "ends_spread", "shifts", "sizes", "care",
         "tremor", "turn"), 0.0,
    )  # fmt: skip
    return replace(writer, own=np.zeros_like(writer.own), aspect=1.0, rounding=0, **exact)  # type: ignore[arg-type]


def exact_points(text: str) -> NDArray[np.float64]:
    shape = form("", text)
    return stroke_points(shape, shape.nodes, np.zeros(len(shape.pieces)))


def test_every_character_of_a_vin_has_several_forms() -> None:
    assert sorted({**DIGITS, **LETTERS}) == sorted(ALPHABET)
    assert min(len(forms) for forms in {**DIGITS, **LETTERS}.values()) >= 4
    assert not set(CYRILLIC) & set(ALPHABET)
    for forms in FORMS.values():
        assert len({one.name for one in forms}) == len(forms)


@pytest.mark.parametrize(
    ("character", "one"), EVERY_FORM, ids=[c + " " + f.name for c, f in EVERY_FORM]
)
def test_every_form_draws_ink_of_a_characters_size(character: str, one: Form) -> None:
    rng = np.random.default_rng(5)
    for seed in range(6):
        glyph = person(seed).write_form(character, one, rng)
        assert glyph.dtype == np.float32
        assert 0.0 <= glyph.min() < 0.2 < glyph.max() <= 1.0
        assert 0.7 * HEIGHTS[0] < glyph.shape[0] < 1.7 * HEIGHTS[1]
        assert glyph.shape[1] < 2 * HEIGHTS[1]
        for edge in (glyph[0], glyph[-1], glyph[:, 0], glyph[:, -1]):
            assert edge.max() > 0.2
        assert 0.02 < glyph.mean() < 0.95


def test_an_arc_is_a_circle_and_a_line_is_straight() -> None:
    ring = exact_points("@50,50,40,40,-90,-450")
    assert np.abs(np.hypot(*(ring - 0.5).T) - 0.4).max() < 0.001
    line = exact_points("0,0 30,100")
    assert np.allclose(line[:, 0] * 100, line[:, 1] * 30)


def test_a_line_runs_into_an_arc_without_a_corner() -> None:
    u = exact_points("0,0 @32,66,32,34,180,0 64,0")
    steps = np.diff(u, axis=0)
    way = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    assert np.abs(np.diff(way)).max() < 0.2
    assert u[:, 0].min() > -0.01


def test_a_corner_on_an_arcs_end_stays_a_corner() -> None:
    three = form("", "@28,25,26,25,-150,100 @26,74,31,26,-95,150")
    assert list(np.flatnonzero(three.kinds == CORNER)) == [0, 6, len(three.kinds) - 1]


def test_text_that_is_no_form_is_refused() -> None:
    with pytest.raises(ValueError, match="two nodes"):
        form("", "0,0; 10,10 20,20")


def test_strokes_stay_apart_when_corners_are_rounded() -> None:
    shape = form("", "0,0 50,0 50,100; 80,0 80,100")
    points = stroke_points(shape, shape.nodes, np.zeros(len(shape.pieces)))
    rounded = round_corners(points, shape.inner, 3)
    second = shape.point_stroke == 1
    assert np.allclose(rounded[second][:, 0], 0.8)
    assert np.allclose(rounded[[0, -1]], points[[0, -1]])
    corner = np.array([0.5, 0.0])
    assert np.hypot(*(points - corner).T).min() < 1e-9
    assert np.hypot(*(rounded - corner).T).min() > 0.01


@given(SEEDS, st.sampled_from(sorted(FORMS)))
def test_the_same_seed_writes_the_same(seed: int, character: str) -> None:
    def once() -> NDArray[np.float32]:
        rng = np.random.default_rng(seed)
        return StrokeWriter.random(rng).write(character, rng)

    assert np.array_equal(once(), once())


@given(SEEDS, st.sampled_from(sorted(FORMS)))
def test_anybody_writes_any_character_legibly_large(seed: int, character: str) -> None:
    rng = np.random.default_rng(seed)
    glyph = StrokeWriter.random(rng).write(character, rng)
    assert glyph.dtype == np.float32
    assert glyph.max() > 0.5
    assert 40 < glyph.shape[0] < 190
    assert 2 <= glyph.shape[1] < 190


def test_a_person_is_more_like_themselves_than_like_others() -> None:
    rng = np.random.default_rng(0)
    people = [person(seed) for seed in range(40)]
    for character in "2BR":
        one = FORMS[character][0]
        first, again = (np.stack([p.trace(character, one, rng) for p in people]) for _ in range(2))
        own = np.linalg.norm(first - again, axis=2).mean(axis=1)
        strange = np.linalg.norm(first - np.roll(again, 1, axis=0), axis=2).mean(axis=1)
        assert own.min() > 0.001
        assert own.mean() < 0.6 * strange.mean()


def test_forms_of_a_character_differ() -> None:
    writer = calm()
    for character, forms in FORMS.items():
        glyphs = [writer.write_form(character, one, np.random.default_rng(0)) for one in forms]
        for number, one in enumerate(glyphs):
            for other in glyphs[:number]:
                same_shape = one.shape == other.shape
                assert not same_shape or np.abs(one - other).mean() > 0.01, character


def test_people_hold_to_their_school() -> None:
    people = [person(seed) for seed in range(300)]
    crossed = {"european": 0, "american": 0}
    count = {"european": 0, "american": 0}
    for one in people:
        count[one.school] += 1
        crossed[one.school] += FORMS["7"][one.chosen["7"]].name.startswith("crossed")
    assert count["european"] / 300 == pytest.approx(EUROPEAN_SHARE, abs=0.1)
    assert crossed["european"] / count["european"] > 0.7
    assert crossed["american"] / count["american"] < 0.35


def test_a_heavier_pen_leaves_more_ink() -> None:
    writer = calm()
    thin, thick = (
        replace(writer, pen=replace(writer.pen, width=width)).write("E", np.random.default_rng(0))
        for width in (0.05, 0.12)
    )
    assert thick.sum() > 1.7 * thin.sum()


def test_a_long_upstroke_is_in_a_calm_one() -> None:
    one = next(f for f in FORMS["1"] if f.name == "long upstroke")
    trace = calm().trace("1", one, np.random.default_rng(0))
    assert np.allclose(trace[[0, -1]], [[0, 0.45], [0.38, 1.0]], atol=1e-9)


@pytest.mark.parametrize("kind", REJECT_KINDS)
def test_rejects_draw_ink_and_repeat_with_their_seed(kind: str) -> None:
    for seed in range(30):
        glyph = write_reject(kind, np.random.default_rng(seed))  # type: ignore[arg-type]
        assert glyph.dtype == np.float32
        assert glyph.max() > 0.5
        assert min(glyph.shape) >= 5
        assert max(glyph.shape) < 400
        again = write_reject(kind, np.random.default_rng(seed))  # type: ignore[arg-type]
        assert np.array_equal(glyph, again)


def test_a_pack_holds_every_character_of_every_writer() -> None:
    pack = stroke_pack("017Z", seed=3, writers=5)
    assert pack.images.dtype == np.uint8
    assert pack.images.shape[1] == pack.images.shape[2]
    assert pack.writers is not None
    seen = set(zip(pack.writers.tolist(), pack.labels.tolist(), strict=True))
    assert seen == {(writer, character) for writer in range(5) for character in "017Z"}
    assert 20 < len(pack.labels) < 40
    assert not pack.held_out.any()
    assert all(ink_mask(image) is not None for image in pack.images)
    again = stroke_pack("017Z", seed=3, writers=5)
    assert np.array_equal(pack.images, again.images)
    other = stroke_pack("017Z", seed=4, writers=5)
    assert pack.images.shape != other.images.shape or not np.array_equal(pack.images, other.images)


def test_a_larger_pack_begins_with_the_same_people() -> None:
    few, many = (stroke_pack("AB", seed=1, writers=n, second_sample=0) for n in (2, 3))
    for small, large in zip(few.images, many.images, strict=False):
        first, second = ink_mask(small), ink_mask(large)
        assert first is not None
        assert second is not None
        assert np.array_equal(first, second)
