"""Averaged weights follow the formula, survive calls of fit, and leave training alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vin_batch.errors import ModelError

if TYPE_CHECKING:
    import keras

    from vin_batch.training.ema import WeightAverage

Weights = list[NDArray[Any]]
BATCH = 4
STEPS = 6
"""Of one pass over the data."""


def make_model(units: int = 3) -> keras.Model:
    import keras
    from keras import layers

    keras.utils.set_random_seed(11)
    inputs = keras.Input((5,))
    x = layers.BatchNormalization(momentum=0.8)(layers.Dense(units)(inputs))
    x = layers.Dropout(0.25, seed=3)(x)
    model = keras.Model(inputs, layers.Dense(2)(x))
    model.compile(keras.optimizers.SGD(0.2), "mse", run_eagerly=True)
    return model


def data() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(2)
    x = rng.normal(1, 2, (BATCH * STEPS, 5)).astype(np.float32)
    return x, x[:, :2] * 0.5 + 1


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback, epochs: int = 1) -> None:
    model.fit(
        *data(), batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0,
        callbacks=list(callbacks),
    )  # fmt: skip


def weights_of(model: keras.Model) -> Weights:
    return [np.array(weight) for weight in model.get_weights()]


def same(one: Weights, two: Weights) -> bool:
    return len(one) == len(two) and all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def close(one: Weights, two: Weights) -> bool:
    return len(one) == len(two) and all(
        np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(one, two, strict=True)
    )


def average_of(model: keras.Model, decay: float = 0.7, every: int = 1) -> WeightAverage:
    from vin_batch.training.ema import WeightAverage

    return WeightAverage(model, decay, every)


def recorded(model: keras.Model, seen: list[Weights]) -> keras.callbacks.Callback:
    import keras

    return keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(weights_of(model))
    )


@pytest.mark.parametrize("every", [1, 4, 100])
def test_averages_follow_the_formula(every: int) -> None:
    """Over two fits; computed anew from the weights after every step."""
    model, seen = make_model(), list[Weights]()
    average = average_of(model, every=every)
    expected = weights_of(model)
    fit(model, recorded(model, seen), average, epochs=2)
    fit(model, recorded(model, seen), average)
    assert average.steps == len(seen) == 3 * STEPS
    ends_of_fits = (2 * STEPS, 3 * STEPS)
    since = 0
    for done, weights in enumerate(seen, start=1):
        if done - since >= every or done in ends_of_fits:
            kept = np.prod([min(0.7, (1 + n) / (10 + n)) for n in range(since, done)])
            expected = [kept * a + (1 - kept) * w for a, w in zip(expected, weights, strict=True)]
            since = done
    assert close(average.averages(), expected)
    assert not close(average.averages(), weights_of(model))


def test_averaging_leaves_the_training_alone() -> None:
    model, plain = make_model(), make_model()
    fit(plain, epochs=2)
    average = average_of(model)
    fit(model, average)
    with average.swap():
        pass
    fit(model, average)
    fit(plain)
    fit(model, average)
    assert same(weights_of(model), weights_of(plain))


def test_passes_in_one_fit_or_in_several_are_the_same() -> None:
    one, several = make_model(), make_model()
    together, apart = average_of(one, every=3), average_of(several, every=3)
    fit(one, together, epochs=3)
    for _ in range(3):
        fit(several, apart)
    assert together.steps == apart.steps == 3 * STEPS
    assert same(together.averages(), apart.averages())


def test_steps_are_counted_when_several_run_at_once() -> None:
    import keras

    model = make_model()
    model.compile(keras.optimizers.SGD(0.2), "mse", steps_per_execution=4)
    average = average_of(model, every=4)
    fit(model, average, epochs=2)
    assert average.steps == 2 * STEPS == int(model.optimizer.iterations.numpy())


def test_swap_shows_the_averages_and_gives_the_weights_back() -> None:
    model = make_model()
    average = average_of(model)
    fit(model, average, epochs=2)
    own, averages = weights_of(model), average.averages()
    moving = [i for i, weight in enumerate(model.weights) if weight.name.startswith("moving_")]
    assert len(moving) == 2
    assert all(not np.array_equal(own[i], averages[i]) for i in moving), "norms are averaged"
    x = data()[0]
    before = np.asarray(model(x, training=False))
    with average.swap():
        assert same(weights_of(model), averages)
        within = model.predict(x, verbose=0)
    twin = make_model()
    twin.set_weights(averages)
    assert np.allclose(within, np.asarray(twin(x, training=False)), atol=1e-5)
    assert not np.allclose(within, before, atol=1e-3)
    assert same(weights_of(model), own)
    assert same(average.averages(), averages)


def test_swap_gives_the_weights_back_after_an_error() -> None:
    model = make_model()
    average = average_of(model)
    fit(model, average)
    own = weights_of(model)
    with pytest.raises(ZeroDivisionError), average.swap():
        _ = 1 / 0
    assert same(weights_of(model), own)
    with average.swap():
        assert not same(weights_of(model), own)


def test_no_second_swap_and_no_training_within_one() -> None:
    model = make_model()
    average = average_of(model)
    fit(model, average)
    own = weights_of(model)
    with average.swap():
        with pytest.raises(RuntimeError, match="already"), average.swap():
            pass
        with pytest.raises(RuntimeError, match="leave swap"):
            fit(model, average)
        assert same(weights_of(model), average.averages())
    assert same(weights_of(model), own)


def test_training_another_model_is_refused() -> None:
    average = average_of(make_model())
    with pytest.raises(ValueError, match="another model"):
        fit(make_model(), average)


def test_a_resumed_average_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    model = make_model()
    average = average_of(model, every=4)
    fit(model, average)
    path = tmp_path / "average.npz"
    average.save(path)
    resumed_model = make_model()
    resumed = average_of(resumed_model, every=4)
    resumed_model.set_weights(model.get_weights())
    resumed.restore(path)
    assert resumed.steps == STEPS
    assert same(resumed.averages(), average.averages())
    model.layers[3].seed_generator.state.assign(resumed_model.layers[3].seed_generator.state)
    fit(model, average)
    fit(resumed_model, resumed)
    assert same(weights_of(resumed_model), weights_of(model))
    assert same(resumed.averages(), average.averages())
    assert [entry.name for entry in tmp_path.iterdir()] == ["average.npz"]


def test_a_saved_average_needs_no_pickle(tmp_path: Path) -> None:
    average = average_of(make_model())
    average.save(tmp_path / "average.npz")
    with np.load(tmp_path / "average.npz", allow_pickle=False) as state:
        assert int(state["steps"]) == 0
        assert same([state[f"weight{i:04d}"] for i in range(8)], average.averages())
        assert len(state.files) == 9


def broken_files(folder: Path, average: WeightAverage) -> dict[str, Path]:
    whole = folder / "whole.npz"
    average.save(whole)
    arrays = dict(np.load(whole, allow_pickle=False))
    files = {name: folder / f"{name}.npz" for name in ("missing", "torn", "empty", "text")}
    files["torn"].write_bytes(whole.read_bytes()[:-200])
    files["empty"].write_bytes(b"")
    files["text"].write_text("no archive")
    for name, changed in {
        "stepless": {k: v for k, v in arrays.items() if k != "steps"},
        "short": {k: v for k, v in arrays.items() if k != "weight0007"},
        "reshaped": {**arrays, "weight0000": arrays["weight0000"].T},
        "doubled": {**arrays, "weight0000": arrays["weight0000"].astype(np.float64)},
        "objects": {**arrays, "weight0000": np.array([{}, None], object)},
        "gap": {k.replace("0003", "0030"): v for k, v in arrays.items()},
    }.items():
        files[name] = folder / f"{name}.npz"
        np.savez(files[name], **changed)
    return files


def test_what_cannot_be_restored_changes_nothing(tmp_path: Path) -> None:
    model = make_model()
    average = average_of(model)
    files = broken_files(tmp_path, average)
    fit(model, average)
    before = average.averages()
    for name, path in files.items():
        with pytest.raises(ModelError, match=path.name) as caught:
            average.restore(path)
        assert "work folder" in caught.value.advice, name
    assert same(average.averages(), before)
    assert average.steps == STEPS
    wider = average_of(make_model(units=4))
    with pytest.raises(ModelError, match="another network"):
        wider.restore(tmp_path / "whole.npz")


def test_counters_are_copied_not_averaged() -> None:
    import keras

    class Counted(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: tuple[int | None, ...]) -> None:
            self.calls = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False, name="calls"
            )

        def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
            return x

    inputs = keras.Input((2,))
    layer = Counted()
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    average = average_of(model, decay=0.5, every=1)
    layer.calls.assign(7)
    average.update()
    assert average.averages()[0] == 7
    assert average.averages()[0].dtype == np.int32


@pytest.mark.parametrize(
    ("decay", "every", "match"), [(1.0, 8, "decay"), (-0.1, 8, "decay"), (0.9, 0, "every")]
)
def test_numbers_out_of_range_are_refused(decay: float, every: int, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        average_of(make_model(), decay, every)


@given(step=st.integers(0, 10**7), decay=st.floats(0, 0.999999))
def test_the_decay_warms_up_to_its_value(step: int, decay: float) -> None:
    from vin_batch.training.ema import step_decay

    assert 0 <= step_decay(step, decay) <= step_decay(step + 1, decay) <= decay
    assert step_decay(0, 0.9) == pytest.approx(0.1)
    assert step_decay(10**9, decay) == decay
