"""The shape of prior knowledge that the decoder can use exactly.

The set of all strings is cut into *cells* that do not overlap. A cell is one prefix (the
WMI) joined with one *body rule*: a product of per-position distributions, some of them
restricted to part of the alphabet, and a check term that sees the residue of all other
characters. Every string lies in exactly one cell, so that the sum over all strings and
the best strings are both found by dynamic programming, without approximation beyond what
``decoder`` states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.check_digit import CheckScheme

PREFIX_LENGTH: Final = 3
"""Characters of a WMI."""


@dataclass(frozen=True, slots=True)
class BodyRules:
    """Distributions of what follows the prefix, one row per rule.

    Attributes:
        names: Name of every rule.
        positions: ``float64[rules, length, size]``, probability of a class at a position;
            the rows of the prefix and of the check position are not used.
        check: ``float64[rules, modulus, size]``, probability of the class at the check
            position, given the residue of all other characters.
        check_use: ``float64[rules]``, probability that a check digit is in use.
    """

    names: tuple[str, ...]
    positions: NDArray[np.float64]
    check: NDArray[np.float64]
    check_use: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PrefixRules:
    """Which prefixes there are, how frequent they are, and which body follows.

    Attributes:
        known: ``int64[cells, 3]``, prefixes of the listed cells; a prefix appears once for
            every body rule that may follow it.
        rule: ``int64[cells]``, body rule of the cell.
        weight: ``float64[cells]``, prior probability of the cell.
        unlisted: ``float64[size, size, size]``, prior probability of every prefix that is
            not in ``known``, zero for those that are; elsewhere it depends on the first two
            characters alone.
        unlisted_rule: ``int64[size]``, body rule after an unlisted prefix, by its first
            character.
    """

    known: NDArray[np.int64]
    rule: NDArray[np.int64]
    weight: NDArray[np.float64]
    unlisted: NDArray[np.float64]
    unlisted_rule: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rules:
    """The whole prior: check scheme, bodies and prefixes."""

    scheme: CheckScheme
    bodies: BodyRules
    prefixes: PrefixRules

    @property
    def body_positions(self) -> tuple[int, ...]:
        """0-based positions after the prefix, without the check position."""
        return tuple(
            position
            for position in range(PREFIX_LENGTH, self.scheme.length)
            if position != self.scheme.position
        )

    def weigh(self, string: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Prior probability of one string, cell by cell.

        Args:
            string: ``int[length]`` of class indices.

        Returns:
            ``int64[cells]``, the body rules that may follow its prefix; ``float64[cells]``, the
            probability that the string has in each: all but one are zero.
        """
        code, prefixes, bodies = string.astype(np.int64), self.prefixes, self.bodies
        cells = np.flatnonzero((prefixes.known == code[:PREFIX_LENGTH]).all(axis=1))
        if len(cells):
            rules, weights = prefixes.rule[cells], prefixes.weight[cells].copy()
        else:
            rules = prefixes.unlisted_rule[code[:1]]
            weights = prefixes.unlisted[tuple(code[:PREFIX_LENGTH])].reshape(1).copy()
        for position in self.body_positions:
            weights *= bodies.positions[rules, position, code[position]]
        place = self.scheme.position
        weights *= bodies.check[rules, self.scheme.residues(code), code[place]]
        return rules, weights
