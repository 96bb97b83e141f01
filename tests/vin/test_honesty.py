"""Is a posterior of 0.9 right nine times in ten, for every kind of maker?

The ink is simulated so that its probabilities are exact: a character is a point, similar
characters are near points, a box is a noisy point, and the classifier is Bayes' rule. The VINs
are those of the list that the makers' counts do not come from.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vin_batch.training.fleet import learned_from
from vin_batch.vin.alphabet import ALPHABET, INDEX, encode
from vin_batch.vin.check_digit import VIN_SCHEME
from vin_batch.vin.decoder import Decoded, Decoder
from vin_batch.vin.rules import BodyRules, PrefixRules, Rules

VINS = Path(__file__).parents[2] / "../shared/vin/synthetic_vins.csv"
LOOK_ALIKES = (
    "0D 17 1J 1L 1T 2Z 27 7Z 38 3B 35 3Z 49 4A 4Y 5S 56 6G 6B 8B "
    "UV VY MN MH HN MW KX KY XY CG CL GL PF PR FR EF"
)
CARDS = 1500

pytestmark = pytest.mark.skipif(
    not VINS.exists(), reason="../shared/vin/synthetic_vins.csv is absent"
)


def look_alike_points() -> NDArray[np.float64]:
    """``float64[33, 33]``: unit vectors, nearer to each other where characters look alike."""
    likeness = np.eye(len(ALPHABET))
    for pair in LOOK_ALIKES.split():
        one, other = (INDEX[character] for character in pair)
        likeness[one, other] = likeness[other, one] = 0.35
    values, vectors = np.linalg.eigh(likeness)
    points = vectors * np.sqrt(np.maximum(values, 1e-3))
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def written(vins: NDArray[np.int8], noise: float, seed: int) -> NDArray[np.float32]:
    """Exact log probabilities of noisy ink; some boxes and cards are written worse."""
    rng = np.random.default_rng(seed)
    points = look_alike_points()
    sloppy = rng.normal(0.0, 0.45, (*vins.shape, 1)) + rng.normal(0.0, 0.25, (len(vins), 1, 1))
    spread = noise * np.exp(sloppy)
    seen = points[vins] + spread * rng.normal(size=(*vins.shape, len(ALPHABET)))
    distance = 2.0 - 2.0 * np.einsum("nbd,cd->nbc", seen, points)
    logits = -distance / (2.0 * spread**2)
    logits -= logits.max(axis=2, keepdims=True)
    log_sums = np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return np.asarray(logits - log_sums, dtype=np.float32)


def forced_check_digit() -> Rules:
    """The prior of the usual VIN scanner: any characters, the check digit must fit."""
    size, modulus = len(ALPHABET), VIN_SCHEME.modulus
    check = np.zeros((1, modulus, size))
    check[0, np.arange(modulus), VIN_SCHEME.symbols] = 1.0
    flat = np.full((1, VIN_SCHEME.length, size), 1.0 / size)
    nothing_listed = PrefixRules(
        known=np.zeros((1, 3), dtype=np.int64),
        rule=np.zeros(1, dtype=np.int64),
        weight=np.zeros(1),
        unlisted=np.full((size, size, size), 1.0 / size**3),
        unlisted_rule=np.zeros(size, dtype=np.int64),
    )
    return Rules(VIN_SCHEME, BodyRules(("forced",), flat, check, np.ones(1)), nothing_listed)


class Sample:
    """Simulated cards, decoded."""

    def __init__(self) -> None:
        with VINS.open(encoding="utf-8") as file:
            unknown = [row for row in csv.DictReader(file) if not learned_from(row["vin"])]
        rows = unknown[:CARDS]
        self.groups = np.array([row["group"] for row in rows])
        self.truth = np.stack([encode(row["vin"]) for row in rows])
        self.log_probs = written(self.truth, noise=0.115, seed=1)
        self.decoded: Decoded = Decoder().decode(self.log_probs)
        self.right = (self.decoded.best == self.truth).all(axis=1)
        self.raw_right = (self.log_probs.argmax(axis=2) == self.truth).all(axis=1)


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample()


@pytest.mark.parametrize("group", ["soviet", "cis", "import", "na"])
def test_mean_posterior_is_the_share_read_rightly(sample: Sample, group: str) -> None:
    members = sample.groups == group
    posterior = sample.decoded.posterior[members]
    error = sample.right[members].mean() - posterior.mean()
    deviation = np.sqrt((posterior * (1 - posterior)).sum()) / members.sum()
    assert abs(error) < 4 * deviation + 0.01


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 0.999), (0.999, 1.01)]
)
def test_posteriors_are_honest_in_bins(sample: Sample, low: float, high: float) -> None:
    posterior = sample.decoded.posterior
    members = (posterior >= low) & (posterior < high)
    expected = float((1 - posterior[members]).sum())
    wrong = int((~sample.right[members]).sum())
    assert members.sum() > 30
    assert abs(wrong - expected) < 4 * np.sqrt(expected + 1) + 0.01 * members.sum()


@pytest.mark.parametrize("group", ["soviet", "cis", "import", "na"])
def test_rules_help_every_group(sample: Sample, group: str) -> None:
    members = sample.groups == group
    assert sample.right[members].mean() > sample.raw_right[members].mean() + 0.03


def test_forcing_the_check_digit_is_worse_than_no_rules(sample: Sample) -> None:
    forced = Decoder(forced_check_digit()).decode(sample.log_probs)
    forced_right = (forced.best == sample.truth).all(axis=1)
    assert forced_right.mean() < sample.raw_right.mean() - 0.2
    assert sample.right.mean() > sample.raw_right.mean() + 0.05
