"""From the ink of 17 boxes to the most probable VINs and their probabilities.

The prior is a mixture over WMIs and the body rules that may follow them (``priors``); the
likelihood is the product of the boxes' inks. The posterior of a VIN is its weight divided by
the sum over all 33^17 strings, with no margin in place of a probability.

The best VINs are exactly the best. In the sum, a body rule whose strings together are at most
``NEGLIGIBLE`` of all strings of the card counts as an upper bound on them, every other one as
its exact sum. So the sum is never too small, and too large by a share of ``NEGLIGIBLE`` times
the number of rules at most: with 200 rules a posterior is at most 2e-10 of itself too small and,
but for rounding, never too large. Readings cut it to six decimals. Which rules are
negligible is decided for every card by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH
from vin_batch.vin.ink import box_probs
from vin_batch.vin.lattice import MIN_CARDS, Floats, Lattice
from vin_batch.vin.prefixes import Prefixes, PrefixSums
from vin_batch.vin.priors import vin_rules
from vin_batch.vin.ranking import Search
from vin_batch.vin.rules import PREFIX_LENGTH, Rules

INK_DOUBT: Final = 3e-5
"""Probability that a box's ink says nothing at all, whatever the classifier claims.

No classifier is calibrated far out in its tails; without this floor one wild box could
outvote the other sixteen. It is small enough for two clear boxes to beat any rule.
"""
NEGLIGIBLE: Final = 1e-12
"""Share of all strings of a card; a body rule that has no more counts as its upper bound."""
CHUNK_CARDS: Final = 128
"""Cards decoded at a time: enough that NumPy's cost per call is small, few enough that most of
the tables (about 2 MB) stay in the cache of a core."""
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
    """The decoder; make one and keep it, the tables take some 50 ms to build.

    Args:
        rules: The prior; by default the one for VINs on this register's cards.
        alternatives: How many VINs to give besides the best one.
    """

    def __init__(self, rules: Rules | None = None, alternatives: int = ALTERNATIVES) -> None:
        self.rules = vin_rules() if rules is None else rules
        self._lattice = Lattice(self.rules)
        self._prefixes = Prefixes(self.rules)
        self._search = Search(self._lattice, self._prefixes, alternatives + 1)

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
        return self.decode_probs(box_probs(log_probs))

    def decode_probs(self, probs: Floats) -> Decoded:
        """Decode cards from ``ink.box_probs`` of their boxes, ``float64[n, length, size]``."""
        chunks = [
            self._decode_chunk(probs[start : start + CHUNK_CARDS])
            for start in range(0, max(len(probs), 1), CHUNK_CARDS)
        ]
        names = Decoded.__slots__
        return Decoded(*(np.concatenate([getattr(c, name) for c in chunks]) for name in names))

    def _decode_chunk(self, probs: Floats) -> Decoded:
        cards = len(probs)
        ink = _soften(probs, minimum_cards=MIN_CARDS)
        sums = self._sum(ink)
        ranking = self._search.rank(ink, sums)
        posteriors = np.minimum(ranking.weights / sums.total[:, None], 1.0)[:cards]
        strings = ranking.strings[:cards]
        uniform = self.rules.scheme.length * np.log(self.rules.scheme.size)
        return Decoded(
            best=strings[:, 0],
            posterior=posteriors[:, 0],
            alternatives=strings[:, 1:],
            alternative_posteriors=posteriors[:, 1:],
            check_use=self.rules.bodies.check_use[ranking.rules[:cards, 0]],
            listed=self.rules.prefixes.unlisted[tuple(strings[:, 0, :PREFIX_LENGTH].T)] == 0.0,
            log_evidence=np.log(sums.total[:cards]) + uniform,
        )

    def _sum(self, ink: Floats) -> PrefixSums:
        """Sum prior times likelihood over all strings.

        Args:
            ink: ``float64[length, size, n]``.
        """
        lattice, prefixes = self._lattice, self._prefixes
        heads = prefixes.known_weights(ink)
        least, most = prefixes.by_rule(heads, ink)
        low, high = lattice.bounds(ink)
        certain = (least * low).max(axis=0)
        card, rule = np.nonzero((most * high >= NEGLIGIBLE * certain).T)
        bodies = np.repeat(high[:, None], self.rules.scheme.modulus, axis=1)
        bodies[rule, :, card] = lattice.bodies(ink, rule, card, np.add).T
        return prefixes.sums(heads, ink, bodies)


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


def ink_of(log_probs: NDArray[np.floating]) -> Floats:
    """Likelihoods of the boxes, normalised and floored, cards last.

    Args:
        log_probs: ``float[n, length, size]``.

    Returns:
        ``float64[length, size, n]``; every box sums to 1.
    """
    return _soften(box_probs(log_probs), minimum_cards=1)


def _soften(probs: Floats, minimum_cards: int) -> Floats:
    """Put ``INK_DOUBT`` into ``float64[n, length, size]``, and the cards last.

    The number of cards is filled up to a multiple of ``minimum_cards`` with boxes that say
    nothing.
    """
    cards, length, size = probs.shape
    filled = max(-(-cards // minimum_cards), 1) * minimum_cards
    ink = np.full((length, size, filled), 1.0 / size)
    ink[:, :, :cards] = ((1.0 - INK_DOUBT) * probs + INK_DOUBT / size).transpose(1, 2, 0)
    return ink
