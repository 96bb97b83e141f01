"""Fonts as writers: what is drawn, who is held out, and which families are chosen."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vin_batch.classifier.base import Classifier
from vin_batch.errors import UsageError
from vin_batch.preprocess import preprocess_image
from vin_batch.records import BoxIssue
from vin_batch.synthesis.typefaces import FONT_DIRECTORY, families
from vin_batch.training import font_choice
from vin_batch.training.font_choice import CHARACTERS, Specimen, choose_families, write_table
from vin_batch.training.font_writers import (
    CANVAS,
    INK_SIDE,
    FontFamily,
    FontPen,
    font_families,
    font_files,
    font_packs,
)
from vin_batch.training.packs import HELD_OUT_SHARE
from vin_batch.vin.alphabet import ALPHABET

FONTS = Path(__file__).parents[2] / "../shared/handwriting/fonts"
GAEGU, KALAM = (FONT_DIRECTORY / f"{name}.woff2" for name in ("gaegu", "kalam"))
TABLE = (
    FontFamily("gaegu", "OFL-1.1", "0AZa", ""),
    FontFamily("kalam", "OFL-1.1", "", "illegible"),
    FontFamily("solitreo", "OFL-1.1", "A", ""),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("gaegu", "kalam", "solitreo"):
        shutil.copy(FONT_DIRECTORY / f"{name}.woff2", tmp_path / f"{name}-400.woff2")
    return tmp_path


def test_only_glyphs_of_the_table_that_are_wanted_are_drawn(folder: Path) -> None:
    (pack,) = font_packs(folder, "AZB", TABLE)
    assert list(pack.labels) == ["A", "Z", "A"]
    assert pack.images.shape == (3, CANVAS, CANVAS)
    assert pack.images.dtype == np.uint8
    assert pack.writers is not None
    assert list(pack.writers) == [TABLE[0].writer, TABLE[0].writer, TABLE[2].writer]
    assert list(pack.rows) == [0, 1, 2]
    again = font_packs(folder, "AZB", TABLE)[0]
    assert np.array_equal(pack.images, again.images)


def test_another_alphabet_draws_rejects_of_the_same_writer(folder: Path) -> None:
    (pack,) = font_packs(folder, "a", TABLE)
    assert list(pack.labels) == ["a"]
    assert pack.writers is not None
    assert list(pack.writers) == [TABLE[0].writer]


def test_without_fonts_nothing_is_drawn(tmp_path: Path, folder: Path) -> None:
    assert font_packs(tmp_path / "absent", ALPHABET) == []
    assert font_packs(folder, "ж", TABLE) == []
    assert font_packs(folder, ALPHABET, ()) == []


def test_no_fonts_in_a_folder_and_a_broken_font_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no fonts") as empty:
        font_packs(tmp_path, ALPHABET, TABLE)
    assert empty.value.advice
    (tmp_path / "gaegu-400.woff2").write_bytes(b"wOF2 and then nothing")
    with pytest.raises(UsageError, match=r"gaegu-400\.woff2"):
        font_packs(tmp_path, ALPHABET, TABLE)


def test_families_are_named_by_their_files(tmp_path: Path) -> None:
    for name in ("b-two-400.woff2", "b-two-700.woff2", "a.ttf", "-400.otf", "notes.txt"):
        (tmp_path / name).touch()
    found = font_files(tmp_path)
    assert list(found) == ["-400", "a", "b-two"]
    assert found["b-two"].name == "b-two-400.woff2"


@pytest.mark.parametrize("character", "0AWa")
def test_a_glyph_fills_its_canvas_dark_on_white(character: str) -> None:
    image = FontPen.load(GAEGU).draw(character)
    rows, columns = (np.flatnonzero((image < 255).any(axis=axis)) for axis in (1, 0))
    sides = [int(places[-1] - places[0]) + 1 for places in (rows, columns)]
    assert abs(max(sides) - INK_SIDE) <= 1
    assert image[0].min() == 255
    assert 0.04 < (image < 128).mean() < 0.5
    assert preprocess_image(image)[1] == BoxIssue.NONE


@pytest.mark.parametrize("widening", [6.0, -6.0])
def test_a_pen_widens_or_thins_strokes(widening: float) -> None:
    pen = FontPen.load(GAEGU)
    before, after = (FontPen(pen.font, width).draw("H") < 128 for width in (0.0, widening))
    assert (after.sum() > before.sum()) == (widening > 0)
    assert cv2.connectedComponents(after.astype(np.uint8))[0] == 2


def test_the_sign_for_missing_characters_is_not_a_glyph() -> None:
    private = "\ue000"  # no handwriting font shows anything for it
    assert FontPen.load(GAEGU).shown(f"A{private}7 a") == "A7a"


def test_about_a_tenth_of_any_names_is_held_out() -> None:
    names = [FontFamily(f"n{number}", "", "A", "") for number in range(5_000)]
    assert abs(np.mean([name.held_out for name in names]) - HELD_OUT_SHARE) < 0.02


@given(st.from_regex(r"[a-z]{2,8}", fullmatch=True), st.from_regex(r"[a-z]{2}", fullmatch=True))
def test_relatives_are_held_out_together_as_different_writers(name: str, country: str) -> None:
    alone, relative = (FontFamily(text, "", "A", "") for text in (name, f"{name}-{country}"))
    assert alone.held_out == relative.held_out
    assert alone.writer != relative.writer
    assert 0 <= alone.writer < 2**31


def test_the_packaged_table_has_writers_for_both_parts() -> None:
    rows = font_families()
    assert [row.family for row in rows] == sorted({row.family for row in rows})
    drawn = [row for row in rows if row.glyphs]
    assert len({row.writer for row in drawn}) == len(drawn)
    assert 0.05 < np.mean([row.held_out for row in drawn]) < 0.2
    for held_out in (False, True):
        part = [row for row in drawn if row.held_out == held_out]
        for character in ALPHABET + "IOQadefhmnrt":
            assert sum(character in row.glyphs for row in part) >= 5, (character, held_out)
    for row in rows:
        assert bool(row.glyphs) or row.note
        assert set(row.glyphs) <= set(CHARACTERS)
        assert not (row.glyphs and row.family in families())
        assert not (row.glyphs and row.family.endswith("-guides"))


@pytest.mark.skipif(not FONTS.is_dir(), reason="the training fonts are absent")
@pytest.mark.slow
def test_every_family_of_the_table_is_drawn_from_the_training_fonts() -> None:
    wanted = "8GQa"
    (pack,) = font_packs(FONTS, wanted)
    rows = [row for row in font_families() if row.glyphs]
    assert pack.writers is not None
    assert set(pack.writers) == {row.writer for row in rows}
    assert len(pack.labels) == sum(character in row.glyphs for row in rows for character in wanted)
    ink = (pack.images < 128).mean(axis=(1, 2))
    assert ink.min() > 0.01
    assert ink.max() < 0.6


class FakeJudge:
    """Reads every character as itself, but for the misread ones."""

    def __init__(self, card: object, misread: dict[str, str]) -> None:
        self.card = card
        self.device = "none"
        self._misread = misread

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert pixels.shape == (len(CHARACTERS), 28, 28)
        result = np.full((len(CHARACTERS), len(ALPHABET)), -10, np.float32)
        for row, character in enumerate(CHARACTERS):
            answer = self._misread.get(character, character)
            if answer in ALPHABET:
                result[row, ALPHABET.index(answer)] = -0.01
        return result


class Card:
    """As much of a model card as choosing looks at."""

    name = "fake"
    classes = ALPHABET


Judge = Callable[[dict[str, str]], Classifier]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.setattr(font_choice, "licence", lambda path: "OFL-1.1")
    monkeypatch.setattr(font_choice, "packaged_families", lambda: ("kalam",))
    return lambda misread: FakeJudge(Card(), misread)  # type: ignore[return-value]


def test_legible_families_are_chosen_without_their_illegible_glyphs(judge: Judge) -> None:
    paths = {"gaegu": GAEGU, "kalam": KALAM}
    gaegu, kalam = choose_families(paths, judge({"G": "6", "m": "M", "s": "S"}))
    assert {"s", "m", "a", "Q"} < set(gaegu.glyphs)
    assert set(ALPHABET) - set(gaegu.glyphs) == {"G"}
    assert gaegu.note.startswith("without G")
    assert kalam.glyphs == ""
    assert kalam.note.startswith("packaged")


def test_small_capitals_are_no_lower_case(judge: Judge) -> None:
    read_as_capitals = {letter: letter.upper() for letter in "abdg"}
    (row,) = choose_families({"gaegu": GAEGU}, judge(read_as_capitals))
    assert set(row.glyphs) == set(CHARACTERS[:36] + font_choice.SHARED_SHAPES)
    (row,) = choose_families({"gaegu": GAEGU}, judge({"a": "A", "b": "B", "d": "D"}))
    assert set("abdgn") < set(row.glyphs)


def test_a_letter_that_looks_like_its_capital_is_no_lower_case(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = font_choice.draw_specimen(GAEGU)
    pixels = drawn.pixels.copy()
    pixels[CHARACTERS.index("m")] = pixels[CHARACTERS.index("M")]
    twins = Specimen(drawn.shown, pixels, drawn.pieces)
    monkeypatch.setattr(font_choice, "draw_specimen", lambda path: twins)
    (row,) = choose_families({"gaegu": GAEGU}, judge({}))
    assert "m" not in row.glyphs
    assert {"n", "M", "a"} < set(row.glyphs)


def test_families_of_which_too_little_is_read_are_left_out(judge: Judge) -> None:
    misread = dict.fromkeys("ABCDEFGHJ", "8")
    (row,) = choose_families({"gaegu": GAEGU}, judge(misread))
    assert row.glyphs == ""
    assert row.note == "illegible: 24 of 33 read right"
    (row,) = choose_families({"gaegu": GAEGU}, judge(dict.fromkeys("ABCDEFGH", "8")))
    assert row.note.startswith("without ABCDEFGH")
    assert set(ALPHABET) - set(row.glyphs) == set("ABCDEFGH")


def test_the_same_shapes_count_once(judge: Judge) -> None:
    first, second = choose_families({"gaegu": GAEGU, "twin": GAEGU}, judge({}))
    assert first.glyphs
    assert second.glyphs == ""
    assert second.note == "same shapes as gaegu"
    (copy,) = choose_families({"kalam-sc": KALAM}, judge({}))
    assert copy.glyphs, "a packaged family that is not in the folder takes nothing away"
    copy, _ = choose_families({"kalam-sc": KALAM, "kalam": KALAM}, judge({}))
    assert copy.note == "same shapes as kalam"


def test_ruled_and_dotted_families_are_left_out(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = font_choice.draw_specimen(GAEGU)
    assert whole.pieces == 1
    assert whole.shown == CHARACTERS

    def ruled(path: Path) -> Specimen:
        return Specimen(whole.shown, whole.pixels, 2.0)

    monkeypatch.setattr(font_choice, "draw_specimen", ruled)
    (row,) = choose_families({"gaegu": GAEGU}, judge({}))
    assert row.glyphs == ""
    assert row.note.startswith("in pieces")


def test_a_ruled_line_makes_a_second_piece() -> None:
    image = FontPen.load(GAEGU).draw("H")
    assert font_choice._pieces(image) == 1
    image[-2:] = 0
    assert font_choice._pieces(image) == 2


def test_the_licence_is_what_the_font_names() -> None:
    pytest.importorskip("fontTools")
    pytest.importorskip("brotli")
    assert font_choice.licence(GAEGU) == "OFL-1.1"


def test_a_missing_font_library_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str) -> object:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(font_choice, "import_module", absent)
    with pytest.raises(UsageError, match=r"gaegu\.woff2") as told:
        font_choice.licence(GAEGU)
    assert "vin_batch[train]" in told.value.advice


def test_a_written_table_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "font_families.csv"
    rows = (*TABLE, FontFamily("odd", "unknown", "0A", 'without "B", C'))
    write_table(path, rows)
    monkeypatch.setattr("vin_batch.training.font_writers.files", lambda package: tmp_path)
    assert font_families.__wrapped__() == rows
