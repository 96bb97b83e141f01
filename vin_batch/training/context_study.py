"""Whether the other boxes of a card help to read a box, for people not learned from.

    python -m vin_batch.training.context_study --data DIR

Every line of the table is followed by its control (see ``context``). As no source holds digits
and letters of one person, the last cards mix digits of one and letters of another.

Letters come from sources that name their writers. The digits are MNIST's, which stand in the
order of their writers: in the test set from image 5,000 on, in the training set as two series,
at even and at odd places. No list says so, but slant, ink and stroke width do: in the test set
they correlate by 0.6 to 0.7 between neighbours, 0.4 fifty images on, 0.1 after 250.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.keras_classifier import KerasClassifier, open_classifier
from vin_batch.classifier.model_card import (
    default_model_directory,
    load_model_card,
    require_vin_classes,
)
from vin_batch.errors import UsageError, VinBatchError
from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.records import BoxIssue
from vin_batch.training.cards import draw_crops
from vin_batch.training.context import (
    EMPTY,
    WriterCards,
    best_weight,
    changes,
    fit_style,
    mismatched,
    style_evidence,
    with_evidence,
)
from vin_batch.training.packs import GlyphPack, ink_mask, load_pack
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH

FORMS_EVERY: Final = 6
"""Of the name forms' writers, one in so many is learned from."""
MNIST_LEARNED: Final = 8_000
"""Images of MNIST's training set that are learned from, from its beginning."""
WRITER_RUN: Final = 100
"""Consecutive MNIST images that count as one writer when writers are resampled."""
WEIGHING_EVERY: Final = 5
"""Every fifth writer fits the variances and the weight; directions are chosen on the others."""
DIGITS_EACH: Final = 9
"""Boxes of a mixed card for digits; the other eight are for letters."""
CARDS_PER_DRAWING: Final = 100
SEED: Final = 9
Drawn = tuple[list[NDArray[np.float32]], list[int], int]
"""Ink covers of one card, their classes, and the writer."""


def cards_by_writer(pack: GlyphPack) -> list[Drawn]:
    """One card for every writer that a pack names: their first 17 characters."""
    if pack.writers is None:
        raise UsageError(f"pack {pack.name} names no writers", "Take one with an array `writer`.")
    people = np.unique(pack.writers)
    return [_card(pack, np.flatnonzero(pack.writers == person), person) for person in people]


def cards_in_order(pack: GlyphPack, rows: NDArray[np.int64], first_writer: int = 0) -> list[Drawn]:
    """Cards of 17 consecutive images each; ``WRITER_RUN`` images count as one writer."""
    starts = range(0, len(rows) - VIN_LENGTH + 1, VIN_LENGTH)
    return [
        _card(pack, rows[start : start + VIN_LENGTH], first_writer + start // WRITER_RUN)
        for start in starts
    ]


def _card(pack: GlyphPack, rows: NDArray[np.int64], writer: int) -> Drawn:
    masks = [(ink_mask(pack.images[row]), str(pack.labels[row])) for row in rows]
    inked = [(mask, ALPHABET.index(label)) for mask, label in masks if mask is not None]
    kept = inked[:VIN_LENGTH]
    return [ink for ink, _ in kept], [label for _, label in kept], int(writer)


def read_cards(classifier: KerasClassifier, cards: list[Drawn]) -> WriterCards:
    """Draw cards as scans, preprocess them, and let the recogniser read them."""
    shape = (len(cards), VIN_LENGTH)
    pixels = np.zeros((*shape, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    labels = np.full(shape, EMPTY, np.int16)
    for start in range(0, len(cards), CARDS_PER_DRAWING):
        glyphs = [card[0] for card in cards[start : start + CARDS_PER_DRAWING]]
        for row, box, crop in draw_crops(glyphs, "scan", [SEED, start]):
            pixels[start + row, box], issue = preprocess_image(crop)
            if issue is BoxIssue.NONE:
                labels[start + row, box] = cards[start + row][1][box]
    shown, network = labels != EMPTY, classifier.network
    inner = keras.Model(network.inputs, network.layers[-1].input)
    seen = np.asarray(inner.predict(pixels[shown][..., None], batch_size=256, verbose=0))
    features = np.zeros((*shape, seen.shape[1]), np.float32)
    log_probs = np.full((*shape, len(ALPHABET)), -np.log(len(ALPHABET)), np.float32)
    features[shown], log_probs[shown] = seen, classifier.log_probs(pixels[shown])
    return WriterCards(features, log_probs, labels, np.array([card[2] for card in cards]))


def mixed(digits: WriterCards, letters: WriterCards, seed: int) -> WriterCards:
    """Cards with nine digits of one writer and up to eight letters of another."""
    rng = np.random.default_rng(seed)
    count = max(2 * len(digits.labels), len(letters.labels))
    first = np.resize(rng.permutation(2 * len(digits.labels)), count)
    second = np.resize(rng.permutation(len(letters.labels)), count)

    def join(name: str) -> NDArray[Any]:
        boxes, rest = getattr(digits, name), VIN_LENGTH - DIGITS_EACH
        halves = np.concatenate([boxes[:, :DIGITS_EACH], boxes[:, rest:]])
        return np.concatenate([halves[first], getattr(letters, name)[second, :rest]], axis=1)

    writers = np.tile(digits.writers, 2)[first]
    return WriterCards(join("features"), join("log_probs"), join("labels"), writers)


def study(folder: Path, classifier: KerasClassifier, share: int) -> str:
    """Learn, and tell what changes for people not learned from, line by line.

    Args:
        folder: The data folder.
        classifier: A recogniser of the 33 VIN characters.
        share: Read only one card in so many; 1 for all.
    """
    orders = _orders(folder)
    seen = {name: read_cards(classifier, cards[::share]) for name, cards in orders.items()}
    digits, letters = seen.pop("digits"), seen.pop("letters")
    weighs = [
        np.unique(cards.writers, return_inverse=True)[1] % WEIGHING_EVERY == 1
        for cards in (digits, letters)
    ]
    learned = [cards.where(~kept) for cards, kept in zip((digits, letters), weighs, strict=True)]
    others = [cards.where(kept) for cards, kept in zip((digits, letters), weighs, strict=True)]
    style = fit_style(learned, others)
    weighed = mixed(others[0], others[1], seed=2)
    weight = best_weight(weighed, style_evidence(style, weighed))
    seen["both, held-out people"] = mixed(
        seen["digits, held-out people"], seen["letters, held-out people"], seed=3
    )
    lines = [f"weight {weight:.1f}; right, and mean loss: before, after, interval of the change"]
    for name, cards in seen.items():
        for told, shown in ((name, cards), ("  control", mismatched(cards, seed=1))):
            right, loss = changes(shown, with_evidence(shown, style_evidence(style, shown), weight))
            lines.append(
                f"{told:26s}{shown.shown.sum():6d} boxes"
                + "  {:6.2f} % {:6.2f} % [{:+.2f}, {:+.2f}]".format(*(100 * right))
                + "  {:.4f} {:.4f} [{:+.4f}, {:+.4f}]".format(*loss)
            )
    return "\n".join(lines)


def _orders(folder: Path) -> dict[str, list[Drawn]]:
    """What to draw; the first two are learned from."""
    forms = load_pack(folder / "train" / "name_forms.npz", ALPHABET)
    unseen = load_pack(folder / "evaluate" / "letter_cards.npz", ALPHABET)
    mnist = load_pack(folder / "train" / "mnist.npz", ALPHABET)
    learned, test = mnist.part(held_out=False), mnist.part(held_out=True)
    even, odd = (np.arange(first, len(learned.labels), 2) for first in (0, 1))
    each = MNIST_LEARNED // 2
    # The first half of MNIST's test set is not in the order of its writers.
    ordered = np.arange(len(test.labels) // 2, len(test.labels))
    return {
        "digits": cards_in_order(learned, even[:each]) + cards_in_order(learned, odd[:each], 1_000),
        "letters": cards_by_writer(forms.part(held_out=False))[::FORMS_EVERY],
        "letters, held-out people": cards_by_writer(
            forms.part(held_out=True).without_label_errors()
        ),
        "letters, unseen source": cards_by_writer(unseen.without_label_errors()),
        "digits, held-out people": cards_in_order(test, ordered),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the study; see the module."""
    parser = argparse.ArgumentParser(prog="python -m vin_batch.training.context_study")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="training data")
    parser.add_argument("--model", type=Path, metavar="DIR", help="recogniser (default: shipped)")
    parser.add_argument("--share", type=int, default=1, metavar="N", help="one card in N only")
    options = parser.parse_args(arguments)
    try:
        card = load_model_card(options.model or default_model_directory())
        require_vin_classes(card)
        print(study(options.data, open_classifier(card, "cpu"), max(1, options.share)))
    except VinBatchError as error:
        print(f"error: {error.message}\n{error.advice}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
