"""What the decoder does not work out: bounded, decided card by card, and no more memory."""

from __future__ import annotations

import tracemalloc
from unittest.mock import ANY, patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vin_batch.vin import decoder as decoder_module
from vin_batch.vin.decoder import CHUNK_CARDS, Decoder, ink_of
from vin_batch.vin.lattice import BLOCK_PAIRS, MIN_CARDS, Lattice
from vin_ink import ink, noisy_cards

VINS = ["XTA210990K1491754", "1G4AH59H45G118341", "WVWZZZ3CZ6P995967", "9NAH59H4X5G118341"]


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder()


@st.composite
def cards(draw: st.DrawFn) -> NDArray[np.float32]:
    """From clear to flat, some boxes silent; a multiple of ``MIN_CARDS``."""
    seed, spread = draw(st.integers(0, 10_000)), draw(st.sampled_from([0.0, 0.3, 2.0, 6.0, 40.0]))
    rng = np.random.default_rng(seed)
    some = np.stack([ink(VINS[i % len(VINS)], sure=0.999) for i in range(MIN_CARDS)])
    some[::2] = 0.0
    some += noisy_cards(seed, len(some), spread)
    some[rng.random(some.shape[:2]) < draw(st.sampled_from([0.0, 0.2]))] = 0.0
    return some


def all_pairs(decoder: Decoder, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rules = len(decoder.rules.bodies.names)
    return np.repeat(np.arange(rules), count), np.tile(np.arange(count), rules)


@settings(max_examples=15, deadline=None)
@given(log_probs=cards())
def test_no_rule_weighs_more_or_less_than_its_bounds(
    decoder: Decoder, log_probs: NDArray[np.float32]
) -> None:
    evidence = ink_of(log_probs)
    low, high = decoder._lattice.bounds(evidence)
    exact = decoder._lattice.bodies(evidence, *all_pairs(decoder, len(log_probs)), np.add)
    exact = exact.reshape(len(exact), *high.shape)
    assert (exact <= high * (1.0 + 1e-12)).all()
    assert (exact >= low * (1.0 - 1e-12)).all()


@settings(max_examples=15, deadline=None)
@given(log_probs=cards())
def test_no_prefixes_weigh_more_or_less_than_their_bounds(
    decoder: Decoder, log_probs: NDArray[np.float32]
) -> None:
    evidence, prior = ink_of(log_probs), decoder.rules.prefixes
    exact = np.zeros((len(decoder.rules.bodies.names), len(log_probs)))
    one, two, three = prior.known.T
    heads = prior.weight[:, None] * evidence[0][one] * evidence[1][two] * evidence[2][three]
    np.add.at(exact, prior.rule, heads)
    unlisted = np.einsum("abc,an,bn,cn->an", prior.unlisted, *evidence[:3], optimize=True)
    np.add.at(exact, prior.unlisted_rule, unlisted)
    prefixes = decoder._prefixes
    least, most = prefixes.by_rule(prefixes.known_weights(evidence), evidence)
    assert (exact <= most * (1.0 + 1e-12)).all()
    assert (exact >= least * (1.0 - 1e-12)).all()


@settings(max_examples=15, deadline=None)
@given(log_probs=cards())
def test_what_is_left_out_changes_no_digit_of_a_reading(
    decoder: Decoder, log_probs: NDArray[np.float32]
) -> None:
    found = decoder.decode(log_probs)
    with patch.object(decoder_module, "NEGLIGIBLE", 0.0):
        exact = decoder.decode(log_probs)
    np.testing.assert_array_equal(found.best, exact.best)
    np.testing.assert_array_equal(found.alternatives, exact.alternatives)
    share = decoder_module.NEGLIGIBLE * len(decoder.rules.bodies.names)
    assert share < 1e-9
    assert (found.posterior <= exact.posterior * (1.0 + 1e-14)).all()
    assert (found.posterior >= exact.posterior * (1.0 - share)).all()


def test_few_rules_are_worked_out_for_clear_cards(decoder: Decoder) -> None:
    evidence = ink_of(np.stack([ink(vin) for vin in VINS[:2]] * 4))
    lattice = decoder._lattice
    with patch.object(Lattice, "bodies", autospec=True, side_effect=Lattice.bodies) as bodies:
        decoder._sum(evidence)
    bodies.assert_called_once_with(lattice, ANY, ANY, ANY, np.add)
    _, _, rule, card, _ = bodies.call_args.args
    worked_out = np.bincount(card, minlength=evidence.shape[-1])
    assert len(rule) == worked_out.sum()
    assert (worked_out >= 1).all()
    assert (worked_out < len(decoder.rules.bodies.names) / 3).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(MIN_CARDS, 2 * BLOCK_PAIRS + 1))
def test_a_pair_does_not_depend_on_the_other_pairs(decoder: Decoder, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = ink_of(noisy_cards(seed, MIN_CARDS, 4.0))
    rule, card = all_pairs(decoder, MIN_CARDS)
    some = rng.permutation(len(rule))[:count]
    for operation in (np.add, np.maximum):
        together = decoder._lattice.bodies(evidence, rule, card, operation)
        apart = decoder._lattice.bodies(evidence, rule[some], card[some], operation)
        np.testing.assert_array_equal(apart, together[:, some])


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_cards_that_say_nothing_do_not_fill_the_memory(decoder: Decoder, spread: float) -> None:
    """Every rule matters for every card; the tables of all pairs would take 60 MB and more."""
    log_probs = noisy_cards(1, CHUNK_CARDS, spread)
    tracemalloc.start()
    decoder.decode(log_probs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6
