"""Splits: no writer on both sides, no source of the same people on both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glyph_packs import as_pack
from vin_batch.training.datasets import leave_one_source_out
from vin_batch.training.datasets.splits import NIST, family_of, hold_out
from vin_batch.training.packs import GlyphPack


def pack(name: str, count: int = 10) -> GlyphPack:
    whole = as_pack(name, np.full((count, 5, 5), 255, np.uint8), "A" * count)
    return replace(whole, held_out=np.arange(count) % 5 == 0)


def test_each_source_is_left_out_once_with_its_relatives() -> None:
    packs = [pack(name) for name in ("forms", "mnist", "sheets", "emnist_digits")]
    folds = list(leave_one_source_out(packs))
    assert [fold.name for fold in folds] == ["forms", NIST, "sheets"]
    nist = folds[1]
    assert [one.name for one in nist.held_out] == ["mnist", "emnist_digits"]
    assert [one.name for one in nist.training] == ["forms", "sheets"]
    for fold in folds:
        assert all(len(one.labels) == 10 for one in fold.held_out), "whole"
        assert all(len(one.labels) == 8 for one in fold.training), "training parts alone"
        assert not {family_of(one.name) for one in fold.training} & {fold.name}


def test_all_of_nist_is_one_family() -> None:
    for name in ("mnist", "emnist-letters", "emnist_digits", "nist_vowels", "NIST_by_class"):
        assert family_of(name) == NIST
    assert family_of("name_forms") == "name_forms"


def test_published_parts() -> None:
    labels = np.array(list("A" * 20))
    is_test = np.arange(20) >= 15
    assert hold_out(labels, None, is_test).held_out.tolist() == is_test.tolist()
    assert hold_out(labels, None, np.ones(20, bool)).held_out.all()
    shared = np.arange(20) % 12
    split = hold_out(labels, shared, is_test)
    assert split.held_out.tolist() == (shared % 10 == 0).tolist()
    assert "writer" in split.rule


def test_the_end_of_every_class_without_writers() -> None:
    labels = np.array(list("A" * 20 + "B" * 30))
    held = hold_out(labels, None, None).held_out
    assert np.flatnonzero(held).tolist() == [18, 19, 47, 48, 49]
    training_file_alone = hold_out(labels, None, np.zeros(50, bool)).held_out
    assert np.array_equal(training_file_alone, held)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=80))
def test_no_writer_is_on_both_sides(images: list[tuple[int, bool]]) -> None:
    writers = np.array([writer for writer, _ in images], np.int64)
    is_test = np.array([part for _, part in images])
    labels = np.array(["A"] * len(images))
    for published in (None, is_test):
        held = hold_out(labels, writers, published).held_out
        assert not set(writers[held].tolist()) & set(writers[~held].tolist())
