"""What the ink says about the first three characters: listed cells and all other codes.

The codes that are not listed are far too many to weigh one by one. But their prior depends
on their first two characters only: so the third character is summed up (or the best one is
taken) once for all pairs, and again only for the pairs that have listed members to leave
out. Nothing is subtracted: differences of nearly equal sums would have no exact digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from vin_batch.vin.lattice import Floats, Ints, classes_by_residue, with_nothing
from vin_batch.vin.rules import PREFIX_LENGTH, Rules


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
    def known_residues(self) -> Ints:
        """``int64[cells]``: residue of the prefix of every listed cell."""
        return np.asarray(self.residues[tuple(self.rules.prefixes.known.T)])

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
    def _cells_by_rule(self) -> tuple[Ints, list[tuple[int, int, int]]]:
        rule = self.rules.prefixes.rule
        order = np.argsort(rule, kind="stable")
        begins = np.searchsorted(rule[order], np.arange(rule.max() + 2)).tolist()
        spans = [(r, begin, end) for r, (begin, end) in enumerate(pairwise(begins))]
        return order, [(r, begin, end) for r, begin, end in spans if end > begin]

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
    def _prior_without(self) -> Floats:
        """``float64[size, size, size]``: ``[third, second, first]``, zero where listed."""
        return np.ascontiguousarray(self.rules.prefixes.unlisted.transpose(2, 1, 0))

    def known_weights(self, ink: Floats) -> Floats:
        """Prior times ink of every listed cell's prefix, ``float64[cells, n]``."""
        prefixes = self.rules.prefixes
        first, second, third = (ink[place][prefixes.known[:, place]] for place in range(3))
        first *= prefixes.weight[:, None]
        first *= second
        first *= third
        return np.asarray(first)

    def best_known(self, weights: Floats) -> Floats:
        """The largest of ``known_weights`` by body rule, ``float64[rules, n]``."""
        order, spans = self._cells_by_rule
        sorted_weights = weights[order]
        best = np.zeros((len(self.rules.bodies.names), weights.shape[1]))
        for rule, begin, end in spans:
            sorted_weights[begin:end].max(axis=0, out=best[rule])
        return best

    @cached_property
    def _pair_bounds(self) -> tuple[Floats, Floats, float]:
        """Largest ``pair_prior`` by first character, by second character, and of all."""
        prior = self.pair_prior
        return prior.max(axis=1), prior.max(axis=0), float(prior.max())

    def best_unlisted(self, ink: Floats, reach: Floats) -> Floats:
        """Quick bounds on the best string whose prefix is not listed.

        Such a prefix has the most probable character at all three positions, or at most the
        second most probable one at some of them.

        Args:
            ink: ``float64[length, size, n]``.
            reach: ``Lattice.bounds``.

        Returns:
            ``float64[n]``.
        """
        cards, prior = np.arange(ink.shape[-1]), self.rules.prefixes
        prefix = ink[:PREFIX_LENGTH].copy()
        top = prefix.argmax(axis=1)
        highest = np.stack([prefix[place, top[place], cards] for place in range(PREFIX_LENGTH)])
        for place in range(PREFIX_LENGTH):
            prefix[place, top[place], cards] = 0.0
        # What is lost by another character than the most probable one.
        loss = prefix.max(axis=1) / highest
        by_first, by_second, of_all = self._pair_bounds
        same_first = np.maximum(by_first[top[0]] * loss[1], prior.unlisted[tuple(top)])
        same_first = np.maximum(same_first, self.pair_prior[top[0], top[1]] * loss[2])
        other_first = np.maximum(by_second[top[1]] * loss[0], of_all * loss[0] * loss[1])
        bound = same_first * reach[prior.unlisted_rule[top[0]], cards]
        np.maximum(bound, other_first * reach[self.unlisted_rules].max(axis=0), out=bound)
        return np.asarray(bound * highest.prod(axis=0))

    def best_unlisted_by_rule(self, ink: Floats) -> Floats:
        """Bounds on prior times ink of the prefixes that are not listed.

        The most probable third character counts where it is not listed, elsewhere the
        second most probable one counts as if it never were.

        Returns:
            ``float64[rules, n]``, by the body rule that follows.
        """
        third = ink[2]
        top = third.argmax(axis=0)
        cards = np.arange(ink.shape[-1])
        highest = third[top, cards]
        rest = third.copy()
        rest[top, cards] = 0.0
        second = np.ascontiguousarray(ink[1].T)[:, :, None]
        free = (self._prior_without[top] * second).max(axis=1) * highest[:, None]
        other = (self.pair_prior.T * second).max(axis=1) * rest.max(axis=0)[:, None]
        bound = np.maximum(free, other) * ink[0].T
        best = np.zeros((len(self.rules.bodies.names), ink.shape[-1]))
        for rule in self.unlisted_rules:
            best[rule] = bound[:, self.rules.prefixes.unlisted_rule == rule].max(axis=1)
        return best

    def sums(self, heads: Floats, ink: Floats, bodies: Floats) -> Floats:
        """Sum over all strings of prior times ink.

        Args:
            heads: ``known_weights``.
            ink: ``float64[length, size, n]``.
            bodies: ``Lattice.sums``.

        Returns:
            ``float64[n]``.
        """
        listed = bodies[self.rules.prefixes.rule, self.known_residues]
        listed *= heads
        pairs = self.after_pairs(ink[2], bodies[self.unlisted_rules], np.add)
        pairs *= self.pair_prior.reshape(-1, 1)
        table = pairs.reshape(*self.pair_prior.shape, -1)
        table *= ink[1]
        unlisted = table.sum(axis=1) * ink[0]
        return np.asarray(listed.sum(axis=0) + unlisted.sum(axis=0))

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
        thirds = _combined(ink, self._thirds, operation)
        twice = np.concatenate([bodies, bodies], axis=1)
        after = np.zeros_like(bodies)
        for added, weight in enumerate(thirds):
            operation(after, weight * twice[:, added : added + modulus], out=after)
        pairs = after.reshape(-1, cards)[self._pair_cell]
        special, left, members = self._gaps
        fewer = _combined(ink, members, operation)
        rule, residue = np.divmod(self._pair_cell[special], modulus)
        flat, total = bodies.reshape(-1, cards), np.zeros((len(special), cards))
        for added in range(modulus):
            term = fewer[left[added]]
            term *= flat[rule * modulus + (residue + added) % modulus]
            operation(total, term, out=total)
        pairs[special] = total
        return pairs


def _combined(ink: Floats, members: Ints, operation: np.ufunc) -> Floats:
    """Combine ``float64[size, n]`` over the first axis of ``members``."""
    classes = with_nothing(ink)
    total = classes[members[0]]
    for some in members[1:]:
        operation(total, classes[some], out=total)
    return np.asarray(total)
