"""Sums and maxima over all strings, by dynamic programming over residues.

Arrays keep the cards on the last axis: all arithmetic is then elementwise over contiguous
cards, fast, and the result for a card does not depend on which cards are beside it. For
the same reason no BLAS product is used (its order of summation depends on the shape), and
the caller pads to at least ``MIN_CARDS`` cards, because NumPy sums in another order along
an axis that has become contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.rules import PREFIX_LENGTH, Rules

MIN_CARDS: Final = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lattice:
    """The prior prepared for the dynamic programme.

    Attributes:
        rules: The prior.
    """

    rules: Rules

    @cached_property
    def prefix_residues(self) -> NDArray[np.int64]:
        """``int64[size, size, size]``: residue of every prefix."""
        scheme = self.rules.scheme
        prefixes = np.moveaxis(np.indices((scheme.size,) * PREFIX_LENGTH), 0, -1)
        return _partial_residues(self.rules, prefixes)

    @cached_property
    def known_residues(self) -> NDArray[np.int64]:
        """``int64[cells]``: residue of the prefix of every listed cell."""
        return _partial_residues(self.rules, self.rules.prefixes.known)

    @cached_property
    def _groups(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        scheme = self.rules.scheme
        order = np.argsort(self._group_of_prefix, kind="stable")
        counts = np.bincount(self._group_of_prefix, minlength=scheme.size * scheme.modulus)
        place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        members = np.zeros((len(counts), counts.max(), PREFIX_LENGTH), dtype=np.int64)
        padding = np.ones(members.shape[:2], dtype=np.bool_)
        prefixes = np.stack(np.unravel_index(order, (scheme.size,) * PREFIX_LENGTH), axis=-1)
        members[self._group_of_prefix[order], place] = prefixes
        padding[self._group_of_prefix[order], place] = False
        return members, padding

    @property
    def _group_of_prefix(self) -> NDArray[np.int64]:
        residues = self.prefix_residues
        first = np.arange(len(residues))[:, None, None]
        return (first * self.rules.scheme.modulus + residues).ravel()

    @property
    def members(self) -> NDArray[np.int64]:
        """``int64[groups, most, 3]``: prefixes by first character and residue."""
        return self._groups[0]

    @property
    def padding(self) -> NDArray[np.bool_]:
        """``bool[groups, most]``: entries of ``members`` that only fill up the row."""
        return self._groups[1]

    def completions(self, ink: Floats, *, maximum: bool) -> Floats:
        """Weigh all bodies, from the end of the string to its beginning.

        Args:
            ink: ``float64[length, size, n]``, likelihood of every class.
            maximum: Take the best body instead of the sum over bodies.

        Returns:
            ``float64[steps + 1, rules, modulus, n]``: weight of everything that can follow
            from body step ``s`` on, when the characters before it have that residue. Step
            0 is the first position after the prefix; the last row is the check position.
        """
        scheme, bodies = self.rules.scheme, self.rules.bodies
        steps = self.rules.body_positions
        shape = (len(steps) + 1, len(bodies.names), scheme.modulus, ink.shape[-1])
        table = np.empty(shape)
        table[-1] = _combine_classes(bodies.check, ink[scheme.position], maximum=maximum)
        for step in range(len(steps) - 1, -1, -1):
            position = steps[step]
            by_residue = self._by_residue(position, ink[position], maximum=maximum)
            _shift_and_combine(by_residue, table[step + 1], table[step], maximum=maximum)
        return table

    def _by_residue(self, position: int, ink: Floats, *, maximum: bool) -> dict[int, Floats]:
        """Weight ``[rules, n]`` of the classes at a position that add the same residue."""
        scheme, prior = self.rules.scheme, self.rules.bodies.positions[:, position]
        result: dict[int, Floats] = {}
        for class_, value in enumerate(scheme.values):
            residue = int(value * scheme.weights[position] % scheme.modulus)
            term = prior[:, class_, None] * ink[class_]
            if residue not in result:
                result[residue] = term
            elif maximum:
                np.maximum(result[residue], term, out=result[residue])
            else:
                result[residue] += term
        return result

    def known_weights(self, ink: Floats) -> Floats:
        """Prior times ink of every listed cell's prefix, ``float64[cells, n]``."""
        prefixes = self.rules.prefixes
        first, second, third = (ink[place][prefixes.known[:, place]] for place in range(3))
        return np.asarray(prefixes.weight[:, None] * first * second * third)

    def unlisted_weights(self, ink: Floats, *, maximum: bool) -> Floats:
        """Prior times ink of the unlisted prefixes.

        Returns:
            ``float64[size, modulus, n]``: by first character and residue of the prefix.
        """
        scheme, unlisted = self.rules.scheme, self.rules.prefixes.unlisted
        first, second, third = (
            scheme.values * scheme.weights[place] % scheme.modulus for place in range(PREFIX_LENGTH)
        )
        cards = ink.shape[-1]
        tails = np.zeros((scheme.modulus, scheme.size, cards))
        for residue in np.unique(third):
            pairs = np.zeros((scheme.size, scheme.size, cards))
            for class_ in np.flatnonzero(third == residue).tolist():
                _accumulate(pairs, unlisted[:, :, class_, None] * ink[2][class_], maximum=maximum)
            pairs *= ink[1]
            for class_ in range(scheme.size):
                place = (residue + second[class_]) % scheme.modulus
                _accumulate(tails[place], pairs[:, class_], maximum=maximum)
        result = np.empty((scheme.size, scheme.modulus, cards))
        for class_ in range(scheme.size):
            result[class_] = np.roll(tails[:, class_], first[class_], axis=0) * ink[0][class_]
        return result


def _partial_residues(rules: Rules, prefixes: NDArray[np.int64]) -> NDArray[np.int64]:
    scheme = rules.scheme
    weighted = scheme.values[prefixes] * scheme.weights[:PREFIX_LENGTH]
    return np.asarray(weighted.sum(axis=-1) % scheme.modulus)


def _accumulate(target: Floats, term: Floats, *, maximum: bool) -> None:
    (np.maximum if maximum else np.add)(target, term, out=target)


def _combine_classes(prior: Floats, ink: Floats, *, maximum: bool) -> Floats:
    """Sum or maximum over the class axis of ``prior[..., class] * ink[class, n]``."""
    total = np.zeros((*prior.shape[:-1], ink.shape[-1]))
    for class_ in range(prior.shape[-1]):
        _accumulate(total, prior[..., class_, None] * ink[class_], maximum=maximum)
    return total


def _shift_and_combine(
    by_residue: dict[int, Floats], after: Floats, out: Floats, *, maximum: bool
) -> None:
    """Fill ``out[rule, r] = combine over v of by_residue[v] * after[rule, r + v]``."""
    modulus = after.shape[1]
    twice = np.concatenate([after, after], axis=1)
    out.fill(0.0)
    for residue, weight in by_residue.items():
        _accumulate(
            out, weight[:, None, :] * twice[:, residue : residue + modulus], maximum=maximum
        )
