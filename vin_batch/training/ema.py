"""Averaged weights: an exponential moving average that survives many calls of ``fit``.

Keras' own ``use_ema`` puts the averages into the model when a ``fit`` ends, so that the next
one would train on from them. Here the averages are kept beside the model.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from vin_batch.batch.atomic import atomic_file
from vin_batch.errors import ModelError

DEFAULT_DECAY: Final = 0.9995
"""Per optimiser step: an average over about 2,000 steps."""
DEFAULT_EVERY: Final = 8
"""Steps between updates: an update copies all weights."""

_STEPS: Final = "steps"
_Weight = NDArray[Any]


def step_decay(step: int, decay: float) -> float:
    """Decay of the average at a step: ``min(decay, (1 + n) / (10 + n))``.

    The start from random weights is so forgotten soon (the warm-up of TensorFlow's
    ``tf.train.ExponentialMovingAverage`` with ``num_updates``).

    Args:
        step: Optimiser steps done before, ``n``.
        decay: The decay that is reached in the end, 0 to below 1.
    """
    return min(decay, (1 + step) / (10 + step))


class WeightAverage(keras.callbacks.Callback):  # type: ignore[misc, unused-ignore]
    """Average all weights of a model while it trains; moving statistics of norms included.

    Give the same object to every ``fit`` of the model. Updates happen every few steps with
    the product of the decays of the steps since the last one, so that the length of the
    average does not depend on how often it is updated. Weights that are not
    floating-point are copied.

    Args:
        model: The network, with the weights that the average starts from.
        decay: Decay per optimiser step, 0 to below 1.
        every: Steps between updates, 1 or more.

    Raises:
        ValueError: ``decay`` or ``every`` is out of range.
    """

    def __init__(
        self, model: keras.Model, decay: float = DEFAULT_DECAY, every: int = DEFAULT_EVERY
    ) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be from 0 to below 1, not {decay}")
        if every < 1:
            raise ValueError(f"every must be 1 or more, not {every}")
        self._network = model
        self._decay, self._every = decay, every
        self._averages = _copies(model)
        self._steps = self._averaged_steps = 0
        self._iterations = 0
        self._swapped = False

    @property
    def steps(self) -> int:
        """Optimiser steps seen so far, over all calls of ``fit``."""
        return self._steps

    def averages(self) -> list[_Weight]:
        """Copies of the averaged weights, in the order that ``model.set_weights`` takes."""
        return [average.copy() for average in self._averages]

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Refuse another model, and training while the averages are in its place.

        Raises:
            ValueError: Another model trains than the one that is averaged.
            RuntimeError: The averages are swapped in.
        """
        if self.model is not self._network:
            raise ValueError("these averages are of another model than the one that trains")
        if self._swapped:
            raise RuntimeError("leave swap() before training goes on")
        self._iterations = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count the steps and update when it is time.

        The optimiser's own count is right where ``batch`` is not: with ``steps_per_execution``
        Keras numbers the last execution of a pass as if it were a full one.
        """
        iterations = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        self._steps += iterations - self._iterations
        self._iterations = iterations
        if self._steps - self._averaged_steps >= self._every:
            self.update()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Take in the last steps of this ``fit``."""
        if self._steps > self._averaged_steps:
            self.update()

    def update(self) -> None:
        """Take the present weights into the averages, for all steps since the last update."""
        kept = 1.0
        for step in range(self._averaged_steps, self._steps):
            kept *= step_decay(step, self._decay)
        self._averaged_steps = self._steps
        for average, variable in zip(self._averages, self._network.weights, strict=True):
            _move(average, keras.ops.convert_to_numpy(variable.value), kept)

    @contextmanager
    def swap(self) -> Iterator[None]:
        """Put the averages into the model for the block, to evaluate or to save it.

        Afterwards the model has its own weights again, bit for bit, and trains on from them.

        Raises:
            RuntimeError: They are in the model already.
        """
        if self._swapped:
            raise RuntimeError("the averages are in the model already")
        own = _copies(self._network)
        self._swapped = True
        try:
            _assign(self._network, self._averages)
            yield
        finally:
            _assign(self._network, own)
            self._swapped = False

    def save(self, path: Path) -> None:
        """Write the averages and the count of steps, atomically, as ``.npz``.

        Raises:
            DiskError: The file cannot be written.
        """
        arrays = {_key(place): average for place, average in enumerate(self._averages)}
        with atomic_file(path) as file:
            np.savez(file, allow_pickle=False, **{_STEPS: np.int64(self._steps)}, **arrays)

    def restore(self, path: Path) -> None:
        """Go on from a saved state; on failure nothing is changed.

        Raises:
            ModelError: The file is missing, damaged, or of another network.
        """
        try:
            with np.load(path, allow_pickle=False) as state:
                steps = int(state[_STEPS])
                stored = set(state.files) - {_STEPS}
                found = [state[_key(place)] for place in range(len(stored))]
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ModelError(
                f"cannot read the averaged weights in {path}: {error}",
                "Remove the training's work folder to start anew.",
            ) from error
        if not _alike(found, self._averages):
            raise ModelError(
                f"the averaged weights in {path} are of another network",
                "Remove the training's work folder to start anew, or give the same --arch.",
            )
        self._averages = found
        self._steps = self._averaged_steps = steps


def _move(average: _Weight, weight: _Weight, kept: float) -> None:
    """Set ``average`` to ``kept * average + (1 - kept) * weight``, in place."""
    if np.issubdtype(average.dtype, np.floating):
        average *= average.dtype.type(kept)
        average += average.dtype.type(1 - kept) * weight
    else:
        average[...] = weight


def _key(place: int) -> str:
    return f"weight{place:04d}"


def _copies(model: keras.Model) -> list[_Weight]:
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in model.weights]


def _assign(model: keras.Model, weights: list[_Weight]) -> None:
    for variable, weight in zip(model.weights, weights, strict=True):
        variable.assign(weight)


def _alike(found: list[_Weight], own: list[_Weight]) -> bool:
    return len(found) == len(own) and all(
        a.shape == b.shape and a.dtype == b.dtype for a, b in zip(found, own, strict=True)
    )
