"""Training: fresh pools of drawn boxes, AdamW with a cosine schedule, averaged weights."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from vin_batch.training.architectures import architecture_named
from vin_batch.training.batches import Batches, BatchPlan, Teacher, soft_targets
from vin_batch.training.checkpoint import Checkpoint, identity_of, resume, save
from vin_batch.training.ema import WeightAverage
from vin_batch.training.pool import REJECT, GlyphBank, ImagePool, draw_pool

LOGGER = logging.getLogger(__name__)

WARMUP_SHARE: Final = 0.05
VALIDATION_IMAGES: Final = 8_000
PREDICTED_AT_ONCE: Final = 1_024
"""Images of a batch when a network is measured; it changes the speed alone."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything that decides the trained weights, but for the data.

    Attributes:
        arch: Name of the network, of ``architectures.ARCHITECTURES``.
        pools: How many pools are drawn, one after the other; the schedule's length.
        stop_after: Pools after which the training ends, the schedule unfinished, because a
            next stage goes on from there; 0 lets it finish.
        pool_images: Images drawn for each.
        passes: How often each pool is shown.
        batch: Images of a step.
        learning_rate: Peak of the cosine schedule.
        weight_decay: AdamW's decay.
        label_smoothing: Share of the target spread over all classes.
        mixup: Parameter of mixup's Beta distribution; 0 mixes nothing.
        jitter: Whether every showing of an image is moved about a little.
        ema_decay: Decay of the weights' moving average per step; 0 averages nothing.
        distillation: Share of a teacher's answer in the targets, where there is a teacher.
        reject_share: Share of images that show no character of the alphabet.
        stroke_writers: Writers drawn stroke by stroke.
        fonts: Whether handwriting fonts of the data folder are writers too.
        mixed_precision: Compute in bfloat16 (weights stay float32).
        seed: Seed of the pools, the initial weights and the order.
        workers: Drawing processes.
    """

    arch: str = "six_convolutions"
    pools: int = 6
    stop_after: int = 0
    pool_images: int = 400_000
    passes: int = 2
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.02
    mixup: float = 0.0
    jitter: bool = True
    ema_decay: float = 0.999
    distillation: float = 0.0
    reject_share: float = 0.03
    stroke_writers: int = 300
    fonts: bool = True
    mixed_precision: bool = True
    seed: int = 20261120
    workers: int = 2

    @property
    def last_pool(self) -> int:
        """Pools that are shown."""
        return min(self.pools, self.stop_after or self.pools)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole schedule (pools lose a few unreadable images)."""
        return self.pools * self.passes * (self.pool_images // self.batch)


def train_network(
    bank: GlyphBank,
    classes: int,
    plan: TrainingPlan,
    work: Path,
    start: Path | None = None,
    *,
    teacher: Teacher | None = None,
) -> tuple[keras.Model, list[dict[str, Any]]]:
    """Train, or go on from the last complete pool in ``work``.

    Args:
        bank: Training glyphs.
        classes: Number of outputs.
        plan: The plan; a checkpoint of another plan, bank or start is not resumed.
        work: Folder for the checkpoint and ``history.csv``.
        start: A ``.keras`` file with the weights to begin with; random ones when None.
        teacher: Whose answers are learned beside the labels, if the plan distils.

    Returns:
        The float32 network and the history.
    """
    work.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(plan.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if plan.mixed_precision else "float32")
    identity = identity_of(bank, plan, start)
    found = resume(identity, work, {"SoftCrossEntropy": SoftCrossEntropy})
    state = found or Checkpoint(_compile(_begin(classes, start, plan.arch), plan), [], None)
    average = _average(state, plan)
    validation = draw_pool(bank, VALIDATION_IMAGES, plan.seed - 1, plan.workers)
    for number in range(len(state.history), plan.last_pool):
        started = time.monotonic()
        pool = draw_pool(bank, plan.pool_images, plan.seed + number, plan.workers)
        LOGGER.info("pool %d: %d images, without a character: %s", number, len(pool.images),
                    dict(pool.issues))  # fmt: skip
        drawn = time.monotonic()
        seen = _show_pool(
            state.model, average, pool, replace(plan, seed=plan.seed + number), teacher
        )
        row = {
            "pool": number,
            **seen,
            "seconds": round(time.monotonic() - started, 1),
            "drawing_seconds": round(drawn - started, 1),
        }
        with _averaged(average):
            row["validation_accuracy"] = round(_accuracy(state.model, validation), 5)
        state.history.append(row)
        LOGGER.info("%s", row)
        save(Checkpoint(state.model, state.history, average), identity, work)
    with _averaged(average):
        return _finished(state.model, classes, plan.arch), state.history


def train_on_pool(
    pool: ImagePool, classes: int, plan: TrainingPlan
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Train on one pool that is drawn already, as comparisons do; nothing is saved.

    Args:
        pool: The pool.
        classes: Number of outputs.
        plan: The plan; its ``pools`` and ``pool_images`` must be those of this pool.

    Returns:
        The trained network: from ``uint8[n, 28, 28]`` to logits ``float32[n, classes]``.
    """
    keras.utils.set_random_seed(plan.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if plan.mixed_precision else "float32")
    state = Checkpoint(_compile(_begin(classes, None, plan.arch), plan), [], None)
    average = _average(state, plan)
    _show_pool(state.model, average, pool, plan, None)
    with _averaged(average):
        network = _finished(state.model, classes, plan.arch)

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers = network.predict(images[..., None], batch_size=PREDICTED_AT_ONCE, verbose=0)
        return np.asarray(answers, np.float32)

    return logits


def _show_pool(
    model: keras.Model,
    average: WeightAverage | None,
    pool: ImagePool,
    plan: TrainingPlan,
    teacher: Teacher | None,
) -> dict[str, Any]:
    """Train on a pool; what the history keeps of it."""
    taught = teacher(pool.images) if teacher and plan.distillation else None
    classes = model.output_shape[-1]
    targets = soft_targets(pool.labels, classes, plan.label_smoothing, taught, plan.distillation)
    order = BatchPlan(plan.batch, plan.mixup, plan.jitter, plan.seed)
    callbacks = [average] if average is not None else []
    shown = model.fit(
        Batches(pool.images, targets, order), epochs=plan.passes, verbose=0, callbacks=callbacks
    ).history
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    return {
        "images": len(pool.images) * plan.passes,
        "loss": round(float(shown["loss"][-1]), 5),
        "accuracy": round(float(shown["accuracy"][-1]), 5),
        # Seventeen digits in a row would look like a VIN to whoever keeps logs clean of them.
        "learning_rate": float(f"{rate:.6g}"),
    }


def _average(state: Checkpoint, plan: TrainingPlan) -> WeightAverage | None:
    if not plan.ema_decay:
        return None
    return state.average or WeightAverage(state.model, plan.ema_decay)


@contextmanager
def _averaged(average: WeightAverage | None) -> Iterator[None]:
    """The averaged weights in the place of the last ones, while this lasts."""
    if average is None:
        yield
        return
    with average.swap():
        yield


def _begin(classes: int, start: Path | None, arch: str) -> keras.Model:
    model = architecture_named(arch).build(classes)
    if start is not None:
        model.set_weights(keras.saving.load_model(start, compile=False).get_weights())
    return model


def _compile(model: keras.Model, plan: TrainingPlan) -> keras.Model:
    warmup = round(WARMUP_SHARE * plan.steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        plan.learning_rate / 50,
        decay_steps=max(1, plan.steps - warmup),
        alpha=0.01,
        warmup_target=plan.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=plan.weight_decay)
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    model.compile(optimizer, SoftCrossEntropy(), metrics=[accuracy])
    return model


class SoftCrossEntropy(keras.losses.Loss):  # type: ignore[misc, unused-ignore]
    """Cross entropy of target distributions and logits."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(name=kwargs.pop("name", "soft_cross_entropy"), **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of every row."""
        log_probs = keras.ops.log_softmax(keras.ops.cast(y_pred, "float32"))
        return -keras.ops.sum(keras.ops.cast(y_true, "float32") * log_probs, axis=-1)


def _accuracy(model: keras.Model, pool: ImagePool) -> float:
    """Share read right, of the images that show a character."""
    known = pool.labels != REJECT
    logits = model.predict(pool.images[known][..., None], batch_size=PREDICTED_AT_ONCE, verbose=0)
    return float((logits.argmax(axis=1) == pool.labels[known]).mean())


def _finished(model: keras.Model, classes: int, arch: str) -> keras.Model:
    """A float32 copy without optimiser: what production loads."""
    keras.mixed_precision.set_global_policy("float32")
    plain = architecture_named(arch).build(classes)
    plain.set_weights(model.get_weights())
    return plain
