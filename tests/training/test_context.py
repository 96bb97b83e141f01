"""The second stage over a card's boxes: what it learns, what it must not, how it is judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from glyph_packs import drawn_glyphs, write_pack
from tiny_model import make_tiny_model
from vin_batch.classifier.keras_classifier import KerasClassifier, open_classifier
from vin_batch.classifier.model_card import load_model_card
from vin_batch.errors import UsageError
from vin_batch.training import context, context_study
from vin_batch.training.context import EMPTY, WriterCards
from vin_batch.training.packs import load_pack
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH

SIZE = 6
"""Features of the planted cards."""
SURE, TORN = 0.999, 0.5


def planted_cards(people: int, seed: int) -> WriterCards:
    """Cards of fives and esses that only their writer's other characters can tell apart.

    Every person writes each of the two in a shape of their own. The recogniser is sure of most
    boxes and torn between the two in four, whose shapes are those of the person all the same.
    """
    rng = np.random.default_rng(seed)
    five, ess = ALPHABET.index("5"), ALPHABET.index("S")
    shapes = rng.normal(size=(people, 2, SIZE))
    kinds = rng.integers(0, 2, (people, VIN_LENGTH))
    features = np.take_along_axis(shapes, kinds[..., None], axis=1)
    features = features + rng.normal(0, 1.0, features.shape)
    labels = np.where(kinds == 0, five, ess)
    probs = np.full((people, VIN_LENGTH, len(ALPHABET)), 1e-4)
    np.put_along_axis(probs, labels[..., None], SURE, axis=2)
    probs[:, :4, [five, ess]] = TORN + rng.normal(0, 0.01, (people, 4, 2))
    log_probs = np.log(probs / probs.sum(axis=2, keepdims=True))
    return WriterCards(
        features.astype(np.float32),
        log_probs.astype(np.float32),
        labels.astype(np.int16),
        np.arange(people),
    )


@pytest.fixture(scope="module")
def style() -> context.Style:
    return context.fit_style([planted_cards(300, seed=1)], [planted_cards(100, seed=2)])


def test_the_variances_are_those_that_were_planted(style: context.Style) -> None:
    # Half of a box's distance from its class is the person's own shape; nothing is shared.
    assert style.own == pytest.approx(np.full(len(style.own), context.MOST_SHARE), abs=0.12)
    assert (style.shared < 0.08).all()


def test_what_a_person_wrote_elsewhere_tells_torn_boxes_apart(style: context.Style) -> None:
    cards = planted_cards(150, seed=3)
    evidence = context.style_evidence(style, cards)
    assert context.best_weight(cards, evidence) > 0
    right, loss = context.changes(cards, context.with_evidence(cards, evidence, 1.0))
    assert right[1] > right[0] + 0.04
    assert right[2] > 0
    assert loss[3] < 0


def test_the_control_shows_no_such_gain(style: context.Style) -> None:
    control = context.mismatched(planted_cards(150, seed=3), seed=4)
    evidence = context.style_evidence(style, control)
    right, _ = context.changes(control, context.with_evidence(control, evidence, 1.0))
    assert right[2] <= 0


def test_evidence_is_a_ratio_of_normal_densities(style: context.Style) -> None:
    """Compared with the joint density of the doubtful and the sure boxes, written out."""
    rng = np.random.default_rng(5)
    classes = np.array([3, 3, 7])
    seen, here = rng.normal(size=(3, len(style.own))), rng.normal(size=(2, len(style.own)))
    found = context._log_ratio(style, seen, classes, here, np.array([3, 9]))
    for row, candidate in enumerate((3, 9)):
        expected = 0.0
        labels = np.append(classes, candidate)
        for k, (own, shared) in enumerate(zip(style.own, style.shared, strict=True)):
            joint = shared + own * (labels[:, None] == labels) + (1 - own - shared) * np.eye(4)
            x = np.append(seen[:, k], here[row, k])
            expected += _log_normal(x, joint) - _log_normal(x[:3], joint[:3, :3])
            expected -= _log_normal(x[3:], np.eye(1))
        assert found[row] == pytest.approx(expected)


def _log_normal(x: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    solved = np.linalg.solve(covariance, x)
    volume = float(np.linalg.slogdet(2 * np.pi * covariance)[1])
    return -0.5 * (volume + float(x @ solved))


def test_the_control_keeps_characters_and_moves_boxes() -> None:
    cards = planted_cards(50, seed=4)
    control = context.mismatched(cards, seed=5)
    assert (control.labels == cards.labels).all()
    moved = (control.features != cards.features).any(axis=2)
    assert moved.mean() > 0.9
    assert np.allclose(np.sort(control.features, axis=None), np.sort(cards.features, axis=None))


def test_boxes_have_no_place_and_sure_ones_stay(style: context.Style) -> None:
    cards = planted_cards(6, seed=7)
    evidence = context.style_evidence(style, cards)
    assert (evidence[:, :4] != 0).any()
    assert not evidence[:, 4:].any()
    order = np.random.default_rng(1).permutation(VIN_LENGTH)
    turned = WriterCards(
        cards.features[:, order], cards.log_probs[:, order], cards.labels[:, order], cards.writers
    )
    assert np.allclose(context.style_evidence(style, turned), evidence[:, order])


def test_empty_boxes_say_nothing_and_a_card_of_them_changes_nothing(style: context.Style) -> None:
    cards = planted_cards(6, seed=8)
    cards.labels[:, 10:] = EMPTY
    other = replace(cards, features=cards.features.copy())
    other.features[:, 10:] = 99.0
    assert np.allclose(context.style_evidence(style, other), context.style_evidence(style, cards))
    cards.labels[:, 4:] = EMPTY
    assert not context.style_evidence(style, cards).any()


def test_intervals_are_over_writers() -> None:
    cards = planted_cards(60, seed=9)
    after = cards.log_probs.astype(np.float64)
    after[:30, :4, ALPHABET.index("S")] += 1.0
    once, _ = context.changes(cards, after)
    tenfold = np.tile(np.arange(60), 10)
    ten, _ = context.changes(cards.where(tenfold), after[tenfold])
    assert np.allclose(once, ten)
    assert once[2] <= once[1] - once[0] <= once[3]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> KerasClassifier:
    directory = make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return open_classifier(load_model_card(directory), "cpu")


def test_cards_are_of_one_writer_and_read_by_the_recogniser(
    tmp_path: Path, classifier: KerasClassifier
) -> None:
    writers = np.tile(np.arange(3), len(ALPHABET))
    path = write_pack(tmp_path / "forms.npz", copies=3, seed=1, writer=writers)
    drawn = context_study.cards_by_writer(load_pack(path, ALPHABET))
    assert [card[2] for card in drawn] == [0, 1, 2]
    assert all(card[1] == list(range(VIN_LENGTH)) for card in drawn)
    cards = context_study.read_cards(classifier, [drawn[0], (drawn[1][0][:4], [0, 1, 2, 3], 1)])
    assert cards.shown[0].sum() > 12
    assert not cards.shown[1, 4:].any()
    assert (cards.log_probs.argmax(axis=2) == cards.labels)[cards.shown].mean() > 0.5
    logits = cards.features[cards.shown] @ classifier.network.layers[-1].get_weights()[0]
    agree = logits.argmax(axis=1) == cards.log_probs[cards.shown].argmax(axis=1)
    assert agree.mean() > 0.9


def test_a_pack_without_writers_is_refused(tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path / "sheets.npz", copies=1), ALPHABET)
    with pytest.raises(UsageError, match="names no writers"):
        context_study.cards_by_writer(pack)


def test_mixed_cards_hold_digits_of_one_and_letters_of_another() -> None:
    digits, letters = planted_cards(3, seed=10), planted_cards(4, seed=11)
    digits = replace(digits, labels=np.full_like(digits.labels, 5))
    letters = replace(letters, labels=np.full_like(letters.labels, 20))
    cards = context_study.mixed(digits, letters, seed=0)
    assert (cards.labels[:, : context_study.DIGITS_EACH] == 5).all()
    assert (cards.labels[:, context_study.DIGITS_EACH :] == 20).all()
    assert set(cards.writers) == set(digits.writers)
    assert len(cards.labels) == 6


def test_the_command_prints_every_line_with_its_control(
    tmp_path: Path,
    classifier: KerasClassifier,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    letters = "ABCDEFGH"
    for path in ("train/name_forms.npz", "evaluate/letter_cards.npz"):
        hands = np.tile(np.arange(20), len(letters))
        write_pack(tmp_path / path, letters, copies=20, seed=len(path), writer=hands)
    images, labels = drawn_glyphs("0123456789", copies=17, seed=5)
    order = np.random.default_rng(6).permutation(len(labels))
    test = np.arange(len(labels)) >= len(labels) // 2
    write_pack(
        tmp_path / "train" / "mnist.npz", X=images[order], y=np.array(labels)[order], is_test=test
    )
    monkeypatch.setattr(context_study, "FORMS_EVERY", 1)
    monkeypatch.setattr(context_study, "WEIGHING_EVERY", 2)
    monkeypatch.setattr(context_study, "WRITER_RUN", 17)
    told = ["--data", str(tmp_path), "--model", str(classifier.card.directory)]
    assert context_study.main(told) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("weight ")
    assert [line[:9] for line in lines[2::2]] == ["  control"] * 4
    assert lines[1].startswith("letters, held-out people")
    assert context_study.main(["--data", str(tmp_path / "nothing")]) != 0
    assert "error:" in capsys.readouterr().err
