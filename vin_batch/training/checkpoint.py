"""Checkpoints of a training: the state after the last complete pool."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import keras

from vin_batch.batch.atomic import write_atomic
from vin_batch.classifier.model_card import sha256_of
from vin_batch.training.ema import WeightAverage
from vin_batch.training.history import write_history
from vin_batch.training.pool import GlyphBank

if TYPE_CHECKING:
    from vin_batch.training.fit import TrainingPlan

LOGGER = logging.getLogger(__name__)

CHECKPOINT: Final = "checkpoint.json"
HISTORY: Final = "history.csv"


@dataclass(slots=True)
class Checkpoint:
    """A training between two pools.

    Attributes:
        model: The compiled network with its optimiser's state.
        history: One row per complete pool.
        average: Moving average of the weights, or None where none is kept.
    """

    model: keras.Model
    history: list[dict[str, Any]]
    average: WeightAverage | None


def identity_of(bank: GlyphBank, plan: TrainingPlan, start: Path | None) -> dict[str, Any]:
    """What a checkpoint must have been made from to be gone on with."""
    glyphs = hashlib.sha256(bank.labels.tobytes() + bank.weights.tobytes()).hexdigest()
    return {
        "plan": asdict(plan),
        "glyphs": glyphs,
        "start": sha256_of(start) if start is not None else None,
    }


def save(state: Checkpoint, identity: Mapping[str, Any], work: Path) -> None:
    """Save the state after a pool; the JSON, written last, says that it is complete."""
    done = len(state.history)
    unfinished = work / "unfinished.keras"
    state.model.save(unfinished)
    unfinished.replace(_weights(work, done))
    if state.average is not None:
        state.average.save(_averages(work, done))
    write_history(state.history, work / HISTORY)
    text = json.dumps({**identity, "history": state.history}, indent=1)
    write_atomic(work / CHECKPOINT, text.encode())
    for path in (_weights(work, done - 1), _averages(work, done - 1)):
        path.unlink(missing_ok=True)


def resume(
    identity: Mapping[str, Any], work: Path, custom_objects: Mapping[str, Any]
) -> Checkpoint | None:
    """The state after the last complete pool, or None where there is none of this training.

    Args:
        identity: As ``identity_of`` gives it.
        work: Folder of the checkpoint.
        custom_objects: What the saved network's loss needs to be loaded.

    Returns:
        The state, or None.
    """
    path = work / CHECKPOINT
    if not path.is_file():
        return None
    state = json.loads(path.read_text(encoding="utf-8"))
    if any(state.get(key) != value for key, value in identity.items()):
        LOGGER.warning("the checkpoint in %s is of another training: starting anew", work)
        return None
    history = state["history"]
    done = len(history)
    model = keras.saving.load_model(_weights(work, done), custom_objects=dict(custom_objects))
    decay = identity["plan"]["ema_decay"]
    average = WeightAverage(model, decay) if decay else None
    if average is not None:
        average.restore(_averages(work, done))
    LOGGER.info("resuming after pool %d", done - 1)
    return Checkpoint(model, history, average)


def _weights(work: Path, done: int) -> Path:
    return work / f"checkpoint-{done}.keras"


def _averages(work: Path, done: int) -> Path:
    return work / f"checkpoint-{done}-average.npz"
