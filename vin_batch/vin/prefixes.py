"""What the ink says about the first three characters: listed cells and all other codes.

The codes that are not listed are far too many to weigh one by one. But their prior depends
on their first two characters only: so the third character is summed up (or the best one is
taken) once for all pairs, and again only for the pairs that have listed members to leave
out. Nothing is subtracted: differences of nearly equal sums would have no exact digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.lattice import Floats, Ints, classes_by_residue, combined, with_nothing
from vin_batch.vin.rules import PREFIX_LENGTH, Rules


@dataclass(frozen=True, slots=True)
class Cells:
    """The listed cells, sorted by body rule, and as in ``PrefixRules`` within a rule.

    Attributes:
        known: ``int64[cells, 3]``, prefixes.
        residue: ``int64[cells]``, of the prefix.
        rule: ``int64[cells]``, body rule.
        weight: ``float64[cells]``, prior probability.
        owners: Body rules that have cells.
        begins: Where the cells of each of them begin.
    """

    known: Ints
    residue: Ints
    rule: Ints
    weight: Floats
    owners: Ints
    begins: Ints


@dataclass(frozen=True, slots=True)
class PrefixSums:
    """What the strings of every card weigh together.

    Attributes:
        total: ``float64[n]``, all strings.
        listed: ``float64[cells, n]``, those of each listed cell; none of them weighs more.
        unlisted: ``float64[n]``, no string whose prefix is not listed weighs more.
    """

    total: Floats
    listed: Floats
    unlisted: Floats


@dataclass(frozen=True)
class Prefixes:
    """The prior of the prefixes, prepared for sums and searches.

    Attributes:
        rules: The prior.
    """

    rules: Rules

    @cached_property
    def residues(self) -> Ints:
        """``int64[size, size, size]``: residue of every prefix."""
        scheme = self.rules.scheme
        added = scheme.values[:, None] * scheme.weights[:PREFIX_LENGTH]
        whole = added[:, None, None, 0] + added[None, :, None, 1] + added[None, None, :, 2]
        return np.asarray(whole % scheme.modulus)

    @cached_property
    def cells(self) -> Cells:
        """The listed cells."""
        prior = self.rules.prefixes
        order = np.argsort(prior.rule, kind="stable")
        known, rule = prior.known[order], prior.rule[order]
        owners, begins = np.unique(rule, return_index=True)
        residue = self.residues[tuple(known.T)]
        return Cells(known, residue, rule, prior.weight[order], owners, begins)

    @cached_property
    def unlisted_rules(self) -> Ints:
        """Body rules that follow some prefix that is not listed."""
        return np.unique(self.rules.prefixes.unlisted_rule)

    @cached_property
    def pair_prior(self) -> Floats:
        """``float64[size, size]``: prior of a prefix by its first two characters."""
        unlisted = self.rules.prefixes.unlisted
        pairs: Floats = unlisted.max(axis=2)
        if not ((unlisted == 0.0) | (unlisted == pairs[:, :, None])).all():
            raise ValueError("the prior of an unlisted prefix depends on its third character")
        return pairs

    @cached_property
    def _pair_cell(self) -> Ints:
        """``int64[size * size]``: row ``rule * modulus + residue`` after each pair."""
        scheme = self.rules.scheme
        place = np.searchsorted(self.unlisted_rules, self.rules.prefixes.unlisted_rule)
        first, second = (
            scheme.values * scheme.weights[i] % scheme.modulus for i in range(PREFIX_LENGTH - 1)
        )
        residue = (first[:, None] + second) % scheme.modulus
        return np.asarray(place[:, None] * scheme.modulus + residue).ravel()

    @cached_property
    def _thirds(self) -> Ints:
        """``int64[most, modulus]``: third characters by the residue that they add."""
        scheme = self.rules.scheme
        added = scheme.values * scheme.weights[PREFIX_LENGTH - 1] % scheme.modulus
        return classes_by_residue(added, scheme.modulus)

    @cached_property
    def _gaps(self) -> tuple[Ints, Ints, Ints]:
        """The pairs with listed members, and what of the third characters is left to them.

        Returns:
            ``int64[pairs]``, the pairs; ``int64[modulus, pairs]``, for every residue a
            column of the last array; ``int64[most, columns]``, classes that add the residue
            and are not listed, filled up with ``size``, which stands for no class.
        """
        size = self.rules.scheme.size
        free = (self.rules.prefixes.unlisted > 0.0).reshape(-1, size)
        pairs = np.flatnonzero(~free.all(axis=1))
        allowed = np.concatenate([free[pairs], np.zeros((len(pairs), 1), dtype=np.bool_)], axis=1)
        left = np.where(allowed[:, self._thirds], self._thirds, size)
        columns, which = np.unique(
            left.transpose(2, 0, 1).reshape(-1, len(self._thirds)), axis=0, return_inverse=True
        )
        return (
            pairs,
            which.reshape(self._thirds.shape[1], len(pairs)),
            np.ascontiguousarray(columns.T),
        )

    @cached_property
    def _untouched(self) -> Floats:
        """``pair_prior`` of the pairs without listed members, zero for the others."""
        return np.where((self.rules.prefixes.unlisted > 0.0).all(axis=2), self.pair_prior, 0.0)

    def known_weights(self, ink: Floats) -> Floats:
        """Prior times ink of every listed cell's prefix, ``float64[cells, n]``."""
        cells = self.cells
        first, second, third = (
            ink[place].take(cells.known[:, place], axis=0) for place in range(3)
        )
        first *= cells.weight[:, None]
        first *= second
        first *= third
        return np.asarray(first)

    def by_rule(self, heads: Floats, ink: Floats) -> tuple[Floats, Floats]:
        """Bounds on prior times ink of all prefixes together, by the body rule that follows.

        A pair of first characters with listed members counts once as if no third character
        were left to the others, and once as if every one were.

        Args:
            heads: ``known_weights``.
            ink: ``float64[length, size, n]``; every box sums to 1.

        Returns:
            Twice ``float64[rules, n]``: at least and at most this, up to rounding.
        """
        weights = np.zeros((2, len(self.rules.bodies.names), ink.shape[-1]))
        weights[:, self.cells.owners] = np.add.reduceat(heads, self.cells.begins, axis=0)
        for bound, prior in zip(weights, (self._untouched, self.pair_prior), strict=True):
            unlisted = np.einsum("ab,bn->an", prior, ink[1]) * ink[0]
            for rule in self.unlisted_rules:
                bound[rule] += unlisted[self.rules.prefixes.unlisted_rule == rule].sum(axis=0)
        return weights[0], weights[1]

    def rules_of(self, listed: NDArray[np.bool_], unlisted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The body rules of some prefixes, ``bool[rules, n]``.

        Args:
            listed: ``bool[cells, n]``, which of the listed cells.
            unlisted: ``bool[n]``, whether prefixes that are not listed, too.
        """
        rules = np.zeros((len(self.rules.bodies.names), len(unlisted)), dtype=np.bool_)
        rules[self.cells.owners] = np.logical_or.reduceat(listed, self.cells.begins, axis=0)
        rules[self.unlisted_rules] |= unlisted
        return rules

    def sums(self, heads: Floats, ink: Floats, bodies: Floats) -> PrefixSums:
        """Sum over strings of prior times ink.

        Args:
            heads: ``known_weights``.
            ink: ``float64[length, size, n]``.
            bodies: ``float64[rules, modulus, n]``, what follows a prefix of that residue.
        """
        modulus, cards = bodies.shape[1:]
        cells = self.cells
        listed = bodies.reshape(-1, cards).take(cells.rule * modulus + cells.residue, axis=0)
        listed *= heads
        pairs = self.after_pairs(ink[2], bodies[self.unlisted_rules], np.add)
        pairs *= self.pair_prior.reshape(-1, 1)
        table = pairs.reshape(*self.pair_prior.shape, -1)
        table *= ink[1]
        unlisted = table.sum(axis=1) * ink[0]
        return PrefixSums(
            total=listed.sum(axis=0) + unlisted.sum(axis=0),
            listed=listed,
            unlisted=(table.max(axis=1) * ink[0]).max(axis=0),
        )

    def after_pairs(self, ink: Floats, bodies: Floats, operation: np.ufunc) -> Floats:
        """Weigh all that can follow the first two characters of an unlisted prefix.

        Args:
            ink: ``float64[size, n]`` of the third character.
            bodies: ``float64[unlisted_rules, modulus, n]``.
            operation: ``np.add`` for sums, ``np.maximum`` for the best.

        Returns:
            ``float64[size * size, n]``, by first and second character.
        """
        modulus, cards = self.rules.scheme.modulus, ink.shape[-1]
        thirds = combined(with_nothing(ink), self._thirds, operation)
        twice = np.concatenate([bodies, bodies], axis=1)
        after = np.zeros_like(bodies)
        for added, weight in enumerate(thirds):
            operation(after, weight * twice[:, added : added + modulus], out=after)
        pairs = after.reshape(-1, cards)[self._pair_cell]
        special, left, members = self._gaps
        fewer = combined(with_nothing(ink), members, operation)
        rule, residue = np.divmod(self._pair_cell[special], modulus)
        flat, total = bodies.reshape(-1, cards), np.zeros((len(special), cards))
        for added in range(modulus):
            term = fewer[left[added]]
            term *= flat[rule * modulus + (residue + added) % modulus]
            operation(total, term, out=total)
        pairs[special] = total
        return pairs
