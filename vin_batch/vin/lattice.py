"""Sums and maxima over all bodies (what follows a WMI), by dynamic programming over residues.

There are many body rules, and for one card hardly any of them matters. So there are quick
bounds on all rules for all cards, and a dynamic programme for *pairs* of body rule and card.

Arrays keep cards or pairs on the last axis: all arithmetic is then elementwise over
contiguous numbers, fast, and the result for a card does not depend on which cards are beside
it. For the same reason no BLAS product is used (its order of summation depends on the shape),
and the caller fills up to a multiple of ``MIN_CARDS`` cards, because NumPy sums in another
order along an axis that has become contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.check_digit import CheckScheme
from vin_batch.vin.rules import Rules

MIN_CARDS: Final = 8
BLOCK_PAIRS: Final = 256
"""Pairs whose bodies are worked out at a time, so that the tables stay in the cache."""
ROUNDED: Final = 1e-14
"""Two probabilities of a rule that differ by less, as a share, are the same but for rounding."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """Some positions of the body, side by side.

    Attributes:
        positions: ``int64[k]``, 0-based.
        prior: ``float64[rules, k * (size + 1)]``, of every class at each of them; zero for the
            class ``size``, which stands for no class.
        members: ``int64[most, k, modulus]``, where in a row of ``prior`` the classes are that
            add each residue, filled up with no class.
    """

    positions: Ints
    prior: Floats
    members: Ints

    @classmethod
    def of(cls, rules: Rules, positions: Ints) -> Part:
        """Prepare some positions."""
        scheme, prior = rules.scheme, rules.bodies.positions[:, positions]
        prior = np.concatenate([prior, np.zeros((*prior.shape[:2], 1))], axis=2)
        members = [
            classes_by_residue(added, scheme.modulus) + place * (scheme.size + 1)
            for place, added in enumerate(added_residues(scheme, positions))
        ]
        most = max(map(len, members), default=1)
        table = np.empty((most, len(positions), scheme.modulus), dtype=np.int64)
        for place, some in enumerate(members):
            table[:, place] = place * (scheme.size + 1) + scheme.size
            table[: len(some), place] = some
        return cls(positions, prior.reshape(len(prior), -1), table)

    def rows(self, ink: Floats) -> Floats:
        """Bring ``float64[length, size, n]`` into the order of ``prior``, a row per card."""
        some = ink[self.positions]
        nothing = np.zeros((len(some), 1, ink.shape[-1]))
        rows = np.concatenate([some, nothing], axis=1).transpose(2, 0, 1)
        return np.asarray(rows.reshape(ink.shape[-1], -1))

    def weigh(self, rows: Floats, rule: Ints, card: Ints, operation: np.ufunc) -> Floats:
        """Combine prior times ink over the classes that add a residue.

        Args:
            rows: ``rows`` of the cards.
            rule: ``int64[pairs]``, body rules.
            card: ``int64[pairs]``, of which cards.
            operation: ``np.add`` for sums, ``np.maximum`` for the best.

        Returns:
            ``float64[k, modulus, pairs]``.
        """
        classes = self.prior.take(rule, axis=0)
        classes *= rows.take(card, axis=0)
        return combined(np.ascontiguousarray(classes.T), self.members, operation)


@dataclass(frozen=True)
class Lattice:
    """The prior of the bodies, prepared for the dynamic programme.

    Attributes:
        rules: The prior.
    """

    rules: Rules

    @cached_property
    def order(self) -> Ints:
        """``int64[steps + 1]``: the body positions in order, then the check position."""
        return np.array((*self.rules.body_positions, self.rules.scheme.position))

    @cached_property
    def added(self) -> Ints:
        """``int64[steps + 1, size]``: residue that every class adds at each step."""
        return added_residues(self.rules.scheme, self.order)

    @cached_property
    def prior(self) -> Floats:
        """``float64[steps + 1, rules, size]``: prior of each class at each step.

        1 at the check position, where it depends on the others.
        """
        prior = np.ascontiguousarray(self.rules.bodies.positions[:, self.order].transpose(1, 0, 2))
        prior[-1] = 1.0
        return prior

    @cached_property
    def _whole(self) -> Part:
        return Part.of(self.rules, self.order[:-1])

    @cached_property
    def _parts(self) -> tuple[Part, Part]:
        """The positions at which all rules agree, and the others."""
        prior = self.prior[:-1]
        agree = (prior == prior[:, :1]).all(axis=(1, 2))
        some, others = self.order[:-1][agree], self.order[:-1][~agree]
        return Part.of(self.rules, some), Part.of(self.rules, others)

    @cached_property
    def _different(self) -> list[tuple[int, Floats, Ints]]:
        """The different distributions of every step.

        Returns:
            Position; ``float64[rows, size]``; and which row each rule has, ``int64[rules]``.
            At the check position a row is the least and the largest term side by side.
        """
        check = self.rules.bodies.check
        ends = np.concatenate([check.min(axis=1), check.max(axis=1)], axis=1)
        found = []
        for position, prior in zip(self.order.tolist(), [*self.prior[:-1], ends], strict=True):
            rows, row = np.unique(prior, axis=0, return_inverse=True)
            found.append((position, rows, row.ravel()))
        return found

    @cached_property
    def _check(self) -> tuple[Floats, Ints, Floats]:
        """The check term: what does not depend on the residue, and where there is more.

        Returns:
            ``float64[size, rules]``; ``int64[most, modulus]``, the classes that are more
            probable at some residue, filled up with ``size``; and that probability,
            ``float64[most, modulus, rules]``.
        """
        check = self.rules.bodies.check.transpose(2, 1, 0)
        size, modulus, _ = check.shape
        common = check.min(axis=1)
        more = (check - common[:, None] > ROUNDED * common[:, None]).any(axis=2)
        members = np.full((max(int(more.sum(axis=0).max()), 1), modulus), size)
        for residue in range(modulus):
            classes = np.flatnonzero(more[:, residue])
            members[: len(classes), residue] = classes
        padded = np.concatenate([check, np.zeros((1, *check.shape[1:]))])
        return common, members, padded[members, np.arange(modulus)]

    def bounds(self, ink: Floats) -> tuple[Floats, Floats]:
        """How much all bodies of a rule weigh together at least and at most, up to rounding.

        The bounds hold whatever the residue of the prefix.

        Args:
            ink: ``float64[length, size, n]``.

        Returns:
            Twice ``float64[rules, n]``.
        """
        *body, (position, ends, row) = self._different
        least, most = np.split(ends, 2, axis=1)
        low, high = (np.einsum("rc,cn->rn", some, ink[position])[row] for some in (least, most))
        for position, rows, row in body:
            weights = np.einsum("rc,cn->rn", rows, ink[position])
            weights = weights if len(rows) == 1 else weights.take(row, axis=0)
            low *= weights
            high *= weights
        return low, high

    def bodies(self, ink: Floats, rule: Ints, card: Ints, operation: np.ufunc) -> Floats:
        """Weigh all that can follow a prefix.

        Args:
            ink: ``float64[length, size, n]``.
            rule: ``int64[pairs]``, body rules to look at.
            card: ``int64[pairs]``, for which cards.
            operation: ``np.add`` for sums, ``np.maximum`` for the best.

        Returns:
            ``float64[modulus, pairs]``, by residue of the prefix.
        """
        _, own = self._parts
        agreed, rows = self._agreed(ink, operation), own.rows(ink)
        found = np.empty((self.rules.scheme.modulus, len(rule)))
        blocks = max(-(-len(rule) // BLOCK_PAIRS), 1)
        for some in np.array_split(np.arange(len(rule)), blocks):
            rules, cards = rule[some], card[some]
            table = self._checks(ink, rules, cards, operation)
            table = _joined(agreed.take(cards, axis=1), table, operation)
            for weights in own.weigh(rows, rules, cards, operation):
                table = _joined(weights, table, operation)
            found[:, some] = table
        return found

    def _agreed(self, ink: Floats, operation: np.ufunc) -> Floats:
        """Weigh the positions at which all rules agree, by residue, ``float64[modulus, n]``."""
        part, cards, modulus = self._parts[0], np.arange(ink.shape[-1]), self.rules.scheme.modulus
        missing = np.zeros((modulus, len(cards)))
        missing[0] = 1.0
        for weights in part.weigh(part.rows(ink), np.zeros_like(cards), cards, operation):
            missing = _joined(weights, missing, operation)
        return missing[-np.arange(modulus) % modulus]

    def maxima(self, ink: Floats, rule: Ints, card: Ints) -> Floats:
        """Weigh the best bodies, from every position on.

        Args:
            ink: ``float64[length, size, n]``.
            rule: ``int64[pairs]``, body rules to look at.
            card: ``int64[pairs]``, for which cards.

        Returns:
            ``float64[steps + 1, pairs, 2 * modulus]``: weight of the best that can follow from
            body step ``s`` on, when the characters before it have that residue; residues
            beyond the modulus are there again. Step 0 is the first position after the prefix;
            the last row is the check position.
        """
        modulus = self.rules.scheme.modulus
        best = np.empty((len(self.order), len(rule), 2 * modulus))
        table = self._checks(ink, rule, card, np.maximum)
        best[-1] = np.concatenate([table, table]).T
        steps = self._whole.weigh(self._whole.rows(ink), rule, card, np.maximum)
        for place in reversed(range(len(steps))):
            table = _joined(steps[place], table, np.maximum)
            best[place] = np.concatenate([table, table]).T
        return best

    def _checks(self, ink: Floats, rule: Ints, card: Ints, operation: np.ufunc) -> Floats:
        """Prior times ink at the check position, ``float64[modulus, pairs]``."""
        common, members, check = self._check
        inks = with_nothing(ink[self.rules.scheme.position]).take(card, axis=1)
        least = with_nothing(common.take(rule, axis=1))
        terms = check.take(rule, axis=2)
        if operation is np.add:
            terms -= least.take(members, axis=0)
        terms *= inks.take(members, axis=0)
        least *= inks
        return np.asarray(
            operation(operation.reduce(least, axis=0), operation.reduce(terms, axis=0))
        )


def added_residues(scheme: CheckScheme, positions: Ints) -> Ints:
    """``int64[k, size]``: the residue that every class adds at some positions."""
    return np.asarray(scheme.weights[positions, None] * scheme.values % scheme.modulus)


def classes_by_residue(added: Ints, modulus: int) -> Ints:
    """List the classes that add each residue.

    Args:
        added: ``int64[size]``, the residue that every class adds.
        modulus: How many residues there are.

    Returns:
        ``int64[most, modulus]``, filled up with ``size``.
    """
    members = [np.flatnonzero(added == residue) for residue in range(modulus)]
    table = np.full((max(map(len, members)), modulus), len(added))
    for residue, classes in enumerate(members):
        table[: len(classes), residue] = classes
    return table


def with_nothing(ink: Floats) -> Floats:
    """Add a class that has no ink to ``float64[size, n]``."""
    return np.concatenate([ink, np.zeros((1, ink.shape[-1]))])


def combined(classes: Floats, members: Ints, operation: np.ufunc) -> Floats:
    """Combine ``float64[size, n]`` over the first axis of ``members``, in order."""
    return np.asarray(operation.reduce(classes.take(members, axis=0), axis=0))


def _joined(weights: Floats, table: Floats, operation: np.ufunc) -> Floats:
    """Put a position before what can follow it.

    ``out[r]`` combines ``weights[k] * table[(r + k) % modulus]`` over k, in order.

    Args:
        weights: ``float64[modulus, pairs]``, of the position, by the residue that it adds.
        table: ``float64[modulus, pairs]``, of what follows, by the residue before it.
        operation: ``np.add`` or ``np.maximum``.
    """
    terms = table.take(_sums_of_residues(len(table)), axis=0)
    terms *= weights[:, None]
    return np.asarray(operation.reduce(terms, axis=0))


@cache
def _sums_of_residues(modulus: int) -> Ints:
    """``int64[modulus, modulus]``."""
    residues = np.arange(modulus)
    return np.asarray((residues[:, None] + residues) % modulus)
