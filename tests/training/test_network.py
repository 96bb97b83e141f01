"""The network, its loss and its batches are what the plan says."""

from __future__ import annotations

import itertools
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

from vin_batch.vin.alphabet import ALPHABET

if TYPE_CHECKING:
    import keras

    from vin_batch.training.fit import TrainingPlan


@pytest.fixture(scope="module")
def fit() -> ModuleType:
    from vin_batch.training import fit

    return fit


@pytest.fixture(scope="module")
def network() -> keras.Model:
    from vin_batch.training.network import build_network

    return build_network(len(ALPHABET))


def test_the_network_takes_bytes_and_gives_logits(network: keras.Model) -> None:
    assert network.input_shape == (None, 28, 28, 1)
    assert network.inputs[0].dtype == "uint8", "only bytes cross the bus"
    assert network.output_shape == (None, 33)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), dtype=np.uint8)
    logits = np.asarray(network(pixels, training=False))
    assert logits.dtype == np.float32
    assert not np.allclose(logits.sum(axis=1), 1), "logits, not probabilities"
    assert not np.array_equal(logits[0], logits[1])
    again = np.asarray(network(pixels, training=False))
    assert np.array_equal(logits, again), "no dropout outside training"


def test_the_network_is_small_enough_for_two_cores(network: keras.Model) -> None:
    assert 300_000 < network.count_params() < 1_000_000


def test_the_loss_is_the_cross_entropy_of_distributions(fit: ModuleType) -> None:
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(0, 3, (20, 33)), rng.dirichlet(np.ones(33), 20)
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    expected = -(targets * log_probs).sum(axis=1).mean()
    loss = fit.SoftCrossEntropy()
    assert float(loss(targets, logits)) == pytest.approx(expected, rel=1e-4)
    copy = fit.SoftCrossEntropy(**loss.get_config())
    assert float(copy(targets, logits)) == pytest.approx(expected, rel=1e-4)


def test_the_schedule_warms_up_peaks_and_ends_near_zero(
    fit: ModuleType, network: keras.Model
) -> None:
    plan: TrainingPlan = fit.TrainingPlan(pools=2, pool_images=25_600, passes=2, batch=256)
    assert plan.steps == 400
    rate = fit._compile(network, plan).optimizer._learning_rate
    rates = [float(rate(step)) for step in range(plan.steps + 1)]
    assert rates[0] < 0.05 * plan.learning_rate
    assert max(rates) == pytest.approx(plan.learning_rate, rel=0.01)
    assert 15 <= int(np.argmax(rates)) <= 25
    assert rates[-1] < 0.02 * plan.learning_rate
    assert all(a >= b for a, b in itertools.pairwise(rates[25:]))
