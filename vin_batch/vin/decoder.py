"""From the ink of 17 boxes to the most probable VINs and their exact probabilities.

The prior is a mixture over WMIs and the body rules that may follow them (``priors``); the
likelihood is the product of the boxes' inks. The posterior of a VIN is its weight divided
by the sum over all 33^17 strings, with no pruning and no margin in place of a probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH
from vin_batch.vin.lattice import MIN_CARDS, Floats, Lattice
from vin_batch.vin.priors import vin_rules
from vin_batch.vin.ranking import rank
from vin_batch.vin.rules import PREFIX_LENGTH, Rules

INK_DOUBT: Final = 3e-5
"""Probability that a box's ink says nothing at all, whatever the classifier claims.

No classifier is calibrated far out in its tails; without this floor one wild box could
outvote the other sixteen. It is small enough for two clear boxes to beat any rule.
"""
CHUNK_CARDS: Final = 128
"""Cards decoded at a time: the tables of one chunk (about 10 MB) stay in the cache."""
ALTERNATIVES: Final = 4


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the decoder found, one row per card.

    Attributes:
        best: ``int8[n, 17]``, the most probable VIN.
        posterior: ``float64[n]``, its probability given ink and rules.
        alternatives: ``int8[n, k, 17]``, the next most probable VINs in order.
        alternative_posteriors: ``float64[n, k]``.
        check_use: ``float64[n]``, prior probability that the maker of ``best`` uses a
            check digit, given the visible features of ``best``.
        listed: ``bool[n]``, whether the WMI of ``best`` is one that the prior lists.
        log_evidence: ``float64[n]``, natural logarithm of how much better the rules
            explain the ink than random characters do. About 25 for a clearly written VIN,
            0 where the ink says nothing, below zero for text that is not a VIN.
    """

    best: NDArray[np.int8]
    posterior: NDArray[np.float64]
    alternatives: NDArray[np.int8]
    alternative_posteriors: NDArray[np.float64]
    check_use: NDArray[np.float64]
    listed: NDArray[np.bool_]
    log_evidence: NDArray[np.float64]


class Decoder:
    """Exact decoder; make one and keep it, the tables take some 50 ms to build.

    Args:
        rules: The prior; by default the one for VINs on this register's cards.
        alternatives: How many VINs to give besides the best one.
    """

    def __init__(self, rules: Rules | None = None, alternatives: int = ALTERNATIVES) -> None:
        self.rules = vin_rules() if rules is None else rules
        self._lattice = Lattice(self.rules)
        self._count = alternatives + 1

    def decode(self, log_probs: NDArray[np.floating]) -> Decoded:
        """Decode cards; the result for a card does not depend on the others.

        Args:
            log_probs: ``float32[n, 17, 33]``, calibrated log probabilities of every box
                under a nearly uniform class prior; a constant row says nothing.

        Returns:
            One row per card.

        Raises:
            ValueError: The shape is wrong or a number is not finite.
        """
        check_log_probs(log_probs, self.rules.scheme.length, self.rules.scheme.size)
        chunks = [
            self._decode_chunk(log_probs[start : start + CHUNK_CARDS])
            for start in range(0, max(len(log_probs), 1), CHUNK_CARDS)
        ]
        names = Decoded.__slots__
        return Decoded(*(np.concatenate([getattr(c, name) for c in chunks]) for name in names))

    def _decode_chunk(self, log_probs: NDArray[np.floating]) -> Decoded:
        cards = len(log_probs)
        ink = ink_of(log_probs, minimum_cards=MIN_CARDS)
        totals = self._totals(ink)
        best = self._lattice.completions(ink, maximum=True)
        ranking = rank(self._lattice, ink, best, self._count)
        posteriors = np.minimum(ranking.weights / totals[:, None], 1.0)[:cards]
        strings = ranking.strings[:cards]
        uniform = self.rules.scheme.length * np.log(self.rules.scheme.size)
        return Decoded(
            best=strings[:, 0],
            posterior=posteriors[:, 0],
            alternatives=strings[:, 1:],
            alternative_posteriors=posteriors[:, 1:],
            check_use=self.rules.bodies.check_use[ranking.rules[:cards, 0]],
            listed=self.rules.prefixes.unlisted[tuple(strings[:, 0, :PREFIX_LENGTH].T)] == 0.0,
            log_evidence=np.log(totals[:cards]) + uniform,
        )

    def _totals(self, ink: Floats) -> Floats:
        """Sum of prior times likelihood over all strings, ``float64[n]``."""
        prefixes = self.rules.prefixes
        bodies = self._lattice.completions(ink, maximum=False)[0]
        listed = self._lattice.known_weights(ink)
        listed *= bodies[prefixes.rule, self._lattice.known_residues]
        unlisted = self._lattice.unlisted_weights(ink, maximum=False)
        unlisted *= bodies[prefixes.unlisted_rule]
        return np.asarray(listed.sum(axis=0) + unlisted.sum(axis=(0, 1)))


def check_log_probs(
    log_probs: NDArray[np.floating],
    length: int = VIN_LENGTH,
    size: int = len(ALPHABET),
    card_ids: Sequence[str] | None = None,
) -> None:
    """Refuse arrays that cannot be log probabilities of boxes.

    Args:
        log_probs: What should be ``float32[n, length, size]``.
        length: Number of boxes.
        size: Number of classes.
        card_ids: Names of the cards for the message; by default their index.

    Raises:
        ValueError: The shape is wrong or a number is not finite; says which card.
    """
    if log_probs.ndim != 3 or log_probs.shape[1:] != (length, size):
        raise ValueError(f"log_probs has shape {log_probs.shape}, expected [n, {length}, {size}]")
    bad = np.flatnonzero(~np.isfinite(log_probs).all(axis=(1, 2)))
    if len(bad):
        card = card_ids[bad[0]] if card_ids else bad[0]
        raise ValueError(
            f"log_probs of card {card} (and {len(bad) - 1} others) holds NaN or infinity; "
            "give finite log probabilities, or a constant row for an empty box"
        )


def ink_of(log_probs: NDArray[np.floating], minimum_cards: int = 0) -> Floats:
    """Likelihoods of the boxes, normalised and floored, cards last.

    Args:
        log_probs: ``float[n, length, size]``.
        minimum_cards: Fewer cards are padded with boxes that say nothing.

    Returns:
        ``float64[length, size, max(n, minimum_cards)]``; every box sums to 1.
    """
    cards, length, size = log_probs.shape
    ink = np.full((length, size, max(cards, minimum_cards)), 1.0 / size)
    shifted = np.asarray(log_probs, dtype=np.float64)
    odds = np.exp(np.ascontiguousarray(shifted - shifted.max(axis=2, keepdims=True)))
    odds /= odds.sum(axis=2, keepdims=True)
    ink[:, :, :cards] = ((1.0 - INK_DOUBT) * odds + INK_DOUBT / size).transpose(1, 2, 0)
    return ink
