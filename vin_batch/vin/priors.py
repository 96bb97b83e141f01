"""The prior over VINs on this register's cards: how often which WMI, followed by what.

``data/README.md`` says where every number comes from and what it adds up to.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.alphabet import ALPHABET, encode
from vin_batch.vin.body_rules import BodyRule, load_body_rules, stack
from vin_batch.vin.check_digit import VIN_SCHEME
from vin_batch.vin.maker_characters import MakerCharacters, load_maker_characters, own_rule
from vin_batch.vin.rules import PrefixRules, Rules

REGION_MASS: Final = {
    "soviet": 0.29,
    "cis": 0.15,
    "elsewhere": 0.38,
    "north_america": 0.15,
}
"""Share of the cards by region of the WMI; the rest is for WMIs that are not listed.

The market corpus of 2023-25 behind ``seen`` has 3 % of domestic makers; a paper archive
of the 1990s and 2000s has many times that. A judgement, to be re-estimated from labelled
cards; a clear WMI outweighs it by orders of magnitude.
"""
UNLISTED_MASS: Final = 1.0 - sum(REGION_MASS.values())
UNLISTED_BY_COUNTRY: Final = 0.6
"""Share of the unlisted mass that follows the first two characters of listed WMIs; the
rest is even over all codes. Unlisted makers come from countries that have listed ones."""
SEEN_POWER: Final = 0.85
"""Exponent of the counts: flattens the frequencies, because an old archive is another
mixture of makers than the corpus is."""
SEEN_EXTRA: Final = 0.5
"""Pseudo-count of a listed WMI (Krichevsky and Trofimov), so that unseen ones have some."""
SMALLEST_SHARE: Final = 0.02
"""No rule of a group has less than this share of a WMI."""
_UNLISTED_GROUP: Final = {
    **dict.fromkeys("123457L", "check_always"),
    **dict.fromkeys("JMNSTVWK", "check_half"),
    **dict.fromkeys("XY", "unlisted_east"),
}
"""Group after an unlisted WMI by first character; ``check_rarely`` for the others."""


@dataclass(frozen=True, slots=True)
class WmiPrior:
    """One row of ``data/wmi_prior.csv``.

    Attributes:
        wmi: The code.
        region: Key of ``REGION_MASS``.
        group: Group of body rules.
        seen: Measured or expected number of vehicles.
        feature_share: Share of its vehicles that show the feature by which the group's
            users of a check digit are told apart; None where nothing was measured.
    """

    wmi: str
    region: str
    group: str
    seen: float
    feature_share: float | None


@cache
def load_wmi_priors() -> tuple[WmiPrior, ...]:
    """Read the packaged table."""
    text = files("vin_batch.vin").joinpath("data/wmi_prior.csv").read_text(encoding="utf-8")
    return tuple(
        WmiPrior(
            wmi=row["wmi"],
            region=row["region"],
            group=row["group"],
            seen=float(row["seen"]),
            feature_share=float(row["feature_share"]) if row["feature_share"] else None,
        )
        for row in csv.DictReader(text.splitlines())
    )


def wmi_weights(priors: Sequence[WmiPrior]) -> NDArray[np.float64]:
    """Prior probability of every listed WMI.

    Returns:
        ``float64[len(priors)]``; sums to ``1 - UNLISTED_MASS``.
    """
    raw = np.array([(prior.seen + SEEN_EXTRA) ** SEEN_POWER for prior in priors])
    regions = np.array([prior.region for prior in priors])
    weights = np.zeros(len(priors))
    for region, mass in REGION_MASS.items():
        members = regions == region
        weights[members] = mass * raw[members] / raw[members].sum()
    return weights


def rule_shares(prior: WmiPrior, members: Sequence[BodyRule]) -> NDArray[np.float64]:
    """How the vehicles of a WMI divide over the body rules of its group.

    Returns:
        ``float64[len(members)]``, summing to 1.
    """
    shares = np.array([rule.share for rule in members])
    if prior.feature_share is not None:
        feature = np.array([rule.feature for rule in members])
        plain = np.where(feature == 0, shares, 0.0)
        with_feature = prior.feature_share * feature / feature.sum()
        shares = with_feature + (1.0 - prior.feature_share) * plain / plain.sum()
    shares = np.maximum(shares, SMALLEST_SHARE) if len(shares) > 1 else np.ones(1)
    return np.asarray(shares / shares.sum())


def unlisted_prefixes(
    known: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Spread ``UNLISTED_MASS`` over all codes that are not listed.

    Args:
        known: ``int64[m, 3]``.
        weights: ``float64[m]``, their prior probabilities.

    Returns:
        ``float64[33, 33, 33]``, zero for listed codes.
    """
    size = len(ALPHABET)
    pairs = np.zeros((size, size))
    np.add.at(pairs, (known[:, 0], known[:, 1]), np.sqrt(weights))
    spread = UNLISTED_BY_COUNTRY * pairs / pairs.sum() + (1.0 - UNLISTED_BY_COUNTRY) / size**2
    table = np.repeat(spread[:, :, None], size, axis=2)
    table[tuple(known.T)] = 0.0
    return np.asarray(UNLISTED_MASS * table / table.sum())


def build_rules(
    priors: Sequence[WmiPrior],
    bodies: Iterable[BodyRule],
    makers: Iterable[MakerCharacters] = (),
) -> Rules:
    """Join WMIs and bodies into the decoder's prior.

    Args:
        priors: The listed WMIs.
        bodies: The rules of the groups.
        makers: What was counted of single makers, who get rules of their own.
    """
    bodies = list(bodies)
    by_group: dict[str, list[int]] = {}
    for index, rule in enumerate(bodies):
        by_group.setdefault(rule.group, []).append(index)
    own = _add_own_rules(bodies, makers)
    codes = np.stack([encode(prior.wmi).astype(np.int64) for prior in priors])
    weights = wmi_weights(priors)
    cells = [
        (code, own.get((prior.wmi, rule), rule), weight * share)
        for prior, code, weight in zip(priors, codes, weights, strict=True)
        for rule, share in zip(
            by_group[prior.group],
            rule_shares(prior, [bodies[i] for i in by_group[prior.group]]),
            strict=True,
        )
    ]
    unlisted_rule = [by_group[_UNLISTED_GROUP.get(c, "check_rarely")][0] for c in ALPHABET]
    prefixes = PrefixRules(
        known=np.stack([code for code, _, _ in cells]),
        rule=np.array([rule for _, rule, _ in cells]),
        weight=np.array([weight for _, _, weight in cells]),
        unlisted=unlisted_prefixes(codes, weights),
        unlisted_rule=np.array(unlisted_rule),
    )
    return Rules(VIN_SCHEME, stack(tuple(bodies)), prefixes)


def _add_own_rules(
    bodies: list[BodyRule], makers: Iterable[MakerCharacters]
) -> dict[tuple[str, int], int]:
    """Append the rules of single makers; tell them by WMI and the rule that each replaces."""
    place = {rule.name: index for index, rule in enumerate(bodies)}
    own = {}
    for maker in makers:
        replaced = place[maker.rule]
        own[maker.wmi, replaced] = len(bodies)
        bodies.append(own_rule(bodies[replaced], maker))
    return own


@cache
def vin_rules() -> Rules:
    """The prior for VINs on this register's cards."""
    return build_rules(load_wmi_priors(), load_body_rules(), load_maker_characters())
