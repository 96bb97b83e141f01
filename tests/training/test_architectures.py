"""Every network takes bytes, gives logits, can be saved, and costs what it says."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vin_batch.errors import UsageError

if TYPE_CHECKING:
    import keras

    from vin_batch.training.architectures import Operations

CLASSES = 33
MODEL = Path(__file__).parents[2] / "models" / "default" / "network.keras"

# By hand, layer by layer: output positions x kernel x channels in x channels out. The
# convolutions have no bias where a normalisation follows, which stores four numbers a channel.
COSTS = {
    "six_convolutions": (
        621_409,
        784 * 9 * 32 * (1 + 32) + 196 * 9 * 64 * (32 + 64) + 49 * 9 * 128 * (64 + 128)
        + 4 * 4 * 128 * 160 + 160 * 33,
    ),
    "residual_small": (
        375_033,
        784 * 9 * 24
        + 196 * (9 * 24 * 48 + 3 * 9 * 48 * 48 + 24 * 48)
        + 49 * (9 * 48 * 96 + 3 * 9 * 96 * 96 + 48 * 96)
        + 96 * 33,
    ),
    "depthwise_small": (
        124_161,
        784 * 9 * 48
        + 196 * (9 * 48 + 48 * 96 + 9 * 96 + 96 * 96)
        + 49 * (9 * 96 + 96 * 192 + 2 * (9 * 192 + 192 * 192))
        + 192 * 33,
    ),
    "residual_teacher": (
        2_712_673,
        784 * 9 * 64 * (1 + 64 + 64)
        + 196 * (9 * 64 * 128 + 3 * 9 * 128 * 128 + 64 * 128)
        + 49 * (9 * 128 * 256 + 3 * 9 * 256 * 256 + 128 * 256)
        + 256 * 33,
    ),
    "three_conv_dense": (
        9 * 32 + 32 + 9 * 32 * 64 + 64 + 9 * 64 * 128 + 128
        + 1152 * 64 + 64 + 64 * 128 + 128 + 128 * 33 + 33,
        784 * 9 * 32 + 196 * 9 * 32 * 64 + 49 * 9 * 64 * 128 + 1152 * 64 + 64 * 128 + 128 * 33,
    ),
    "two_conv_dense": (
        9 * 32 + 32 + 9 * 32 * 64 + 64 + 3136 * 256 + 256 + 256 * 128 + 128 + 128 * 33 + 33,
        784 * 9 * 32 + 196 * 9 * 32 * 64 + 3136 * 256 + 256 * 128 + 128 * 33,
    ),
    "fully_connected": (
        784 * 512 + 512 + 512 * 256 + 256 + 256 * 33 + 33,
        784 * 512 + 512 * 256 + 256 * 33,
    ),
    "conv_dropout": (
        9 * 32 + 32 + 9 * 32 * 32 + 32 + 9 * 32 * 64 + 64 + 9 * 64 * 64 + 64
        + 3136 * 128 + 128 + 128 * 33 + 33,
        784 * 9 * 32 * (1 + 32) + 196 * 9 * 64 * (32 + 64) + 3136 * 128 + 128 * 33,
    ),
}  # fmt: skip


@functools.cache
def built(name: str) -> keras.Model:
    from vin_batch.training.architectures import ARCHITECTURES

    return ARCHITECTURES[name].build(CLASSES)


def images(count: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)


def logits_of(model: keras.Model, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> (
    np.ndarray[tuple[int, ...], np.dtype[np.float32]]
):  # fmt: skip
    return np.asarray(model(pixels, training=False))


@pytest.fixture
def bfloat16() -> Iterator[None]:
    import keras

    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy(before)


def test_the_costs_name_every_architecture() -> None:
    from vin_batch.training.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE

    assert set(ARCHITECTURES) == set(COSTS)
    assert DEFAULT_ARCHITECTURE in ARCHITECTURES


@pytest.mark.parametrize("name", COSTS)
def test_bytes_in_and_logits_out(name: str) -> None:
    from vin_batch.training.architectures import ARCHITECTURES

    model = built(name)
    assert ARCHITECTURES[name].name == model.name == name
    assert model.input_shape == (None, 28, 28, 1)
    assert model.inputs[0].dtype == "uint8"
    pixels = images(5)
    logits = logits_of(model, pixels)
    assert logits.shape == (5, CLASSES)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert not np.allclose(logits.sum(axis=1), 1, atol=1e-3), "logits, not probabilities"
    assert len(np.unique(logits, axis=0)) == 5
    assert np.array_equal(logits_of(model, pixels), logits), "no dropout outside training"
    assert np.allclose(logits_of(model, pixels[2:3]), logits[2:3], atol=1e-5)
    assert np.abs(logits).max() < 50, "raw bytes are scaled in the graph"


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_those_computed_by_hand(name: str) -> None:
    from vin_batch.training.architectures import count_operations

    cost = count_operations(built(name))
    assert (cost.parameters, cost.multiply_adds) == COSTS[name]


@pytest.mark.parametrize("name", COSTS)
def test_a_saved_network_answers_the_same(name: str, tmp_path: Path) -> None:
    import keras

    path = tmp_path / f"{name}.keras"
    built(name).save(path)
    copy = keras.saving.load_model(path, compile=False)
    assert np.array_equal(logits_of(copy, images(3)), logits_of(built(name), images(3)))


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("name", COSTS)
def test_logits_stay_float32_in_mixed_precision(name: str) -> None:
    from vin_batch.training.architectures import ARCHITECTURES

    model = ARCHITECTURES[name].build(CLASSES)
    assert model.layers[-2].compute_dtype == "bfloat16"
    assert logits_of(model, images(2)).dtype == np.float32
    assert all(weight.dtype == "float32" for weight in model.weights)


@pytest.mark.parametrize("name", COSTS)
def test_every_weight_learns(name: str) -> None:
    """A branch that starts at zero learns from the second step on."""
    import keras

    from vin_batch.training.architectures import ARCHITECTURES

    keras.utils.set_random_seed(5)
    model = ARCHITECTURES[name].build(2)
    labels = np.arange(8) % 2
    pixels = images(8) // 6
    pixels[labels == 0, 4:24, 12:16] += 200
    pixels[labels == 1, 9:19, 9:19] += 200
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, run_eagerly=True)
    before = model.get_weights()
    losses = [float(model.train_on_batch(pixels, labels)) for _ in range(5)]
    assert losses[-1] < losses[0]
    for weight, old, new in zip(model.weights, before, model.get_weights(), strict=True):
        assert np.isfinite(new).all(), weight.path
        assert not np.array_equal(old, new), weight.path


def test_the_teacher_is_the_largest_and_has_two_to_three_million_parameters() -> None:
    assert 2_000_000 <= COSTS["residual_teacher"][0] <= 3_000_000
    assert max(COSTS.values()) == COSTS["residual_teacher"]


@pytest.mark.skipif(not MODEL.is_file(), reason="the default model is not here")
def test_the_shipped_weights_fit_the_six_convolutions() -> None:
    import keras

    from vin_batch.training.architectures import ARCHITECTURES

    shipped = keras.saving.load_model(MODEL, compile=False)
    if shipped.name != "six_convolutions":
        pytest.skip(f"the default model is a {shipped.name}")
    model = ARCHITECTURES["six_convolutions"].build(shipped.output_shape[-1])
    assert [layer.name for layer in model.layers if layer.weights] == [
        layer.name for layer in shipped.layers if layer.weights
    ]
    model.set_weights(shipped.get_weights())
    assert np.array_equal(logits_of(model, images(4)), logits_of(shipped, images(4)))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    from vin_batch.training.architectures import architecture_named

    assert architecture_named("conv_dropout").name == "conv_dropout"
    with pytest.raises(UsageError, match="six_deconvolutions") as caught:
        architecture_named("six_deconvolutions")
    assert "six_convolutions, residual_small" in caught.value.advice


def test_the_table_shows_every_architecture_in_columns() -> None:
    from vin_batch.training.architectures import ARCHITECTURES, architecture_table

    heading, *lines = architecture_table(CLASSES).splitlines()
    assert [line.split()[0] for line in lines] == list(ARCHITECTURES)
    for column in ("from", "description"):
        assert heading.count(column) == 1
    for line, architecture in zip(lines, ARCHITECTURES.values(), strict=True):
        parameters, multiply_adds = COSTS[architecture.name]
        assert f"{parameters:,}" in line
        assert f"{multiply_adds / 1e6:.2f} M" in line
        assert line.index(architecture.provenance) == heading.index("from")
        assert line.index(architecture.description) == heading.index("description")


def cost_of(inputs: keras.KerasTensor, outputs: keras.KerasTensor) -> Operations:
    import keras

    from vin_batch.training.architectures import count_operations

    return count_operations(keras.Model(inputs, outputs))


def test_separable_grouped_and_batched_layers_cost_what_they_compute() -> None:
    import keras
    from keras import layers

    inputs = keras.Input((10, 8, 6))
    separable = layers.SeparableConv2D(5, 3, strides=2, padding="same", depth_multiplier=2)
    assert cost_of(inputs, separable(inputs)).multiply_adds == 5 * 4 * (9 * 6 * 2 + 12 * 5)
    grouped = layers.Conv2D(4, (3, 1), groups=2)
    assert cost_of(inputs, grouped(inputs)).multiply_adds == 8 * 8 * (3 * 3 * 4)
    depthwise = layers.DepthwiseConv2D(5, depth_multiplier=3)
    assert cost_of(inputs, depthwise(inputs)).multiply_adds == 6 * 4 * (25 * 6 * 3)
    dense = layers.Dense(7)
    assert cost_of(inputs, dense(inputs)).multiply_adds == 10 * 8 * 6 * 7
    free = layers.BatchNormalization()(layers.MaxPooling2D()(inputs))
    cost = cost_of(inputs, layers.ReLU()(free))
    assert (cost.parameters, cost.multiply_adds) == (4 * 6, 0)


def test_a_shared_layer_counts_for_each_call_and_its_weights_once() -> None:
    import keras
    from keras import layers

    inputs = keras.Input((12, 12, 2))
    first = layers.Conv2D(2, 3, padding="same")
    x = layers.MaxPooling2D()(first(inputs))
    cost = cost_of(inputs, first(x))
    assert cost.parameters == 9 * 2 * 2 + 2
    assert cost.multiply_adds == (144 + 36) * 9 * 2 * 2


def test_a_model_within_a_model_counts_for_each_call() -> None:
    import keras
    from keras import layers

    inner_inputs = keras.Input((4,))
    inner = keras.Model(inner_inputs, layers.Dense(3)(inner_inputs))
    inputs = keras.Input((4,))
    total = layers.Add()([inner(inputs), inner(layers.ReLU()(inputs))])
    cost = cost_of(inputs, total)
    assert (cost.parameters, cost.multiply_adds) == (15, 2 * 12)


def test_what_cannot_be_counted_is_refused() -> None:
    import keras
    from keras import layers

    from vin_batch.training.architectures import count_operations

    with pytest.raises(ValueError, match="not a functional model"):
        count_operations(keras.Sequential([keras.Input((4,)), layers.Dense(3)]))
    inputs = keras.Input((None, 8, 1))
    with pytest.raises(ValueError, match="unknown size"):
        cost_of(inputs, layers.Conv2D(2, 3)(inputs))


@settings(max_examples=20)
@given(
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    channels=st.integers(1, 3),
    filters=st.integers(1, 4),
    side=st.integers(1, 3),
    stride=st.integers(1, 3),
)
def test_a_convolution_of_ones_adds_up_to_its_cost(
    height: int, width: int, channels: int, filters: int, side: int, stride: int
) -> None:
    """Each product is 1, so the sum of all outputs is the number of products."""
    import keras

    inputs = keras.Input((height, width, channels))
    layer = keras.layers.Conv2D(filters, side, strides=stride, kernel_initializer="ones")
    outputs = layer(inputs)
    products = float(np.asarray(layer(np.ones((1, height, width, channels), np.float32))).sum())
    assert cost_of(inputs, outputs).multiply_adds == products
