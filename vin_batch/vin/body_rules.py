"""Reads ``data/body_rules.toml``: what follows a WMI, by kind of maker.

Every distribution is softened here: no character that a rule's ``where`` admits ever has
zero probability, so that clear ink can win over any rule.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.alphabet import ALPHABET, INDEX, VIN_LENGTH
from vin_batch.vin.check_digit import CHECK_POSITION, CHECK_SYMBOLS, VIN_SCHEME
from vin_batch.vin.rules import PREFIX_LENGTH, BodyRules

YEAR_CODES: Final = "ABCDEFGHJKLMNPRSTVWXY123456789"
"""The 30 codes of 49 CFR 565.15 table VII, 1980 to 2009."""
SURPRISE: Final = 0.004
"""Share of every position's probability that is spread over all admitted characters.

Of 6,292 VINs of the Ukrainian market none broke the strictest position rule (digits in
14-17), so a surprise has at most a few chances in 10,000 per character and position.
"""
_CLASSES: Final = {
    "digit": ALPHABET[:10],
    "letter": ALPHABET[10:],
    "any": ALPHABET,
    "year": YEAR_CODES,
    "check": CHECK_SYMBOLS,
}


@dataclass(frozen=True, slots=True)
class BodyRule:
    """One rule of a group; the arrays that the decoder needs of it.

    Attributes:
        group: Name of the group.
        name: Name of the rule.
        share: Default share of the group's vehicles.
        feature: Share of the group's vehicles *with* the feature that follow this rule;
            zero for the rules without the feature.
        use: Probability that a check digit is in use.
        admitted: ``bool[17, 33]``, the characters of each position.
        positions: ``float64[17, 33]``, zero where not admitted.
    """

    group: str
    name: str
    share: float
    feature: float
    use: float
    admitted: NDArray[np.bool_]
    positions: NDArray[np.float64]

    def check_term(self) -> NDArray[np.float64]:
        """Probability of each character at position 9 given the residue of the others.

        Returns:
            ``float64[11, 33]``: ``use`` on the symbol that the residue demands, the rest as
            ``p9`` says; every row sums to 1.
        """
        place = CHECK_POSITION - 1
        term = np.tile((1.0 - self.use) * self.positions[place], (VIN_SCHEME.modulus, 1))
        term[np.arange(VIN_SCHEME.modulus), VIN_SCHEME.symbols] += self.use
        term *= self.admitted[place]
        return np.asarray(term / term.sum(axis=1, keepdims=True))


def load_body_rules() -> tuple[BodyRule, ...]:
    """Read the packaged rules, in file order."""
    text = files("vin_batch.vin").joinpath("data/body_rules.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return tuple(
        _rule(group, name, {**table["defaults"], **spec})
        for group, members in table["rules"].items()
        for name, spec in members.items()
    )


def stack(rules: tuple[BodyRule, ...]) -> BodyRules:
    """Put the rules into the arrays of the decoder, in order."""
    return BodyRules(
        names=tuple(rule.name for rule in rules),
        positions=np.stack([rule.positions for rule in rules]),
        check=np.stack([rule.check_term() for rule in rules]),
        check_use=np.array([rule.use for rule in rules]),
    )


def _rule(group: str, name: str, spec: Mapping[str, Any]) -> BodyRule:
    admitted = np.ones((VIN_LENGTH, len(ALPHABET)), dtype=np.bool_)
    for position, text in spec.get("where", {}).items():
        admitted[int(position) - 1] = _characters(text)
    positions = np.ones((VIN_LENGTH, len(ALPHABET)))
    for position in range(PREFIX_LENGTH, VIN_LENGTH):
        positions[position] = _distribution(spec[f"p{position + 1}"], admitted[position])
    return BodyRule(
        group=group,
        name=name,
        share=float(spec["share"]),
        feature=float(spec.get("feature", 0.0)),
        use=float(spec["use"]),
        admitted=admitted,
        positions=positions,
    )


def _distribution(text: str, admitted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Parse ``digit:0.9 [Z]:0.1`` into ``float64[33]`` over the admitted characters."""
    total = np.zeros(len(ALPHABET))
    for term in text.split():
        name, weight = term.rsplit(":", 1)
        members = _characters(name) & admitted
        total += float(weight) * members / max(int(members.sum()), 1)
    total = (1.0 - SURPRISE) * total / total.sum()
    return np.asarray(total + SURPRISE * admitted / admitted.sum())


def _characters(name: str) -> NDArray[np.bool_]:
    """Parse ``digit``, ``!digit``, ``[Z]`` or ``![567]`` into ``bool[33]``."""
    bare = name.removeprefix("!")
    literal = re.fullmatch(r"\[(.+)\]", bare)
    members = np.zeros(len(ALPHABET), dtype=np.bool_)
    members[[INDEX[c] for c in (literal.group(1) if literal else _CLASSES[bare])]] = True
    return ~members if name.startswith("!") else members
