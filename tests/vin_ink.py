"""Made-up ink for tests of the VIN rooms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.alphabet import ALPHABET, INDEX

CLEAR = 0.9999


def ink(vin: str, sure: float = CLEAR, **doubts: dict[str, float]) -> NDArray[np.float32]:
    """Log probabilities ``float32[17, 33]`` of a card that reads ``vin``.

    Args:
        vin: The text; ``?`` stands for a box without evidence.
        sure: Probability of the character in every box.
        doubts: ``p10={"A": 0.5, "4": 0.5}`` replaces a box by these probabilities.
    """
    rows = []
    for position, character in enumerate(vin, 1):
        probs = doubts.get(f"p{position}", {character: sure} if character != "?" else {})
        row = np.zeros(len(ALPHABET))
        for symbol, prob in probs.items():
            row[INDEX[symbol]] = prob
        rest = row == 0.0
        row[rest] = max(1.0 - row.sum(), 1e-7) / rest.sum()
        rows.append(np.log(row / row.sum()))
    return np.array(rows, dtype=np.float32)


def noisy_cards(seed: int, cards: int, spread: float = 3.0) -> NDArray[np.float32]:
    """Log probabilities ``float32[cards, 17, 33]`` of meaningless, ambiguous ink."""
    logits = np.random.default_rng(seed).normal(0.0, spread, (cards, 17, len(ALPHABET)))
    log_sums = np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return np.asarray(logits - log_sums, dtype=np.float32)
