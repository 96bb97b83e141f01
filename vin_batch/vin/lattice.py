"""Sums and maxima over all bodies (what follows a WMI), by dynamic programming over residues.

Arrays keep the cards on the last axis: all arithmetic is then elementwise over contiguous
cards, fast, and the result for a card does not depend on which cards are beside it. For
the same reason no BLAS product is used (its order of summation depends on the shape), and
the caller fills up to a multiple of ``MIN_CARDS`` cards, because NumPy sums in another
order along an axis that has become contiguous.

Most body rules have the same distribution at most positions. Every different one is
weighed once, and rules that end alike share the sums over their endings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vin_batch.vin.rules import Rules

MIN_CARDS: Final = 8
NEGLIGIBLE: Final = 1e-14
"""Two probabilities of a rule that differ by less, as a share, are the same but for rounding."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Number = TypeVar("Number", np.float64, np.int64)


@dataclass(frozen=True, slots=True)
class Step:
    """One body position.

    Attributes:
        position: 0-based.
        rows: Where its different distributions are among the rows of ``Lattice.weigh``.
        prior: ``float64[rules, size + 1]``, of each rule; zero for the class ``size``, which
            stands for no class.
        different: ``float64[most, rows, modulus]``, the different distributions, in the
            order of ``members``.
        members: ``int64[most, modulus]``, the classes that add each residue, filled up with
            ``size``.
        row_of_rule: ``int64[rules]``, row of ``Lattice.weigh`` that a rule has here.
        row_of_node: ``int64[nodes]``, row of each different ending that begins here.
        tail_of_node: ``int64[nodes]``, the ending after that row, a node of the next step.
        after: ``int64[modulus, size]``, residue after each class.
    """

    position: int
    rows: slice
    prior: Floats
    different: Floats
    members: Ints
    row_of_rule: Ints
    row_of_node: Ints
    tail_of_node: Ints
    after: Ints


@dataclass(frozen=True)
class Lattice:
    """The prior of the bodies, prepared for the dynamic programme.

    Attributes:
        rules: The prior.
    """

    rules: Rules

    @property
    def steps(self) -> tuple[Step, ...]:
        """The body positions in order."""
        return self._plan[0]

    @property
    def row_count(self) -> int:
        """How many different distributions there are, counted position by position."""
        return int(self.steps[0].rows.stop)

    @cached_property
    def _plan(self) -> tuple[tuple[Step, ...], Ints]:
        """The steps, and ``int64[rules]``: which ending of the first step each rule is."""
        scheme, bodies = self.rules.scheme, self.rules.bodies
        steps: list[Step] = []
        nodes, begin = np.zeros(len(bodies.names), dtype=np.int64), 0
        for position in reversed(self.rules.body_positions):
            prior = with_nothing(bodies.positions[:, position].T).T
            different, row = _different(prior)
            ending, node = _different(np.column_stack([row, nodes]))
            added = scheme.values * scheme.weights[position] % scheme.modulus
            members = classes_by_residue(added, scheme.modulus)
            steps.append(
                Step(
                    position=position,
                    rows=slice(begin, begin + len(different)),
                    prior=prior,
                    different=np.stack([different[:, some] for some in members]),
                    members=members,
                    row_of_rule=row + begin,
                    row_of_node=ending[:, 0] + begin,
                    tail_of_node=ending[:, 1],
                    after=(np.arange(scheme.modulus)[:, None] + added) % scheme.modulus,
                )
            )
            nodes, begin = node, begin + len(different)
        return tuple(reversed(steps)), nodes

    @cached_property
    def _check(self) -> tuple[Floats, list[tuple[int, Ints, Floats]]]:
        """The check term: what does not depend on the residue, and what is added to it.

        Returns:
            ``float64[rules, size]``; and per class the residues that raise its probability,
            and by how much, ``float64[rules, residues]``.
        """
        check = self.rules.bodies.check
        common = check.min(axis=1)
        extra = check - common[:, None]
        extra[extra < NEGLIGIBLE * common[:, None]] = 0.0
        raised = [(c, np.flatnonzero(extra[:, :, c].any(axis=0))) for c in range(check.shape[2])]
        return common, [(c, where, extra[:, where, c]) for c, where in raised if len(where)]

    def weigh(self, ink: Floats) -> Floats:
        """Weigh the different distributions of the body.

        Args:
            ink: ``float64[length, size, n]``.

        Returns:
            ``float64[rows, modulus, n]``: prior times ink, summed over the classes that add
            a residue.
        """
        weighed = np.empty((self.row_count, self.rules.scheme.modulus, ink.shape[-1]))
        for step in self.steps:
            classes = with_nothing(ink[step.position])[step.members]
            np.einsum("krm,kmn->rmn", step.different, classes, out=weighed[step.rows])
        return weighed

    def sums(self, weighed: Floats, ink: Floats) -> Floats:
        """Sum over all bodies of prior times ink.

        Args:
            weighed: ``weigh`` of these cards.
            ink: ``float64[length, size, n]``.

        Returns:
            ``float64[rules, modulus, n]``: weight of everything that can follow a prefix of
            that residue.
        """
        steps, node_of_rule = self._plan
        modulus = self.rules.scheme.modulus
        opposite = -np.arange(modulus) % modulus
        table = weighed[steps[-1].row_of_node]
        for step in reversed(steps[:-1]):
            weights = weighed[step.row_of_node[:, None], opposite]
            table = _correlate(weights, table[step.tail_of_node])
        return _correlate(table[node_of_rule], self._check_sums(ink[self.rules.scheme.position]))

    def _check_sums(self, ink: Floats) -> Floats:
        """Prior times ink at the check position, ``float64[rules, modulus, n]``."""
        common, raised = self._check
        base = np.einsum("rc,cn->rn", common, ink)
        total = np.repeat(base[:, None], self.rules.scheme.modulus, axis=1)
        for class_, residues, extra in raised:
            total[:, residues] += extra[:, :, None] * ink[class_]
        return np.asarray(total)

    def bounds(self, weighed: Floats, ink: Floats) -> Floats:
        """No body weighs more than this, up to rounding, whatever its residue.

        Args:
            weighed: ``weigh`` of these cards.
            ink: ``float64[length, size, n]``.

        Returns:
            ``float64[rules, n]``.
        """
        highest = weighed.max(axis=1)
        check = self.rules.bodies.check.max(axis=1)
        bound = np.einsum("rc,cn->rn", check, ink[self.rules.scheme.position])
        for step in self.steps:
            bound *= highest[step.row_of_rule]
        return np.asarray(bound)

    def maxima(self, ink: Floats, rule: Ints, card: Ints) -> Floats:
        """Weigh the best bodies, from the end of the string to its beginning.

        Args:
            ink: ``float64[length, size, n]``.
            rule: ``int64[pairs]``, body rules to look at.
            card: ``int64[pairs]``, for which cards.

        Returns:
            ``float64[steps + 1, modulus, pairs]``: weight of the best that can follow from
            body step ``s`` on, when the characters before it have that residue. Step 0 is
            the first position after the prefix; the last row is the check position.
        """
        modulus = self.rules.scheme.modulus
        table = np.zeros((len(self.steps) + 1, modulus, len(rule)))
        check = self.rules.bodies.check
        inks = ink.take(card, axis=2)
        for class_, prob in enumerate(inks[self.rules.scheme.position]):
            np.maximum(table[-1], check[rule, :, class_].T * prob, out=table[-1])
        for index in range(len(self.steps) - 1, -1, -1):
            step = self.steps[index]
            classes = with_nothing(inks[step.position])
            classes *= step.prior[rule].T
            weights = classes[step.members].max(axis=0)
            twice = np.concatenate([table[index + 1], table[index + 1]])
            for residue, weight in enumerate(weights):
                reach = weight * twice[residue : residue + modulus]
                np.maximum(table[index], reach, out=table[index])
        return table


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


def _different(rows: NDArray[Number]) -> tuple[NDArray[Number], Ints]:
    """The different rows, and which of them each row is."""
    unique, inverse = np.unique(rows, axis=0, return_inverse=True)
    return unique, np.asarray(inverse, dtype=np.int64).ravel()


def _correlate(weights: Floats, table: Floats) -> Floats:
    """``out[i, r] = sum over k of weights[i, k] * table[i, (r + k) % modulus]``, per card.

    ``einsum`` adds over k in order, card by card; it calls no BLAS unless told to optimise.
    """
    modulus = table.shape[1]
    twice = np.concatenate([table, table[:, :-1]], axis=1)
    windows = sliding_window_view(twice, modulus, axis=1)
    return np.asarray(np.einsum("ikn,iknr->irn", weights, windows))
