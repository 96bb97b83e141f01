from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from vin_batch.vin.alphabet import ALPHABET, INDEX, encode
from vin_batch.vin.body_rules import BodyRule, load_body_rules
from vin_batch.vin.check_digit import CHECK_POSITION
from vin_batch.vin.priors import REGION_MASS, UNLISTED_MASS, load_wmi_priors, vin_rules, wmi_weights

RULES = load_body_rules()
GROUPS = {rule.group: [r for r in RULES if r.group == rule.group] for rule in RULES}
BODY = [p for p in range(3, 17) if p != CHECK_POSITION - 1]


@pytest.mark.parametrize("members", GROUPS.values(), ids=GROUPS)
def test_rules_of_a_group_cut_all_bodies_without_overlap(members: list[BodyRule]) -> None:
    for one, other in combinations(members, 2):
        assert (~(one.admitted & other.admitted).any(axis=1)).any(), (one.name, other.name)
    sizes = [float(rule.admitted.mean(axis=1).prod()) for rule in members]
    assert sum(sizes) == pytest.approx(1.0)
    assert sum(rule.share for rule in members) == pytest.approx(1.0)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_admitted_character_has_a_chance(rule: BodyRule) -> None:
    assert rule.positions[BODY].sum(axis=1) == pytest.approx(1.0)
    assert ((rule.positions > 1e-5) == rule.admitted)[BODY].all()
    check = rule.check_term()
    assert check.sum(axis=1) == pytest.approx(1.0)
    assert ((check > 0) == rule.admitted[CHECK_POSITION - 1]).all()


def test_the_prior_is_a_distribution() -> None:
    prefixes = vin_rules().prefixes
    assert prefixes.weight.sum() + prefixes.unlisted.sum() == pytest.approx(1.0)
    assert prefixes.unlisted.sum() == pytest.approx(UNLISTED_MASS)
    assert (prefixes.unlisted[tuple(prefixes.known.T)] == 0.0).all()
    assert (prefixes.unlisted == 0.0).sum() == len(np.unique(prefixes.known, axis=0))


def test_region_masses_are_as_documented() -> None:
    priors = load_wmi_priors()
    weights = wmi_weights(priors)
    for region, mass in REGION_MASS.items():
        members = [prior.region == region for prior in priors]
        assert weights[members].sum() == pytest.approx(mass)


def test_wmi_table_is_well_formed() -> None:
    priors = load_wmi_priors()
    assert all(len(p.wmi) == 3 and set(p.wmi) <= set(INDEX) for p in priors)
    assert max(Counter(p.wmi for p in priors).values()) == 1
    assert {p.group for p in priors} <= set(GROUPS)
    assert {p.region for p in priors} == set(REGION_MASS)


def use_by_wmi(wmi: str) -> float:
    rules = vin_rules()
    cells = (rules.prefixes.known == encode(wmi)).all(axis=1)
    use = rules.bodies.check_use[rules.prefixes.rule[cells]]
    weight = rules.prefixes.weight[cells]
    return float((use * weight).sum() / weight.sum())


@pytest.mark.parametrize("wmi", ["1G1", "2FM", "3FA", "5YJ", "WBA", "TMB", "JTM", "Y6U", "LGX"])
def test_makers_that_always_use_a_check_digit(wmi: str) -> None:
    assert use_by_wmi(wmi) > 0.9


@pytest.mark.parametrize("wmi", ["XTA", "XTH", "XTT", "Y6D", "Y3M", "WF0", "SJN", "VF3", "XWB"])
def test_makers_that_never_do(wmi: str) -> None:
    assert use_by_wmi(wmi) < 0.05


def test_the_visible_feature_decides_for_volkswagen() -> None:
    names = dict(zip(vin_rules().bodies.names, vin_rules().bodies.check_use, strict=True))
    assert names["volkswagen_filler"] == 0.0
    assert names["volkswagen_filler_check"] > 0.95
    assert names["volkswagen_styled"] > 0.95


def test_alphabet_classes_cover_the_year_codes() -> None:
    no_year = set("UZ0")
    rule = next(r for r in RULES if r.name == "check_always")
    likely = {c for c in ALPHABET if rule.positions[9][INDEX[c]] > 0.01}
    assert likely == set(ALPHABET) - no_year
