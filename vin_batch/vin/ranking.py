"""The k best strings, exactly.

For every prefix of a string, ``Lattice.maxima`` tells the weight of the best string that
begins with it. So the search never guesses: it keeps a pool of disjoint sets of strings,
each with the weight of its best member, takes the best set, reads off its best member, and
splits the rest of that set by the first character that differs (Lawler 1972, Management
Science 18:401). The pool starts with one set per cell.

Most cells cannot have any of the best strings of a card. The sum of a cell's strings tells
which: no string weighs more than its cell. A cell is left out only where that sum is below the
weight of ``k`` strings that are already found.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.lattice import Floats, Ints, Lattice
from vin_batch.vin.prefixes import Prefixes, PrefixSums
from vin_batch.vin.rules import PREFIX_LENGTH

ROUNDING: Final = 1.0 + 1e-9
"""Bounds are raised by this factor; rounding is a million times smaller."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The best strings of every card, best first.

    Attributes:
        strings: ``int8[n, k, length]``.
        weights: ``float64[n, k]``, prior times likelihood.
        rules: ``int64[n, k]``, body rule of each string's cell.
    """

    strings: NDArray[np.int8]
    weights: Floats
    rules: Ints


@dataclass(slots=True)
class _Pool:
    """Disjoint sets of strings, ``k`` per card.

    Attributes:
        weight: ``float64[n, k]``, weight of the set's best string.
        rule: ``int64[n, k]``, body rule.
        head: ``float64[n, k]``, weight of the prefix alone.
        string: ``int64[n, k, length]``, valid up to the fixed steps.
        fixed: ``int64[n, k]``, how many body steps all strings of the set share.
    """

    weight: Floats
    rule: Ints
    head: Floats
    string: Ints
    fixed: Ints

    def best(self, count: int) -> _Pool:
        """The ``count`` heaviest sets of every card, heaviest first."""
        order = np.argsort(-self.weight, axis=1, kind="stable")[:, :count]
        return self.take(order)

    def take(self, order: Ints) -> _Pool:
        """Pick sets by index ``int64[n, m]``."""
        rows = np.arange(len(order))[:, None]
        return _Pool(*(getattr(self, field.name)[rows, order] for field in fields(self)))

    def part(self, columns: slice) -> _Pool:
        """The sets in these columns."""
        return _Pool(*(getattr(self, field.name)[:, columns] for field in fields(self)))

    def replace(self, cards: Ints, other: _Pool) -> None:
        """Take the sets of these cards from another pool."""
        for field in fields(self):
            getattr(self, field.name)[cards] = getattr(other, field.name)

    def joined(self, other: _Pool) -> _Pool:
        """Both pools beside each other."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return _Pool(*(np.concatenate(pair, axis=1) for pair in pairs))


@dataclass(slots=True)
class _Expanded:
    """The best string of the best set of every card.

    Attributes:
        string: ``int64[n, length]``.
        weight: ``float64[n]``.
        rule: ``int64[n]``, body rule.
        rest: The best of the sets into which the rest of that set falls.
    """

    string: Ints
    weight: Floats
    rule: Ints
    rest: _Pool

    def replace(self, cards: Ints, other: _Expanded) -> None:
        """Take these cards from another."""
        self.string[cards], self.weight[cards] = other.string, other.weight
        self.rule[cards] = other.rule
        self.rest.replace(cards, other.rest)


@dataclass(slots=True)
class _Evidence:
    """What a group of cards says, and the completions that were worked out so far.

    Attributes:
        ink: ``float64[length, size, n]``.
        rows: ``float64[steps + 1, n, size]``, ``ink`` in the order of the steps.
        best: ``float64[steps + 1, pairs, 2 * modulus]``, ``Lattice.maxima`` of some pairs of
            body rule and card.
        pair: ``int64[rules, n]``, index of a pair, -1 where it was not worked out.
    """

    ink: Floats
    rows: Floats
    best: Floats
    pair: Ints

    def work_out(self, lattice: Lattice, rule: Ints, card: Ints) -> None:
        """Add pairs of body rule and card."""
        self.pair[rule, card] = self.best.shape[1] + np.arange(len(rule))
        best = lattice.maxima(self.ink, rule, card)
        self.best = np.concatenate([self.best, best], axis=1)


@dataclass(frozen=True, slots=True)
class Search:
    """The search for the best strings under one prior.

    Attributes:
        lattice: Prior of the bodies.
        prefixes: Prior of the prefixes.
        count: How many strings; fewer than there are strings in all.
    """

    lattice: Lattice
    prefixes: Prefixes
    count: int

    def rank(self, ink: Floats, sums: PrefixSums) -> Ranking:
        """Find the best strings of every card.

        Args:
            ink: ``float64[length, size, n]``.
            sums: ``Prefixes.sums``; larger numbers cost time and change nothing.

        Returns:
            Exactly the ``count`` heaviest strings of every card, in order.
        """
        length, cards = ink.shape[0], ink.shape[-1]
        strings = np.empty((cards, self.count, length), dtype=np.int8)
        weights = np.empty((cards, self.count))
        rules = np.empty((cards, self.count), dtype=np.int64)
        evidence = self._look(ink)
        pool, top = self._first_pool(evidence, sums)
        for place in range(self.count):
            strings[:, place], weights[:, place] = top.string, top.weight
            rules[:, place] = top.rule
            rest = self.count - place - 1
            if rest:
                pool = pool.part(slice(1, None)).joined(top.rest).best(rest)
                top = self._expand(evidence, pool, rest - 1, np.arange(cards))
        return Ranking(strings, weights, rules)

    def _look(self, ink: Floats) -> _Evidence:
        rules, cards = self.lattice.rules, ink.shape[-1]
        modulus, steps = rules.scheme.modulus, len(self.lattice.order)
        return _Evidence(
            ink=ink,
            rows=np.ascontiguousarray(ink[self.lattice.order].transpose(0, 2, 1)),
            best=np.empty((steps, 0, 2 * modulus)),
            pair=np.full((len(rules.bodies.names), cards), -1),
        )

    def _first_pool(self, evidence: _Evidence, sums: PrefixSums) -> tuple[_Pool, _Expanded]:
        """One set for each cell that may have one of the best strings; and the best of all.

        First the heaviest cell of every card is looked at. Its strings tell for which cards
        other cells may matter, and which.
        """
        cards = np.arange(evidence.ink.shape[-1])
        pool = self._heaviest(evidence, sums.listed.argmax(axis=0))
        top = self._expand(evidence, pool, self.count - 1, cards)
        least = top.rest.weight[:, -1] if self.count > 1 else top.weight
        least = least / ROUNDING
        matters, unlisted = sums.listed >= least, sums.unlisted >= least
        again = np.flatnonzero((np.count_nonzero(matters, axis=0) > 1) | unlisted)
        if len(again):
            wanted = self.prefixes.rules_of(matters[:, again], unlisted[again])
            found = self._sets(evidence, again, wanted)
            pool.replace(again, found)
            top.replace(again, self._expand(evidence, found, self.count - 1, again))
        return pool, top

    def _heaviest(self, evidence: _Evidence, cell: Ints) -> _Pool:
        """One set per card: the listed cell ``int64[n]``."""
        cells, cards = self.prefixes.cells, np.arange(len(cell))
        known, rule = cells.known[cell], cells.rule[cell]
        evidence.work_out(self.lattice, rule, cards)
        head = cells.weight[cell]
        for place in range(PREFIX_LENGTH):
            head = head * evidence.ink[place, known[:, place], cards]
        weight = head * evidence.best[0, cards, cells.residue[cell]]
        return self._start(known[:, None], rule[:, None], head[:, None], weight[:, None])

    def _sets(self, evidence: _Evidence, cards: Ints, wanted: NDArray[np.bool_]) -> _Pool:
        """One set for each of the best cells under some body rules.

        Args:
            evidence: Of all cards.
            cards: ``int64[m]``, the cards to look at.
            wanted: ``bool[rules, m]``, their body rules to look at.
        """
        ink = evidence.ink[..., cards]
        bodies = np.zeros((len(wanted), self.lattice.rules.scheme.modulus, len(cards)))
        rule, card = np.nonzero(wanted)
        bodies[rule, :, card] = self.lattice.bodies(ink, rule, card, np.maximum).T
        pool = self._listed_sets(ink, bodies).joined(self._unlisted_sets(ink, bodies))
        pool = pool.best(self.count)
        new = np.zeros_like(wanted)
        new[pool.rule, np.arange(len(cards))[:, None]] = True
        new &= evidence.pair[:, cards] < 0
        rule, card = np.nonzero(new)
        evidence.work_out(self.lattice, rule, cards[card])
        return pool

    def _listed_sets(self, ink: Floats, bodies: Floats) -> _Pool:
        """One set for each of the best listed cells.

        Args:
            ink: ``float64[length, size, n]``.
            bodies: ``float64[rules, modulus, n]``, the best that follows a prefix of that
                residue, zero where it does not matter.
        """
        cells, heads = self.prefixes.cells, self.prefixes.known_weights(ink)
        weights = bodies[cells.rule, cells.residue] * heads
        order, best = _top(np.ascontiguousarray(weights.T), self.count)
        head = np.take_along_axis(heads.T, order, axis=1)
        return self._start(cells.known[order], cells.rule[order], head, best)

    def _unlisted_sets(self, ink: Floats, bodies: Floats) -> _Pool:
        """One set for each of the best prefixes that are not listed; see ``_listed_sets``.

        The ``count`` best are among those of the ``count`` best pairs of first characters.
        """
        prefixes, prior = self.prefixes, self.prefixes.rules.prefixes
        _, size, cards = ink.shape
        rows = np.arange(cards)[:, None]
        pairs = prefixes.after_pairs(ink[2], bodies[prefixes.unlisted_rules], np.maximum)
        pairs *= prefixes.pair_prior.reshape(-1, 1)
        table = pairs.reshape(size, size, -1)
        table *= ink[1]
        table *= ink[0][:, None]
        chosen, _ = _top(np.ascontiguousarray(pairs.T), self.count)
        chosen.sort(axis=1)
        codes = (chosen[:, :, None] * size + np.arange(size)).reshape(cards, -1)
        one, two, three = np.unravel_index(codes, (size,) * PREFIX_LENGTH)
        heads = prior.unlisted[one, two, three]
        heads = heads * ink[0][one, rows] * ink[1][two, rows] * ink[2][three, rows]
        rule = prior.unlisted_rule[one]
        weights = heads * bodies[rule, prefixes.residues[one, two, three], rows]
        order, best = _top(weights, self.count)
        strings = np.stack([part[rows, order] for part in (one, two, three)], axis=-1)
        return self._start(strings, rule[rows, order], heads[rows, order], best)

    def _start(self, prefixes: Ints, rule: Ints, head: Floats, weight: Floats) -> _Pool:
        """One set per prefix and body rule; ``count`` of them, some without members if need be."""
        cards, found = rule.shape
        pool = _Pool(
            weight=np.zeros((cards, self.count)),
            rule=np.repeat(rule[:, :1], self.count, axis=1),
            head=np.zeros((cards, self.count)),
            string=np.zeros((cards, self.count, self.lattice.rules.scheme.length), dtype=np.int64),
            fixed=np.zeros((cards, self.count), dtype=np.int64),
        )
        pool.weight[:, :found], pool.rule[:, :found], pool.head[:, :found] = weight, rule, head
        pool.string[:, :found, :PREFIX_LENGTH] = prefixes
        return pool

    def _expand(self, evidence: _Evidence, pool: _Pool, rest: int, cards: Ints) -> _Expanded:
        """Read off the best string of the best sets and split what remains of them.

        Args:
            evidence: Of all cards.
            pool: The sets of some cards, best first.
            rest: How many of the sets to keep into which the rest falls.
            cards: ``int64[n]``, which cards these are.
        """
        lattice, order, index = self.lattice, self.lattice.order, np.arange(len(cards))
        modulus = lattice.rules.scheme.modulus
        rule, fixed = pool.rule[:, 0].copy(), pool.fixed[:, 0]
        string, weight = pool.string[:, 0].copy(), pool.head[:, 0].copy()
        residue = self.prefixes.residues[tuple(string[:, :PREFIX_LENGTH].T)]
        begin = evidence.pair[rule, cards] * 2 * modulus
        here = lattice.prior.take(rule, axis=1)
        here *= evidence.rows if len(cards) == evidence.rows.shape[1] else evidence.rows[:, cards]
        reach, before = np.empty_like(here), np.empty(here.shape[:2])
        for place, position in enumerate(order.tolist()):
            added = lattice.added[place]
            if place < len(order) - 1:
                best = evidence.best[place + 1].ravel()
                after = best.take((begin + residue)[:, None] + added)
                np.multiply(here[place], after, out=reach[place])
            else:
                here[place] *= lattice.rules.bodies.check[rule, residue]
                reach[place] = here[place]
            choice = reach[place].argmax(axis=1)
            choice = np.where(place < fixed, string[:, position], choice)
            string[:, position] = choice
            before[place] = weight
            weight = weight * here[place, index, choice]
            residue = (residue + added[choice]) % modulus
        if not rest:
            return _Expanded(string, weight, rule, pool.part(slice(0, 0)))
        before[np.arange(len(order))[:, None] < fixed] = 0.0
        reach *= before[:, :, None]
        reach[np.arange(len(order))[:, None], index, string[:, order].T] = 0.0
        alternatives = reach.transpose(1, 0, 2)
        return _Expanded(string, weight, rule, _split(pool, string, alternatives, order, rest))


def _split(pool: _Pool, string: Ints, alternatives: Floats, steps: Ints, rest: int) -> _Pool:
    """Make one set per deviation from ``string``, and keep the ``rest`` best."""
    chosen, best = _top(alternatives.reshape(len(string), -1), rest)
    step, class_ = np.divmod(chosen, alternatives.shape[-1])
    strings = np.repeat(string[:, None], chosen.shape[1], axis=1)
    np.put_along_axis(strings, steps[step][..., None], class_[..., None], axis=2)
    return _Pool(
        best,
        np.repeat(pool.rule[:, :1], chosen.shape[1], axis=1),
        np.repeat(pool.head[:, :1], chosen.shape[1], axis=1),
        strings,
        step + 1,
    )


def _top(weights: Floats, count: int) -> tuple[Ints, Floats]:
    """The ``count`` largest entries of every row, largest first; of equal ones the first.

    Args:
        weights: ``float64[n, m]``, not negative; overwritten.
        count: At most ``m`` are given.

    Returns:
        Their columns and values, ``[n, count]``.
    """
    rows = np.arange(len(weights))
    count = min(count, weights.shape[1])
    order = np.empty((len(weights), count), dtype=np.int64)
    best = np.empty((len(weights), count))
    for place in range(count):
        order[:, place] = weights.argmax(axis=1)
        best[:, place] = weights[rows, order[:, place]]
        weights[rows, order[:, place]] = -1.0
    return order, best
