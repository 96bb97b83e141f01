"""The k best strings, exactly.

The completions of ``lattice`` with ``maximum=True`` tell, for every prefix of a string,
the weight of the best string that begins with it. So the search never guesses: it keeps a
pool of disjoint sets of strings, each with the weight of its best member, takes the best
set, reads off its best member, and splits the rest of that set by the first character that
differs (Lawler 1972, Management Science 18:401). The pool starts with one set per cell.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.lattice import Floats, Lattice
from vin_batch.vin.rules import PREFIX_LENGTH

Ints = NDArray[np.int64]


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

    def joined(self, other: _Pool) -> _Pool:
        """Both pools beside each other."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return _Pool(*(np.concatenate(pair, axis=1) for pair in pairs))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one chunk of cards says, and what the lattice made of it.

    Attributes:
        ink: ``float64[length, size, n]``.
        best: Completions with ``maximum=True``, ``float64[steps + 1, rules, modulus, n]``.
    """

    ink: Floats
    best: Floats


def rank(lattice: Lattice, ink: Floats, best: Floats, count: int) -> Ranking:
    """Find the best strings of every card.

    Args:
        lattice: The prior.
        ink: ``float64[length, size, n]``.
        best: ``lattice.completions(ink, maximum=True)``.
        count: How many strings; fewer than there are strings in all.

    Returns:
        Exactly the ``count`` heaviest strings of every card, in order.
    """
    evidence = Evidence(ink, best)
    pool = _listed_sets(lattice, evidence, count)
    pool = pool.joined(_unlisted_sets(lattice, evidence, count)).best(count)
    cards, length = ink.shape[-1], lattice.rules.scheme.length
    strings = np.empty((cards, count, length), dtype=np.int8)
    weights = np.empty((cards, count))
    rules = np.empty((cards, count), dtype=np.int64)
    for place in range(count):
        top = pool.take(np.zeros((cards, 1), dtype=np.int64))
        rest = count - place - 1
        strings[:, place], weights[:, place], split = _expand(lattice, evidence, top, rest)
        rules[:, place] = top.rule[:, 0]
        if rest:
            others = np.broadcast_to(np.arange(1, pool.weight.shape[1]), (cards, rest))
            pool = pool.take(others).joined(split).best(rest)
    return Ranking(strings, weights, rules)


def _listed_sets(lattice: Lattice, evidence: Evidence, count: int) -> _Pool:
    """One set for each of the best listed cells."""
    prefixes = lattice.rules.prefixes
    heads = lattice.known_weights(evidence.ink)
    weights = heads * evidence.best[0][prefixes.rule, lattice.known_residues]
    order = _top(np.ascontiguousarray(weights.T), count)
    cards = np.arange(len(order))[:, None]
    return _start(
        lattice,
        prefixes.known[order],
        prefixes.rule[order],
        heads[order, cards],
        weights[order, cards],
    )


def _unlisted_sets(lattice: Lattice, evidence: Evidence, count: int) -> _Pool:
    """One set for each of the best prefixes that are not listed.

    They are too many to weigh one by one: only those of the ``count`` best groups, by
    first character and residue, can be among the ``count`` best.
    """
    rules = lattice.rules.prefixes
    groups = lattice.unlisted_weights(evidence.ink, maximum=True)
    completions = evidence.best[0][rules.unlisted_rule]
    flat = (groups * completions).reshape(-1, groups.shape[-1])
    order = _top(np.ascontiguousarray(flat.T), min(count, len(flat)))
    members = lattice.members[order].reshape(len(order), -1, PREFIX_LENGTH)
    cards = np.arange(len(order))[:, None]
    first, second, third = np.moveaxis(members, -1, 0)
    ink = evidence.ink
    heads = rules.unlisted[first, second, third]
    heads = heads * ink[0][first, cards] * ink[1][second, cards] * ink[2][third, cards]
    residues = lattice.prefix_residues[first, second, third]
    rule = rules.unlisted_rule[first]
    heads[lattice.padding[order].reshape(len(order), -1)] = 0.0
    weights = heads * evidence.best[0][rule, residues, cards]
    chosen = _top(weights, count)
    return _start(
        lattice,
        members[cards, chosen],
        rule[cards, chosen],
        heads[cards, chosen],
        weights[cards, chosen],
    )


def _start(lattice: Lattice, prefixes: Ints, rule: Ints, head: Floats, weight: Floats) -> _Pool:
    string = np.zeros((*rule.shape, lattice.rules.scheme.length), dtype=np.int64)
    string[..., :PREFIX_LENGTH] = prefixes
    return _Pool(weight, rule, head, string, np.zeros_like(rule))


def _top(weights: Floats, count: int) -> Ints:
    """Columns of the ``count`` largest entries of every row, largest first."""
    count = min(count, weights.shape[1])
    chosen = np.argpartition(-weights, count - 1, axis=1)[:, :count]
    chosen.sort(axis=1)
    rows = np.arange(len(weights))[:, None]
    order = np.argsort(-weights[rows, chosen], axis=1, kind="stable")
    return np.asarray(chosen[rows, order])


def _expand(
    lattice: Lattice, evidence: Evidence, top: _Pool, rest: int
) -> tuple[Ints, Floats, _Pool]:
    """Read off the best string of each set and split what remains of the set.

    Returns:
        The strings ``int64[n, length]``, their weights ``float64[n]``, and the ``rest``
        best of the sets into which the others fall.
    """
    rules, steps = lattice.rules, (*lattice.rules.body_positions, lattice.rules.scheme.position)
    scheme, rule, fixed = rules.scheme, top.rule[:, 0], top.fixed[:, 0]
    string, weight = top.string[:, 0].copy(), top.head[:, 0].copy()
    cards = np.arange(len(rule))
    residue = lattice.prefix_residues[tuple(string[:, :PREFIX_LENGTH].T)]
    alternatives = np.zeros((len(rule), len(steps), scheme.size))
    for step, position in enumerate(steps):
        last = step == len(steps) - 1
        prior = (
            rules.bodies.check[rule, residue] if last else rules.bodies.positions[rule, position]
        )
        here = prior * evidence.ink[position].T
        after = (residue[:, None] + scheme.values * scheme.weights[position]) % scheme.modulus
        reach = (
            here if last else here * evidence.best[step + 1][rule[:, None], after, cards[:, None]]
        )
        choice = np.where(step < fixed, string[:, position], reach.argmax(axis=1))
        alternatives[:, step] = np.where((step >= fixed)[:, None], weight[:, None] * reach, 0.0)
        alternatives[cards, step, choice] = 0.0
        string[:, position] = choice
        weight *= here[cards, choice]
        residue = residue if last else after[cards, choice]
    split = _split(top, string, alternatives, np.array(steps), rest)
    return string, weight, split


def _split(top: _Pool, string: Ints, alternatives: Floats, steps: Ints, rest: int) -> _Pool:
    """Make one set per deviation from ``string``, and keep the ``rest`` best."""
    size = alternatives.shape[-1]
    flat = alternatives.reshape(len(string), -1)
    chosen = _top(flat, max(rest, 1))[:, :rest]
    step, class_ = np.divmod(chosen, size)
    cards = np.arange(len(string))[:, None]
    strings = np.repeat(string[:, None], chosen.shape[1], axis=1)
    np.put_along_axis(strings, steps[step][..., None], class_[..., None], axis=2)
    return _Pool(
        flat[cards, chosen],
        np.repeat(top.rule, chosen.shape[1], axis=1),
        np.repeat(top.head, chosen.shape[1], axis=1),
        strings,
        step + 1,
    )
