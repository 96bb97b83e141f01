from __future__ import annotations

import hashlib
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vin_batch.vin import tables
from vin_batch.vin.alphabet import ALPHABET, INDEX, VIN_LENGTH
from vin_batch.vin.body_rules import BodyRule, load_body_rules
from vin_batch.vin.decoder import Decoder
from vin_batch.vin.maker_characters import (
    GROUP_SHARE,
    LEAST_VEHICLES,
    POSITIONS,
    MakerCharacters,
    count,
    counted_positions,
    load_maker_characters,
    own_rule,
    parse,
    to_csv,
)
from vin_batch.vin.priors import build_rules, load_wmi_priors

RULES = {rule.name: rule for rule in load_body_rules()}
GROUP_OF = {prior.wmi: prior.group for prior in load_wmi_priors()}


@st.composite
def counted(draw: st.DrawFn) -> tuple[BodyRule, MakerCharacters]:
    """Counts that a maker could have under some rule."""
    rule = draw(st.sampled_from(sorted(RULES.values(), key=lambda each: each.name)))
    vehicles = draw(st.integers(LEAST_VEHICLES, 400))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = np.zeros((VIN_LENGTH, len(ALPHABET)), dtype=np.int64)
    for position in counted_positions(rule):
        admitted = rule.admitted[position - 1] * rng.dirichlet(np.full(len(ALPHABET), 0.1))
        shares = admitted / admitted.sum() if admitted.sum() else rule.positions[position - 1]
        counts[position - 1] = rng.multinomial(vehicles, shares / shares.sum())
    return rule, MakerCharacters("XTA", rule.name, vehicles, counts)


@given(counted())
def test_a_maker_keeps_what_its_group_admits(of: tuple[BodyRule, MakerCharacters]) -> None:
    rule, maker = of
    own = own_rule(rule, maker)
    body = [position - 1 for position in range(4, VIN_LENGTH + 1) if position != 9]
    assert own.positions[body].sum(axis=1) == pytest.approx(rule.positions[body].sum(axis=1))
    assert (own.positions >= GROUP_SHARE * rule.positions).all()
    assert ((own.positions > 0) == (rule.positions > 0)).all()
    silent = [place for place in range(VIN_LENGTH) if not maker.counts[place].any()]
    assert (own.positions[silent] == rule.positions[silent]).all()
    assert (own.use, own.share) == (rule.use, rule.share)


@given(counted())
def test_more_often_seen_is_more_probable(of: tuple[BodyRule, MakerCharacters]) -> None:
    rule, maker = of
    own = own_rule(rule, maker)
    for position in counted_positions(rule):
        seen, group = maker.counts[position - 1], rule.positions[position - 1]
        most = int(seen.argmax())
        if seen[most] / maker.vehicles > group[most]:
            assert own.positions[position - 1, most] > group[most]


@settings(max_examples=30)
@given(st.lists(counted(), max_size=4))
def test_a_table_is_read_as_it_was_written(
    some: list[tuple[BodyRule, MakerCharacters]],
) -> None:
    makers = [maker for _, maker in some]
    again = parse(to_csv(makers))
    assert [(each.wmi, each.rule, each.vehicles) for each in again] == [
        (each.wmi, each.rule, each.vehicles) for each in makers
    ]
    for one, other in zip(again, makers, strict=True):
        assert (one.counts == other.counts).all()


def test_neither_serial_numbers_nor_years_nor_check_digits_are_counted() -> None:
    assert counted_positions(RULES["vaz_index"]) == (4, 5, 6, 7, 8, 9)
    assert counted_positions(RULES["check_always"]) == (4, 5, 6, 7, 8, 11)
    assert counted_positions(RULES["mercedes_baumuster"]) == POSITIONS


def test_vehicles_are_counted_by_the_rule_they_follow() -> None:
    vins = ["WVWZZZ3CZ6P995967", "WVWZZZ3CZ6P995968", "WVWZZZ1KZ6W995967", "WVWZZZ1K06W995967"]
    (maker,) = count([*vins, "99Z12345678901234"], GROUP_OF, list(RULES.values()))
    assert (maker.wmi, maker.rule, maker.vehicles) == ("WVW", "volkswagen_filler", 3)
    assert maker.counts[6, INDEX["3"]] == 2
    assert maker.counts[10, INDEX["P"]] == 2
    assert not maker.counts[9].any(), "the model year"
    assert not maker.counts[11:].any(), "the serial number"


def test_the_packaged_table_is_well_formed() -> None:
    makers = load_maker_characters()
    assert len(makers) > 100
    assert max(Counter((each.wmi, each.rule) for each in makers).values()) == 1
    for each in makers:
        rule = RULES[each.rule]
        assert rule.group == GROUP_OF[each.wmi], each.wmi
        assert each.vehicles >= LEAST_VEHICLES
        told = [position - 1 for position in counted_positions(rule)]
        assert (each.counts[told].sum(axis=1) == each.vehicles).all()
        assert each.counts.sum() == each.counts[told].sum()
        assert not (each.counts[:, :] * ~rule.admitted).any()


def test_no_vin_can_be_read_off_the_table() -> None:
    text = files("vin_batch.vin").joinpath("data/maker_characters.csv").read_text(encoding="utf-8")
    assert not any(
        len(word) >= VIN_LENGTH and set(word) <= set(ALPHABET)
        for word in text.replace(",", " ").split()
    )


def test_counts_move_ambiguous_ink_and_nothing_else() -> None:
    """A Skoda box that is half a 6 and half a G; one that is clear keeps what was written."""
    plain, counts = (
        Decoder(build_rules(load_wmi_priors(), list(RULES.values()), makers))
        for makers in ((), (_skoda(),))
    )
    log_probs = np.full((2, VIN_LENGTH, len(ALPHABET)), np.log(1e-6), dtype=np.float32)
    for row, vin in enumerate(("TMBGG41UX52123456", "TMB6G41U752123456")):
        for place, character in enumerate(vin):
            log_probs[row, place, INDEX[character]] = np.log(0.999)
    doubtful = log_probs.copy()
    doubtful[0, 3, [INDEX["6"], INDEX["G"]]] = np.log(0.5)
    assert counts.decode(doubtful).posterior[0] > plain.decode(doubtful).posterior[0]
    for decoder in (plain, counts):
        best = decoder.decode(log_probs).best
        assert best[0, 3] == INDEX["G"]
        assert best[1, 3] == INDEX["6"]


def _skoda() -> MakerCharacters:
    vins = [f"TMB{model}X52{serial:06d}" for model in ("GG41U", "BS21Z") for serial in range(40)]
    (maker,) = count(vins, GROUP_OF, list(RULES.values()))
    return maker


def test_the_digest_names_the_tables_that_decide() -> None:
    digest = hashlib.sha256()
    for name in ("wmi_prior.csv", "body_rules.toml", "maker_characters.csv"):
        content = files("vin_batch.vin").joinpath("data", name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    assert tables.tables_sha256() == digest.hexdigest()
