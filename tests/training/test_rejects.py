"""Rejects are what they say they are, and their figures are counted as they say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from glyph_packs import as_pack, drawn_glyphs, write_pack
from vin_batch.classifier.base import Classifier
from vin_batch.preprocess import preprocess_image
from vin_batch.records import BoxIssue
from vin_batch.training.packs import ink_mask
from vin_batch.training.rejects import (
    EXAMPLES,
    LETTERS,
    crops_of,
    cross_out,
    dirty_box,
    draw_blot,
    held_out_letters,
    reject_crops,
    reject_table,
    score_rejects,
)
from vin_batch.vin.alphabet import ALPHABET

PROBS = (0.999, 0.95, 0.95, 0.5)


class Sure:
    """Answers A with the probabilities that it is told, image after image."""

    def __init__(self, probs: tuple[float, ...]) -> None:
        self.card = SimpleNamespace(classes=ALPHABET)
        self.device = "none"
        self.probs = np.array(probs)

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert len(pixels) == len(self.probs), "refused crops must not reach the network"
        found = np.tile(np.log((1 - self.probs) / 32)[:, None], 33)
        found[:, ALPHABET.index("A")] = np.log(self.probs)
        return found.astype(np.float32)


def crops(count: int) -> list[NDArray[np.uint8]]:
    images, _ = drawn_glyphs("A", count, 0)
    return list(images)


def test_figures_by_hand() -> None:
    blank = np.full((40, 40), 255, np.uint8)
    classifier: Classifier = Sure(PROBS)  # type: ignore[assignment]
    shown = crops(4)
    score = score_rejects(classifier, "some", [shown[0], blank, *shown[1:]])
    assert (score.crops, score.refused, score.answers) == (5, {"blank": 1}, (("A", 4),))
    assert score.probs == pytest.approx(PROBS, abs=1e-5)
    assert score.share_above(0.9) == 3 / 5
    assert score.share_above(0.99) == 1 / 5
    told = score.as_json()
    assert told["mean"] == pytest.approx(np.mean(PROBS), abs=1e-4)
    assert told["median"] == pytest.approx(0.95, abs=1e-4)
    assert told["percentile_90"] == pytest.approx(0.95 + 0.7 * 0.049, abs=1e-4)
    assert (told["share_above_0.9"], told["share_above_0.99"]) == (0.6, 0.2)
    outcomes = [(answer, round(prob, 3)) for _, answer, prob in score.examples]
    assert outcomes == [("A", 0.999), ("blank", 0.0), ("A", 0.95), ("A", 0.95), ("A", 0.5)]
    assert score.examples[1][0] is blank
    line = reject_table([score]).splitlines()[-1].split()
    assert line[:4] == ["some", "5", "1", "0.850"]
    assert line[-5:] == ["60.0", "%", "20.0", "%", "A:4"]


def test_all_refused_is_no_number() -> None:
    classifier: Classifier = Sure(())  # type: ignore[assignment]
    score = score_rejects(classifier, "blank", [np.full((40, 40), 255, np.uint8)] * 20)
    assert score.as_json()["mean"] is None
    assert score.share_above(0.9) == 0
    assert len(score.examples) == EXAMPLES
    assert "blank" in reject_table([score])


def test_letters_come_from_people_that_nobody_trains_on(tmp_path: Path) -> None:
    # The last tenth of every class is held out; an evaluation pack is held out whole.
    write_pack(
        tmp_path / "train" / "sheets.npz", "AB0", copies=10, y=list("A" * 10 + "I" * 10 + "q" * 10)
    )
    write_pack(tmp_path / "evaluate" / "cards.npz", "AB0", copies=2, y=list("AAIIOO"))
    packs = held_out_letters(tmp_path, "IOQq")
    assert {pack.name: "".join(pack.labels) for pack in packs} == {"sheets": "Iq", "cards": "IIOO"}
    assert held_out_letters(tmp_path / "nowhere", "I") == []


def test_no_kind_holds_a_vin_character() -> None:
    assert not set("".join(LETTERS.values())) & set(ALPHABET)
    every = "".join(LETTERS.values())
    assert len(set(every)) == len(every), "no letter is counted twice"


def test_every_kind_is_drawn(tmp_path: Path) -> None:
    write_pack(tmp_path / "train" / "sheets.npz", "A0", copies=10, y=list("I" * 10 + "e" * 10))
    people = [as_pack("people", *drawn_glyphs("AB8", 2, 0))]
    found = reject_crops(tmp_path, people, count=4)
    assert {kind: len(shown) for kind, shown in found.items()} == {
        "letter I": 1, "small letters of another shape": 1, "Cyrillic letters": 4,
        "scribbles": 4, "blots": 4, "crossed out": 4, "blank boxes with dirt": 4,
    }  # fmt: skip
    again = reject_crops(tmp_path, people, count=4)
    for kind, shown in found.items():
        for one, other in zip(shown, again[kind], strict=True):
            assert np.array_equal(one, other), f"{kind} must be the same in every evaluation"


def test_covers_are_ink() -> None:
    rng = np.random.default_rng(3)
    images, _ = drawn_glyphs("B", 1, 0)
    glyph = ink_mask(images[0])
    assert glyph is not None
    for _ in range(20):
        blot, crossed = draw_blot(rng), cross_out(glyph, rng)
        for cover in (blot, crossed):
            assert cover.dtype == np.float32
            assert 0 <= cover.min() <= cover.max() <= 1
        assert blot.mean() > 0.3, "a blot is mostly ink"
        assert (blot > 0.2).any(axis=1).all(), "cut to the ink"
        assert crossed.sum() > 1.05 * glyph.sum(), "strokes add ink"


def test_dirty_boxes_hold_no_character() -> None:
    rng = np.random.default_rng(5)
    issues = [preprocess_image(dirty_box(rng))[1] for _ in range(40)]
    assert issues.count(BoxIssue.BLANK) >= 5, "much of the dirt is seen as what it is"
    assert crops_of([], [1]) == []
