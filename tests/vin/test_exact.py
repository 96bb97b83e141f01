"""The dynamic programme against brute force, on short strings over small alphabets."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vin_batch.vin import decoder as decoder_module
from vin_batch.vin.check_digit import CheckScheme
from vin_batch.vin.decoder import CHUNK_CARDS, Decoder, ink_of
from vin_batch.vin.rules import BodyRules, PrefixRules, Rules

Floats = NDArray[np.float64]
CARDS = 3


def random_rules(rng: np.random.Generator, size: int, length: int, modulus: int) -> Rules:
    """Three body rules: two that exclude each other at one position, and a free one."""
    position = int(rng.integers(3, length))
    weights = rng.integers(1, modulus, length)
    weights[position] = 0
    symbols = rng.permutation(size)[:modulus]
    scheme = CheckScheme(rng.integers(0, modulus, size), weights, modulus, symbols, position)
    positions = rng.dirichlet(np.full(size, 0.5), (3, length))
    check = rng.dirichlet(np.full(size, 0.5), (3, modulus))
    split = int(rng.integers(3, length))
    target = check if split == position else positions[:, split]
    target[0, ..., 1:] = 0.0
    target[1, ..., 0] = 0.0
    prefixes = list(product(range(size), repeat=3))
    chosen = rng.permutation(len(prefixes))[: int(rng.integers(1, len(prefixes) // 2))]
    cells = [
        (prefixes[i], rule) for i in chosen for rule in ((0, 1) if rng.random() < 0.6 else (2,))
    ]
    unlisted = np.repeat(rng.random((size, size, 1)), size, axis=2)
    for i in chosen:
        unlisted[prefixes[i]] = 0.0
    table = PrefixRules(
        known=np.array([prefix for prefix, _ in cells]),
        rule=np.array([rule for _, rule in cells]),
        weight=rng.random(len(cells)),
        unlisted=unlisted,
        unlisted_rule=np.full(size, 2),
    )
    return Rules(scheme, BodyRules(("a", "b", "c"), positions, check, np.zeros(3)), table)


def brute_weights(rules: Rules, strings: NDArray[np.int64], ink: Floats) -> Floats:
    """Prior times likelihood of every string, straight from the definitions."""
    scheme, bodies, prefixes = rules.scheme, rules.bodies, rules.prefixes
    places = np.arange(scheme.length)
    residues = scheme.residues(strings)
    prior = np.zeros(len(strings))
    for rule in range(len(bodies.names)):
        body = np.ones(len(strings))
        for place in rules.body_positions:
            body *= bodies.positions[rule, place, strings[:, place]]
        body *= bodies.check[rule, residues, strings[:, scheme.position]]
        head = np.zeros((scheme.size,) * 3)
        for known, of_rule, weight in zip(
            prefixes.known, prefixes.rule, prefixes.weight, strict=True
        ):
            if of_rule == rule:
                head[tuple(known)] += weight
        head += prefixes.unlisted * (prefixes.unlisted_rule == rule)[:, None, None]
        prior += head[tuple(strings[:, :3].T)] * body
    return np.asarray(prior * ink[places, strings].prod(axis=1))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(3, 4),
    length=st.integers(5, 6),
    modulus=st.sampled_from([2, 3]),
    spread=st.sampled_from([0.3, 2.0, 6.0]),
)
def test_posterior_best_and_k_best_equal_brute_force(
    seed: int, size: int, length: int, modulus: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    rules = random_rules(rng, size, length, modulus)
    log_probs = rng.normal(0.0, spread, (CARDS, length, size))
    log_probs[0, int(rng.integers(length))] = 0.0
    count = 6
    decoded = Decoder(rules, alternatives=count - 1).decode(log_probs)
    strings = np.array(list(product(range(size), repeat=length)))
    for card in range(CARDS):
        weights = brute_weights(rules, strings, ink_of(log_probs)[:, :, card])
        total, order = weights.sum(), np.argsort(-weights, kind="stable")[:count]
        found = np.concatenate([decoded.best[card][None], decoded.alternatives[card]])
        places = found @ (size ** np.arange(length - 1, -1, -1))
        posteriors = np.append(decoded.posterior[card], decoded.alternative_posteriors[card])
        assert posteriors == pytest.approx(weights[order] / total, rel=1e-9)
        assert weights[places] / total == pytest.approx(posteriors, rel=1e-9)
        assert len(set(places.tolist())) == count
        evidence = total * float(size) ** length
        assert decoded.log_evidence[card] == pytest.approx(np.log(evidence), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1.0, 90.0, 1e30, 1.6e38]),
    tones=st.integers(1, 3),
)
def test_ties_and_absurd_numbers_are_exact_too(seed: int, scale: float, tones: int) -> None:
    """Boxes of one to three different numbers: everything is tied, much is impossible."""
    rng = np.random.default_rng(seed)
    size, length, count = 3, 5, 5
    rules = random_rules(rng, size, length, 3)
    log_probs = -scale * rng.integers(0, tones, (CARDS, length, size)).astype(np.float64)
    decoded = Decoder(rules, alternatives=count - 1).decode(log_probs.astype(np.float32))
    strings = np.array(list(product(range(size), repeat=length)))
    for card in range(CARDS):
        weights = brute_weights(rules, strings, ink_of(log_probs)[:, :, card])
        found = np.concatenate([decoded.best[card][None], decoded.alternatives[card]])
        places = found @ (size ** np.arange(length - 1, -1, -1))
        posteriors = np.append(decoded.posterior[card], decoded.alternative_posteriors[card])
        largest = np.sort(weights)[::-1][:count] / weights.sum()
        assert posteriors == pytest.approx(largest, rel=1e-6)
        assert weights[places] / weights.sum() == pytest.approx(posteriors, rel=1e-6)
        assert len(set(places.tolist())) == count
        assert posteriors.sum() <= 1.0 + 1e-9


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    negligible=st.sampled_from([1e-12, 1e-3, 0.1, 0.9]),
    spread=st.sampled_from([0.0, 1.0, 3.0, 8.0]),
)
def test_negligible_rules_count_at_most_as_much_as_promised(
    seed: int, negligible: float, spread: float
) -> None:
    """Even where much is negligible the best strings are the best, and the error is bounded."""
    rng = np.random.default_rng(seed)
    size, length, count = 3, 5, 5
    rules = random_rules(rng, size, length, 3)
    log_probs = rng.normal(0.0, spread, (CARDS, length, size))
    with patch.object(decoder_module, "NEGLIGIBLE", negligible):
        decoded = Decoder(rules, alternatives=count - 1).decode(log_probs)
    strings = np.array(list(product(range(size), repeat=length)))
    for card in range(CARDS):
        weights = brute_weights(rules, strings, ink_of(log_probs)[:, :, card])
        excess = np.exp(decoded.log_evidence[card]) / float(size) ** length / weights.sum()
        assert 1.0 - 1e-9 <= excess <= 1.0 + len(rules.bodies.names) * negligible + 1e-9
        posteriors = np.append(decoded.posterior[card], decoded.alternative_posteriors[card])
        largest = np.sort(weights)[::-1][:count] / weights.sum()
        assert posteriors == pytest.approx(largest / excess, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 6))
def test_the_search_finds_the_same_strings_where_every_cell_matters(seed: int, count: int) -> None:
    """On clear cards a cell weighs little more than its best string: the bound is nearly met."""
    rng = np.random.default_rng(seed)
    decoder = Decoder(random_rules(rng, 4, 5, 3), alternatives=count - 1)
    evidence = ink_of(rng.normal(0.0, 12.0, (512, 5, 4)))
    sums = decoder._sum(evidence)
    everything = replace(sums, listed=sums.listed + 1e300, unlisted=sums.unlisted + 1e300)
    pruned = decoder._search.rank(evidence, sums)
    whole = decoder._search.rank(evidence, everything)
    np.testing.assert_array_equal(pruned.strings, whole.strings)
    np.testing.assert_array_equal(pruned.weights, whole.weights)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_listed_tells_whether_the_best_prefix_is_on_the_list(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rules = random_rules(rng, 3, 5, 3)
    decoded = Decoder(rules).decode(rng.normal(0.0, 3.0, (20, 5, 3)))
    known = {tuple(prefix) for prefix in rules.prefixes.known.tolist()}
    assert [tuple(b[:3].tolist()) in known for b in decoded.best] == decoded.listed.tolist()


def test_chunks_do_not_show() -> None:
    rng = np.random.default_rng(5)
    rules = random_rules(rng, 4, 6, 3)
    decoder = Decoder(rules)
    log_probs = rng.normal(0.0, 2.0, (CHUNK_CARDS + 9, 6, 4))
    together = decoder.decode(log_probs)
    for card in (0, CHUNK_CARDS - 1, CHUNK_CARDS, CHUNK_CARDS + 8):
        alone = decoder.decode(log_probs[card : card + 1])
        for name in together.__slots__:
            np.testing.assert_array_equal(getattr(together, name)[card], getattr(alone, name)[0])
