"""Training: fresh pools of drawn boxes, AdamW with a cosine schedule."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from vin_batch.batch.atomic import write_atomic
from vin_batch.classifier.model_card import sha256_of
from vin_batch.training.network import build_network
from vin_batch.training.pool import GlyphBank, draw_pool

LOGGER = logging.getLogger(__name__)

WARMUP_SHARE: Final = 0.05
CHECKPOINT: Final = "checkpoint.json"
HISTORY_FIELDS: Final = ("pool", "images", "loss", "accuracy", "validation_accuracy", "seconds")


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything that decides the trained weights.

    Attributes:
        pools: How many pools are drawn, one after the other.
        pool_images: Images drawn for each.
        passes: How often each pool is shown.
        batch: Images of a step.
        learning_rate: Peak of the cosine schedule.
        weight_decay: AdamW's decay.
        label_smoothing: Share of the target spread over all classes.
        mixed_precision: Compute in bfloat16 (weights stay float32).
        seed: Seed of the pools, the initial weights and the order.
        workers: Drawing processes.
    """

    pools: int = 6
    pool_images: int = 400_000
    passes: int = 2
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.02
    mixed_precision: bool = True
    seed: int = 20261120
    workers: int = 2

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training (pools lose a few unreadable images)."""
        return self.pools * self.passes * (self.pool_images // self.batch)


def train_network(
    bank: GlyphBank, classes: int, plan: TrainingPlan, work: Path, start: Path | None = None
) -> tuple[keras.Model, list[dict[str, Any]]]:
    """Train, or go on from the last complete pool in ``work``.

    Args:
        bank: Training glyphs.
        classes: Number of outputs.
        plan: The plan; a checkpoint of another plan, bank or start is not resumed.
        work: Folder for the checkpoint and ``history.csv``.
        start: A ``.keras`` file with the weights to begin with; random ones when None.

    Returns:
        The float32 network and the history.
    """
    work.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(plan.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if plan.mixed_precision else "float32")
    identity = _identity(bank, plan, start)
    history, model = _resume(identity, work) or ([], _compile(_begin(classes, start), plan))
    validation = draw_pool(bank, 8_000, plan.seed - 1, plan.workers)
    for number in range(len(history), plan.pools):
        started = time.monotonic()
        pool = draw_pool(bank, plan.pool_images, plan.seed + number, plan.workers)
        LOGGER.info("pool %d: %d images, without a character: %s", number, len(pool.images),
                    dict(pool.issues))  # fmt: skip
        batches = _Batches(pool.images, pool.labels, plan.batch, plan.seed + number)
        shown = model.fit(batches, epochs=plan.passes, verbose=0).history
        accuracy = _accuracy(model, validation.images, validation.labels)
        row = {
            "pool": number,
            "images": len(pool.images) * plan.passes,
            "loss": round(float(shown["loss"][-1]), 5),
            "accuracy": round(float(shown["accuracy"][-1]), 5),
            "validation_accuracy": round(accuracy, 5),
            "seconds": round(time.monotonic() - started, 1),
        }
        history.append(row)
        LOGGER.info("%s", row)
        _checkpoint(model, history, identity, work)
    return _finished(model, classes), history


class _Batches(keras.utils.PyDataset):  # type: ignore[misc, unused-ignore]
    """Shuffled full batches of a pool, as ``uint8``."""

    def __init__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int16], batch: int, seed: int
    ) -> None:
        super().__init__()
        self._images, self._labels, self._batch = images, labels, batch
        self._rng = np.random.default_rng(seed)
        self._order = self._rng.permutation(len(images))

    def __len__(self) -> int:
        return len(self._images) // self._batch

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        chosen = self._order[index * self._batch : (index + 1) * self._batch]
        return self._images[chosen][..., None], self._labels[chosen]

    def on_epoch_end(self) -> None:
        self._order = self._rng.permutation(len(self._images))


def _identity(bank: GlyphBank, plan: TrainingPlan, start: Path | None) -> dict[str, Any]:
    """What a checkpoint must have been made from to be gone on with."""
    glyphs = hashlib.sha256(bank.labels.tobytes() + bank.weights.tobytes()).hexdigest()
    return {
        "plan": asdict(plan),
        "glyphs": glyphs,
        "start": sha256_of(start) if start is not None else None,
    }


def _begin(classes: int, start: Path | None) -> keras.Model:
    model = build_network(classes)
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
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=plan.weight_decay,
    )
    model.compile(optimizer, _SmoothedCrossEntropy(plan.label_smoothing), metrics=["accuracy"])
    return model


class _SmoothedCrossEntropy(keras.losses.Loss):  # type: ignore[misc, unused-ignore]
    """Cross entropy of integer labels with label smoothing (Szegedy et al., 2016)."""

    def __init__(self, smoothing: float) -> None:
        super().__init__(name="smoothed_cross_entropy")
        self._smoothing = smoothing

    def get_config(self) -> dict[str, Any]:
        return {"smoothing": self._smoothing}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        log_probs = keras.ops.log_softmax(keras.ops.cast(y_pred, "float32"))
        labels = keras.ops.reshape(keras.ops.cast(y_true, "int32"), (-1,))
        target = keras.ops.one_hot(labels, keras.ops.shape(y_pred)[-1])
        chosen = keras.ops.sum(target * log_probs, axis=-1)
        spread = keras.ops.mean(log_probs, axis=-1)
        return -((1 - self._smoothing) * chosen + self._smoothing * spread)


def _accuracy(model: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.int16]) -> float:
    logits = model.predict(images[..., None], batch_size=1_024, verbose=0)
    return float((logits.argmax(axis=1) == labels).mean())


def _finished(model: keras.Model, classes: int) -> keras.Model:
    """A float32 copy without optimiser: what production loads."""
    keras.mixed_precision.set_global_policy("float32")
    plain = build_network(classes)
    plain.set_weights(model.get_weights())
    return plain


def _checkpoint(
    model: keras.Model, history: list[dict[str, Any]], identity: dict[str, Any], work: Path
) -> None:
    """Save the state after a pool; the JSON, written last, says that it is complete."""
    unfinished = work / "unfinished.keras"
    model.save(unfinished)
    unfinished.replace(work / f"checkpoint-{len(history)}.keras")
    with (work / "history.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HISTORY_FIELDS)
        writer.writeheader()
        writer.writerows(history)
    state = {**identity, "history": history}
    write_atomic(work / CHECKPOINT, json.dumps(state, indent=1).encode())
    (work / f"checkpoint-{len(history) - 1}.keras").unlink(missing_ok=True)


def _resume(
    identity: dict[str, Any], work: Path
) -> tuple[list[dict[str, Any]], keras.Model] | None:
    """The state after the last complete pool, or None where there is none of this plan."""
    path = work / CHECKPOINT
    if not path.is_file():
        return None
    state = json.loads(path.read_text(encoding="utf-8"))
    if any(state.get(key) != value for key, value in identity.items()):
        LOGGER.warning("the checkpoint in %s is of another training: starting anew", work)
        return None
    history = state["history"]
    model = keras.saving.load_model(
        work / f"checkpoint-{len(history)}.keras",
        custom_objects={"_SmoothedCrossEntropy": _SmoothedCrossEntropy},
    )
    LOGGER.info("resuming after pool %d", len(history) - 1)
    return history, model
