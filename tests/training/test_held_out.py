"""The two halves of the people that nobody trains on."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vin_batch.errors import UsageError
from vin_batch.training.held_out import half_mask, held_out_bank, require_held_out
from vin_batch.training.packs import GlyphPack


def pack(labels: str, name: str = "sheets", writers: list[int] | None = None) -> GlyphPack:
    count = len(labels)
    images = np.full((count, 12, 12), 255, np.uint8)
    for row in range(count):
        images[row, 2:10, 3 : 5 + row % 5] = 0
    known = np.array(writers, np.int64) if writers is not None else None
    return GlyphPack(name, images, np.array(list(labels)), np.ones(count, bool),
                     np.arange(count), known)  # fmt: skip


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_a_writer_is_in_one_half_alone(writers: list[int]) -> None:
    second = half_mask(pack("A" * len(writers), writers=writers))
    for writer in set(writers):
        assert len(set(second[np.array(writers) == writer])) == 1
    halves = {writer: second[writers.index(writer)] for writer in writers}
    assert abs(sum(halves.values()) - len(halves) / 2) <= 0.5, "as many writers in each"


@given(st.text("AB7", min_size=1, max_size=40))
def test_without_writers_every_class_is_cut_in_the_middle(labels: str) -> None:
    second = half_mask(pack(labels))
    for label in set(labels):
        part = second[np.array(list(labels)) == label]
        assert sorted(part) == list(part), "one stretch each"
        assert part.sum() - (~part).sum() in {0, 1}


def test_the_halves_share_no_glyph() -> None:
    packs = [pack("AAAABBBB"), pack("AABB", "forms", [1, 1, 2, 2])]
    first = held_out_bank(packs, "AB", "calibration")
    second = held_out_bank(packs, "AB", "measurement")
    assert (len(first.glyphs), len(second.glyphs)) == (6, 6)
    assert first.weights.sum() == pytest.approx(1)


def test_a_class_with_one_image_serves_both_halves_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logging.getLogger("vin_batch").propagate = True
    packs = [pack("AAAAB")]
    with caplog.at_level(logging.WARNING, "vin_batch"):
        banks = [held_out_bank(packs, "AB", half) for half in ("calibration", "measurement")]
    assert [sorted(set(bank.labels)) for bank in banks] == [[0, 1], [0, 1]]
    assert "too few held-out images of B" in caplog.text


def test_framed_images_and_fonts_draw_no_cards() -> None:
    packs = [pack("AABB"), pack("AABB", "table_cells"), pack("AABB", "fonts")]
    assert len(held_out_bank(packs, "AB", "measurement").glyphs) == 2
    with pytest.raises(UsageError, match="no held-out image of A B"):
        require_held_out(packs[1:], "AB")
