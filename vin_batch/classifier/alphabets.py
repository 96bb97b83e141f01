"""The alphabets that a character may be answered from, and how answers are restricted."""

from __future__ import annotations

import string
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.model_card import ModelCard
from vin_batch.errors import ModelError
from vin_batch.vin.alphabet import ALPHABET

ALPHABETS: Final[dict[str, str]] = {
    "vin": ALPHABET,
    "alnum36": string.digits + string.ascii_uppercase,
    "byclass62": string.digits + string.ascii_uppercase + string.ascii_lowercase,
}
"""``vin``: ISO 3779; ``alnum36``: MNIST with A-Z; ``byclass62``: EMNIST ByClass."""


def require_alphabet(card: ModelCard, alphabet: str) -> None:
    """Refuse a model that cannot answer from an alphabet.

    Args:
        card: The model.
        alphabet: Key of ``ALPHABETS``.

    Raises:
        ModelError: The model does not know all characters of the alphabet.
    """
    missing = [character for character in ALPHABETS[alphabet] if character not in card.classes]
    if missing:
        raise ModelError(
            f"model {card.name} does not know {''.join(missing)}, which {alphabet} needs",
            f"Train one with `vin-batch train --alphabet {alphabet}` and name it with --model, "
            "or ask for --alphabet vin.",
        )


def restrict(log_probs: NDArray[np.float32], card: ModelCard, alphabet: str) -> NDArray[np.float32]:
    """Keep the classes of an alphabet and renormalise.

    Args:
        log_probs: ``float32[m, classes of the model]``.
        card: The model.
        alphabet: Key of ``ALPHABETS``.

    Returns:
        ``float32[m, len(alphabet)]`` in the alphabet's order.

    Raises:
        ModelError: The model does not know all characters of the alphabet.
    """
    require_alphabet(card, alphabet)
    wanted = [card.classes.index(character) for character in ALPHABETS[alphabet]]
    chosen = log_probs[:, wanted]
    total: NDArray[np.float32] = np.logaddexp.reduce(chosen, axis=1, keepdims=True)
    return chosen - total
