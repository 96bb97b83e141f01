"""Writes a model directory: weights, ``model.json``, and the model card for people."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vin_batch.classifier.model_card import CARD_NAME, CARD_SCHEMA, sha256_of
from vin_batch.classifier.tail import Tail
from vin_batch.preprocess import PREPROCESSING
from vin_batch.records import DecisionPolicy

WEIGHTS_NAME: Final = "network.keras"
UNFITTED_POLICY: Final = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=1.0)
"""Accepts nothing: what a model gets until its calibration is fitted."""


def publish_weights(weights: Path, out: Path, classes: str, training: dict[str, Any]) -> None:
    """Start a model directory with uncalibrated weights.

    Args:
        weights: The ``.keras`` file.
        out: The model directory; an existing model there is replaced.
        classes: Character of every output.
        training: How the weights were made: plan, history, packs, counts.
    """
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, out / WEIGHTS_NAME)
    card = {
        "schema": CARD_SCHEMA,
        "name": out.name,
        "weights": WEIGHTS_NAME,
        "sha256": sha256_of(out / WEIGHTS_NAME),
        "classes": classes,
        "preprocessing": PREPROCESSING,
        "temperature": 1.0,
        "class_bias": [0.0] * len(classes),
        "tail": asdict(Tail()),
        "policy": asdict(UNFITTED_POLICY),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "training": training,
        "metrics": {},
    }
    _write(out, card)


def update_card(out: Path, **changes: Any) -> None:
    """Replace fields of ``model.json``; records may be given as they are."""
    card = json.loads((out / CARD_NAME).read_text(encoding="utf-8"))
    for key, value in changes.items():
        card[key] = asdict(value) if isinstance(value, DecisionPolicy | Tail) else value
    _write(out, card)


def _write(out: Path, card: dict[str, Any]) -> None:
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    (out / CARD_NAME).write_text(text, encoding="utf-8")
