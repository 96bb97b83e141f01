"""The k best strings, exactly.

For every prefix of a string, ``Lattice.maxima`` tells the weight of the best string that
begins with it. So the search never guesses: it keeps a pool of disjoint sets of strings,
each with the weight of its best member, takes the best set, reads off its best member, and
splits the rest of that set by the first character that differs (Lawler 1972, Management
Science 18:401). The pool starts with one set per cell.

Most body rules cannot have any of the best strings of a card. A cheap upper bound on each
rule tells which: they are left out only where that bound is below the weight of ``k``
strings that are already found.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.lattice import Floats, Ints, Lattice
from vin_batch.vin.prefixes import Prefixes
from vin_batch.vin.rules import PREFIX_LENGTH

ROUNDING: Final = 1.0 + 1e-9
"""Bounds are raised by this factor; rounding is a million times smaller."""
BLOCK_CARDS: Final = 128
"""Cards whose cells are weighed at a time, so that the weights stay in the cache."""


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

    def cards(self, cards: Ints) -> _Pool:
        """The sets of these cards."""
        return _Pool(*(getattr(self, field.name)[cards] for field in fields(self)))

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
        rows: ``float64[n, steps + 1, size]``, ``ink`` card by card, in the order of the steps.
        best: ``float64[steps + 1, modulus, pairs]``, ``Lattice.maxima`` of some pairs of
            body rule and card.
        pair: ``int64[rules, n]``, index of a pair, -1 where it was not worked out.
        first: ``float64[rules, modulus, n]``, step 0 of ``best``, zero where there is none.
    """

    ink: Floats
    rows: Floats
    best: Floats
    pair: Ints
    first: Floats

    def work_out(self, lattice: Lattice, rule: Ints, card: Ints) -> None:
        """Add pairs of body rule and card."""
        best = lattice.maxima(self.ink, rule, card)
        self.pair[rule, card] = self.best.shape[-1] + np.arange(len(rule))
        self.first[rule, :, card] = best[0].T
        self.best = np.concatenate([self.best, best], axis=2) if self.best.size else best


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

    def rank(self, ink: Floats, reach: Floats, listed: Floats) -> Ranking:
        """Find the best strings of every card.

        Args:
            ink: ``float64[length, size, n]``.
            reach: ``Lattice.bounds``.
            listed: ``Prefixes.best_known``.

        Returns:
            Exactly the ``count`` heaviest strings of every card, in order.
        """
        length, cards = ink.shape[0], ink.shape[-1]
        strings = np.empty((cards, self.count, length), dtype=np.int8)
        weights = np.empty((cards, self.count))
        rules = np.empty((cards, self.count), dtype=np.int64)
        evidence = self._look(ink)
        pool, top = self._first_pool(evidence, reach, listed * reach)
        for place in range(self.count):
            strings[:, place], weights[:, place] = top.string, top.weight
            rules[:, place] = top.rule
            rest = self.count - place - 1
            if rest:
                pool = pool.part(slice(1, None)).joined(top.rest).best(rest)
                top = self._expand(evidence, pool, rest - 1, np.arange(cards))
        return Ranking(strings, weights, rules)

    @property
    def _positions(self) -> Ints:
        rules = self.lattice.rules
        return np.array((*rules.body_positions, rules.scheme.position))

    def _look(self, ink: Floats) -> _Evidence:
        rules, modulus = len(self.lattice.rules.bodies.names), self.lattice.rules.scheme.modulus
        return _Evidence(
            ink=ink,
            rows=np.ascontiguousarray(np.moveaxis(ink[self._positions], -1, 0)),
            best=np.empty((0, 0, 0)),
            pair=np.full((rules, ink.shape[-1]), -1),
            first=np.zeros((rules, modulus, ink.shape[-1])),
        )

    def _first_pool(
        self, evidence: _Evidence, reach: Floats, listed: Floats
    ) -> tuple[_Pool, _Expanded]:
        """One set for each cell that may have one of the best strings; and the best of all.

        First the most promising body rule of every card is worked out. Its strings tell
        which other rules may matter.
        """
        ink, cards = evidence.ink, np.arange(evidence.ink.shape[-1])
        evidence.work_out(self.lattice, listed.argmax(axis=0), cards)
        pool = self._listed_sets(evidence, cards)
        top = self._expand(evidence, pool, self.count - 1, cards)
        least = top.rest.weight[:, -1] if self.count > 1 else top.weight
        least = least / ROUNDING
        unlisted = np.zeros_like(listed)
        doubtful = np.flatnonzero(self.prefixes.best_unlisted(ink, reach) >= least)
        if len(doubtful):
            unlisted[:, doubtful] = self.prefixes.best_unlisted_by_rule(ink[..., doubtful])
            unlisted *= reach
        rule, card = np.nonzero((np.maximum(listed, unlisted) >= least) & (evidence.pair < 0))
        doubtful = np.flatnonzero((unlisted >= least).any(axis=0))
        again = np.union1d(card, doubtful)
        if len(again):
            evidence.work_out(self.lattice, rule, card)
            pool.replace(again, self._listed_sets(evidence, again))
            if len(doubtful):
                found = pool.cards(doubtful).joined(self._unlisted_sets(evidence, doubtful))
                pool.replace(doubtful, found.best(self.count))
            top.replace(again, self._expand(evidence, pool.cards(again), self.count - 1, again))
        return pool, top

    def _listed_sets(self, evidence: _Evidence, cards: Ints) -> _Pool:
        """One set for each of the best listed cells."""
        prior = self.prefixes.rules.prefixes
        orders, best, heads = [], [], []
        for some in np.split(cards, range(BLOCK_CARDS, len(cards), BLOCK_CARDS)):
            all_heads = self.prefixes.known_weights(evidence.ink[:PREFIX_LENGTH].take(some, axis=2))
            weights = evidence.first.take(some, axis=2)[prior.rule, self.prefixes.known_residues]
            weights *= all_heads
            order, weight = _top(np.ascontiguousarray(weights.T), self.count)
            orders.append(order)
            best.append(weight)
            heads.append(all_heads[order, np.arange(len(some))[:, None]])
        chosen = np.concatenate(orders)
        return self._start(
            prior.known[chosen], prior.rule[chosen], np.concatenate(heads), np.concatenate(best)
        )

    def _unlisted_sets(self, evidence: _Evidence, cards: Ints) -> _Pool:
        """One set for each of the best prefixes that are not listed.

        The ``count`` best are among those of the ``count`` best pairs of first characters.
        """
        prefixes, prior = self.prefixes, self.prefixes.rules.prefixes
        size, rows = self.lattice.rules.scheme.size, np.arange(len(cards))[:, None]
        ink, first = evidence.ink[..., cards], evidence.first[..., cards]
        pairs = prefixes.after_pairs(ink[2], first[prefixes.unlisted_rules], np.maximum)
        pairs *= prefixes.pair_prior.reshape(-1, 1)
        table = pairs.reshape(size, size, -1)
        table *= ink[1]
        table *= ink[0][:, None]
        chosen, _ = _top(np.ascontiguousarray(pairs.T), self.count)
        chosen.sort(axis=1)
        codes = (chosen[:, :, None] * size + np.arange(size)).reshape(len(cards), -1)
        one, two, three = np.unravel_index(codes, (size,) * PREFIX_LENGTH)
        heads = prior.unlisted[one, two, three]
        heads = heads * ink[0][one, rows] * ink[1][two, rows] * ink[2][three, rows]
        rule = prior.unlisted_rule[one]
        weights = heads * first[rule, prefixes.residues[one, two, three], rows]
        order, best = _top(weights, self.count)
        strings = np.stack([part[rows, order] for part in (one, two, three)], axis=-1)
        return self._start(strings, rule[rows, order], heads[rows, order], best)

    def _start(self, prefixes: Ints, rule: Ints, head: Floats, weight: Floats) -> _Pool:
        """One set per prefix and body rule; ``count`` of them, some without members if need be."""
        cards, found = rule.shape
        pool = _Pool(
            weight=np.zeros((cards, self.count)),
            rule=np.zeros((cards, self.count), dtype=np.int64),
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
        rules, last = self.lattice.rules, len(self.lattice.steps)
        positions = self._positions
        rule, fixed = pool.rule[:, 0].copy(), pool.fixed[:, 0]
        string, weight = pool.string[:, 0].copy(), pool.head[:, 0].copy()
        index, pairs = np.arange(len(rule)), evidence.best.shape[-1]
        pair = evidence.pair[rule, cards][:, None]
        residue = self.prefixes.residues[tuple(string[:, :PREFIX_LENGTH].T)]
        inks = evidence.rows if len(cards) == len(evidence.rows) else evidence.rows[cards]
        here = rules.bodies.positions[rule[:, None], positions]
        here *= inks
        reach, before = np.empty_like(here), np.empty((len(rule), last + 1))
        for place, position in enumerate(positions.tolist()):
            if place < last:
                after = self.lattice.steps[place].after
                places = (after * pairs).take(residue, axis=0)
                places += pair
                best = evidence.best[place + 1].ravel().take(places)
                np.multiply(here[:, place], best, out=reach[:, place])
            else:
                np.multiply(rules.bodies.check[rule, residue], inks[:, last], out=here[:, last])
                reach[:, last] = here[:, last]
            choice = reach[:, place].argmax(axis=1)
            choice = np.where(place < fixed, string[:, position], choice)
            string[:, position] = choice
            before[:, place] = weight
            weight *= here[index, place, choice]
            if place < last:
                residue = after[residue, choice]
        if not rest:
            return _Expanded(string, weight, rule, pool.part(slice(0, 0)))
        before[np.arange(last + 1) < fixed[:, None]] = 0.0
        reach *= before[:, :, None]
        reach[index[:, None], np.arange(last + 1), string[:, positions]] = 0.0
        return _Expanded(string, weight, rule, _split(pool, string, reach, positions, rest))


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
