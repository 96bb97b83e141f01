"""The class rule, and what a source's content tells: polarity and orientation."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from glyph_packs import as_pack, drawn_glyphs
from public_sources import upright
from vin_batch.classifier.alphabets import ALPHABETS
from vin_batch.training.datasets.classes import LOOK_ALIKES, map_labels, map_source
from vin_batch.training.datasets.source import (
    Source,
    assemble,
    looks_transposed,
    shows_light_ink,
)
from vin_batch.training.datasets.summary import class_balance, summarise
from vin_batch.vin.alphabet import ALPHABET

EVERYTHING = string.digits + string.ascii_letters


def as_source(text: str, merged: str = "") -> Source:
    images = np.full((len(text), 5, 5), 255, np.uint8)
    images[:, 2, 2] = np.arange(len(text))
    flags = np.array([mark == "x" for mark in merged.ljust(len(text))])
    return Source(as_pack("some", images, text), "made", flags if merged else None)


def test_vin_classes_take_look_alikes_and_drop_the_rest() -> None:
    mapped = map_source(as_source("AIOQaiockK0z"), ALPHABET)
    assert "".join(mapped.pack.labels) == "ACKK0Z"
    assert mapped.dropped == {"not wanted": 4, "lower case": 2}
    assert mapped.merged == 3
    assert mapped.pack.rows.tolist() == [0, 7, 8, 9, 10, 11]
    assert mapped.pack.images[:, 2, 2].tolist() == mapped.pack.rows.tolist()


def test_36_classes_take_o_as_its_capital() -> None:
    mapped = map_source(as_source("oOiI"), ALPHABETS["alnum36"])
    assert "".join(mapped.pack.labels) == "OOI"
    assert mapped.dropped == {"lower case": 1}


def test_lower_case_can_be_dropped_altogether() -> None:
    source = as_source("cCkK", merged=" x x")
    assert "".join(map_source(source, ALPHABET).pack.labels) == "CCKK"
    dropped = map_source(source, ALPHABET, "drop")
    assert not len(dropped.pack.labels)
    assert dropped.dropped == {"lower case": 2, "perhaps lower case": 2}


def test_merged_classes_are_kept_only_where_both_cases_look_alike() -> None:
    source = as_source("CCMMAA7", merged="x x x x")
    mapped = map_source(source, ALPHABET)
    assert "".join(mapped.pack.labels) == "CCMA"
    assert mapped.dropped == {"perhaps lower case": 3}
    wide = map_source(source, ALPHABETS["byclass62"])
    assert "".join(wide.pack.labels) == "CMA"


@given(
    st.text(EVERYTHING, min_size=1, max_size=60),
    st.sampled_from(sorted(ALPHABETS)),
    st.sampled_from(["look_alikes", "drop"]),
    st.randoms(use_true_random=False),
)
def test_the_rule(text: str, alphabet: str, lowercase: str, random: object) -> None:
    flags = np.array([random.random() < 0.3 for _ in text])  # type: ignore[attr-defined]
    given_labels = np.array(list(text))
    labels, reasons = map_labels(given_labels, flags, ALPHABETS[alphabet], lowercase)  # type: ignore[arg-type]
    for before, after, reason, flagged in zip(text, labels, reasons, flags, strict=True):
        if reason:
            continue
        assert after in ALPHABETS[alphabet]
        assert after == before or (before in LOOK_ALIKES and after == before.upper())
        if lowercase == "drop" or alphabet == "byclass62":
            assert after == before
            assert not flagged
        if flagged:
            assert after.lower() in LOOK_ALIKES
    assert "".join(given_labels) == text, "the source's own labels stay"


def test_balance_and_summary() -> None:
    source = as_source("AAAB1cI")
    row, mapped = summarise(source, ALPHABET)
    assert (row.images, row.classes) == (6, 4)
    assert row.largest == ("A", 3)
    assert row.smallest[1] == 1
    assert row.dropped == {"not wanted": 1}
    assert row.merged == 1
    counts = class_balance([mapped.pack, mapped.pack], ALPHABET)
    assert (counts["A"], counts["C"], counts["Z"]) == (6, 2, 0)
    assert list(counts) == list(ALPHABET)


def test_a_source_without_wanted_classes_has_a_row() -> None:
    row, mapped = summarise(as_source("IOQ"), ALPHABET)
    assert (row.images, row.classes, row.smallest) == (0, 0, ("", 0))
    assert not len(mapped.pack.labels)


@pytest.fixture(scope="module")
def drawn() -> NDArray[np.uint8]:
    return drawn_glyphs(ALPHABET, 3, seed=3)[0]


def test_polarity_is_told_by_content(drawn: NDArray[np.uint8]) -> None:
    assert not shows_light_ink(drawn)
    assert shows_light_ink(255 - drawn)
    faint = (205 - drawn.astype(np.int16) // 8).astype(np.uint8)
    assert shows_light_ink(faint)
    assert not shows_light_ink(255 - faint)
    assert not shows_light_ink(np.zeros((0, 5, 5), np.uint8))
    assert not shows_light_ink(np.zeros((9, 5, 5), np.uint8))


def test_orientation_is_told_by_content(drawn: NDArray[np.uint8]) -> None:
    assert looks_transposed(drawn) is False
    assert looks_transposed(drawn.swapaxes(1, 2)) is True
    assert looks_transposed(255 - drawn.swapaxes(1, 2)) is True
    assert looks_transposed(drawn[:20]) is None, "too few to say"
    both = np.concatenate([drawn, drawn.swapaxes(1, 2)])
    assert looks_transposed(both) is None
    assert looks_transposed(np.zeros((80, 5, 5), np.uint8)) is None


def test_light_ink_is_inverted_once() -> None:
    light = upright(9)
    source = assemble("x", "made", light.copy(), np.array(["A"] * 9))
    assert np.array_equal(source.pack.images, 255 - light)
    again = assemble("x", "made", source.pack.images.copy(), np.array(["A"] * 9))
    assert np.array_equal(again.pack.images, 255 - light)
