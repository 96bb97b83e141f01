"""Confident learning, by hand and on labels that were made wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from glyph_packs import as_pack, drawn_glyphs
from vin_batch.classifier.model_card import ModelCard
from vin_batch.preprocess import preprocess_image
from vin_batch.training.datasets import find_suspects
from vin_batch.training.datasets.cross_fit import (
    cross_fit,
    fit_neighbours,
    folds_of,
    probabilities,
)
from vin_batch.training.datasets.label_noise import (
    class_thresholds,
    confident_classes,
    confident_joint,
)
from vin_batch.training.datasets.summary import suspects_of


class CountingClassifier:
    """Answers by the amount of ink, in three classes."""

    device = "none"

    @property
    def card(self) -> ModelCard:
        raise NotImplementedError("nobody asks")

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        ink = 0.01 + pixels.mean(axis=(1, 2)) / 300
        return np.asarray(np.log(np.stack([ink / 2, ink / 2, 1 - ink], axis=1)), np.float32)


def preprocessed(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([preprocess_image(image)[0] for image in images])


LABELS = np.array([0, 0, 0, 1, 1, 1])
PROBS = np.array(
    [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9], [0.85, 0.15]], np.float64
)
"""Mean self-confidence: class 0 (0.9 + 0.7 + 0.2) / 3 = 0.6; class 1 (0.6 + 0.9 + 0.15) / 3 =
0.55. So rows 0 and 1 are surely 0, row 2 surely 1, rows 3 and 4 surely 1, row 5 surely 0."""


def test_thresholds_and_sure_classes_by_hand() -> None:
    assert class_thresholds(LABELS, PROBS) == pytest.approx([0.6, 0.55])
    assert confident_classes(LABELS, PROBS).tolist() == [0, 0, 1, 1, 1, 0]


def test_joint_by_hand() -> None:
    joint = confident_joint(LABELS, PROBS)
    assert joint == pytest.approx(np.array([[2, 1], [1, 2]]) / 6)


def test_suspects_by_hand_come_worst_first() -> None:
    found = find_suspects(LABELS, PROBS)
    assert found.mask.tolist() == [False, False, True, False, False, True]
    assert found.rows.tolist() == [5, 2]
    assert found.given.tolist() == [1, 0]
    assert found.likely.tolist() == [0, 1]
    assert found.margin == pytest.approx([-0.7, -0.6])


def test_a_class_that_the_model_doubts_everywhere_is_no_suspect() -> None:
    # Plain argmax would suspect all of class 1; its own threshold is low, so none is.
    labels = np.array([0] * 5 + [1] * 5)
    probs = np.array([[0.9, 0.1]] * 5 + [[0.55, 0.45]] * 5)
    assert (probs.argmax(axis=1) != labels).sum() == 5
    assert not find_suspects(labels, probs).mask.any()


def test_arrays_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="6 labels"):
        find_suspects(LABELS, PROBS[:5])
    with pytest.raises(ValueError, match="labels reach 2"):
        find_suspects(LABELS + 1, PROBS)


@settings(max_examples=40)
@given(st.integers(1, 5).flatmap(lambda k: st.tuples(
    arrays(np.int64, st.integers(0, 30), elements=st.integers(0, k - 1)), st.just(k))),
    st.integers(0, 2**32 - 1))  # fmt: skip
def test_rules_of_the_joint(case: tuple[NDArray[np.int64], int], seed: int) -> None:
    labels, classes = case
    probs = np.random.default_rng(seed).dirichlet(np.ones(classes), len(labels))
    joint = confident_joint(labels, probs)
    share = np.bincount(labels, minlength=classes) / max(len(labels), 1)
    assert joint.sum(axis=1) == pytest.approx(share)
    found = find_suspects(labels, probs)
    assert sorted(found.rows.tolist()) == np.flatnonzero(found.mask).tolist()
    assert (found.given == labels[found.rows]).all()
    assert (found.given != found.likely).all()
    assert (np.diff(found.margin) >= 0).all()


def test_labels_made_wrong_are_found_without_any_model() -> None:
    images, labels = drawn_glyphs("2AKW", 40, seed=1)
    wrong = [3, 50, 90, 130]
    truth = list(labels)
    for row in wrong:
        labels[row] = "A" if labels[row] != "A" else "W"
    order = np.random.default_rng(0).permutation(len(labels))
    found = suspects_of(as_pack("made", images[order], [labels[row] for row in order]))
    rows = [int(order[suspect.row]) for suspect in found]
    assert len(set(wrong) & set(rows)) >= 3
    assert len(set(rows) - set(wrong)) <= 5
    for suspect, row in zip(found, rows, strict=True):
        assert suspect.label == labels[row]
        if row in wrong:
            assert suspect.likely == truth[row]


def test_folds_never_divide_a_writer() -> None:
    images, labels = drawn_glyphs("AB", 20, seed=1)
    pack = as_pack("made", images, labels)
    assert [np.unique(folds_of(pack)[half * 20 :][:20], return_counts=True)[1].tolist()
            for half in (0, 1)] == [[4] * 5] * 2  # fmt: skip
    assert (np.diff(folds_of(pack)[:20]) >= 0).all(), "stretches, not single images"
    writers = np.arange(40) % 7
    known = type(pack)(pack.name, images, pack.labels, pack.held_out, pack.rows, writers)
    fold = folds_of(known)
    assert all(len(set(fold[writers == writer])) == 1 for writer in range(7))
    assert len(set(fold)) == 5


def test_cross_fitting_never_shows_an_image_to_its_own_model() -> None:
    images = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 3, 3), np.uint8)
    labels, fold = np.arange(10) % 2, np.arange(10) % 3

    def fit(shown: NDArray[np.uint8], told: NDArray[np.int64]):  # type: ignore[no-untyped-def] # noqa: ANN202
        def predict(asked: NDArray[np.uint8]) -> NDArray[np.float64]:
            assert not set(asked[:, 0, 0]) & set(shown[:, 0, 0])
            assert len(asked) + len(shown) == 10
            return np.stack([asked[:, 0, 0], 255.0 - asked[:, 0, 0]], axis=1)

        return predict

    probs = cross_fit(images, labels, fold, fit)
    assert probs[:, 0].tolist() == list(range(10)), "answers come back to their rows"
    with pytest.raises(ValueError, match="two folds"):
        cross_fit(images, labels, np.zeros(10, np.int64), fit)


def test_neighbours_vote_with_probabilities() -> None:
    images, labels = drawn_glyphs("17", 12, seed=2)
    numbers = np.array([label == "7" for label in labels], np.int64)
    probs = fit_neighbours(2)(images, numbers)(images)
    assert probs.sum(axis=1) == pytest.approx(np.ones(24))
    assert (probs.argmax(axis=1) == numbers).mean() > 0.9


def test_a_recogniser_gives_probabilities_of_what_it_would_see() -> None:
    images, _ = drawn_glyphs("AHW", 2, seed=5)
    blank = np.full((1, *images.shape[1:]), 255, np.uint8)
    asked = np.concatenate([images[:3], blank, images[3:]])
    engine = CountingClassifier()
    probs = probabilities(engine, asked)
    seen = [row for row in range(7) if row != 3]
    assert probs[seen] == pytest.approx(np.exp(engine.log_probs(preprocessed(images))))
    assert probs[3] == pytest.approx([1 / 3] * 3), "nothing is known of a blank image"
