"""The model card: what a model directory must say before TensorFlow is even imported.

A model directory holds ``model.json``, the weights that it names, and a ``README.md`` for
people. Reading the card and checking the weights' digest needs neither TensorFlow nor
Keras, so a damaged model stops a run at once.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from vin_batch.classifier.tail import Tail
from vin_batch.errors import ModelError
from vin_batch.records import DecisionPolicy
from vin_batch.vin.alphabet import ALPHABET

CARD_NAME: Final = "model.json"
CARD_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The machine-readable part of a model directory.

    Attributes:
        name: Name of the model, e.g. ``default``.
        directory: Where it lies.
        weights: The ``.keras`` file.
        sha256: Digest of that file, 64 hex digits.
        classes: Character of every output, in order.
        preprocessing: Constants of the preprocessing that the model was trained through.
        temperature: Divisor of the logits that calibrates the probabilities.
        class_bias: Added to the divided logits, one for every class: it makes the answers
            those of a population in which all classes are equally frequent, because the
            decoder knows by itself how frequent they are.
        tail: Calibration of nearly sure answers, after temperature and bias.
        policy: How a posterior becomes a verdict.
        details: Everything else in ``model.json`` (metrics, training data, dates).
    """

    name: str
    directory: Path
    weights: Path
    sha256: str
    classes: str
    preprocessing: dict[str, Any]
    temperature: float
    class_bias: tuple[float, ...]
    tail: Tail
    policy: DecisionPolicy
    details: dict[str, Any]

    @property
    def model_id(self) -> str:
        """Name and short digest; goes into every reading."""
        return f"{self.name}@{self.sha256[:12]}"


def default_model_directory() -> Path:
    """Find the model that ships with the package.

    Returns:
        The copy inside an installed wheel, or ``models/default`` of the checkout.
    """
    package = Path(__file__).resolve().parent.parent
    packaged = package / "_models" / "default"
    return packaged if packaged.is_dir() else package.parent / "models" / "default"


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_model_card(directory: Path) -> ModelCard:
    """Read and check ``model.json`` and the digest of the weights.

    Args:
        directory: The model directory.

    Returns:
        The checked card.

    Raises:
        ModelError: The card or the weights are missing, damaged or do not belong together.
    """
    path = directory / CARD_NAME
    advice = "Give a directory that `vin-batch train` wrote with --model, or reinstall."
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"no model in {directory}: {CARD_NAME} is missing", advice) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}", advice) from error
    try:
        if raw["schema"] != CARD_SCHEMA:
            raise ModelError(f"{path} has schema {raw['schema']}, expected {CARD_SCHEMA}", advice)
        card = ModelCard(
            name=str(raw["name"]),
            directory=directory,
            weights=directory / str(raw["weights"]),
            sha256=str(raw["sha256"]),
            classes=str(raw["classes"]),
            preprocessing=dict(raw["preprocessing"]),
            temperature=float(raw["temperature"]),
            class_bias=tuple(map(float, raw.get("class_bias", [0.0] * len(raw["classes"])))),
            tail=Tail(**raw.get("tail", {})),
            policy=DecisionPolicy(**raw["policy"]),
            details={key: raw[key] for key in raw if key not in ModelCard.__slots__},
        )
        _check_numbers(card)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is not a model card: {error!r}", advice) from error
    _check_weights(card, advice)
    return card


def _check_numbers(card: ModelCard) -> None:
    if not 0 < card.temperature < math.inf:
        raise ValueError(f"temperature {card.temperature}")
    if len(card.class_bias) != len(card.classes) or not all(map(math.isfinite, card.class_bias)):
        raise ValueError(f"class_bias {card.class_bias}")
    if not (math.isfinite(card.tail.knee) and 0 <= card.tail.gain < math.inf):
        raise ValueError(f"tail {card.tail}")
    if not all(math.isfinite(value) for value in astuple(card.policy)):
        raise ValueError(f"policy {card.policy}")
    if len(set(card.classes)) != len(card.classes) or not card.classes:
        raise ValueError(f"classes {card.classes!r}")


def _check_weights(card: ModelCard, advice: str) -> None:
    try:
        actual = sha256_of(card.weights)
    except FileNotFoundError:
        raise ModelError(f"weights {card.weights} are missing", advice) from None
    except OSError as error:
        raise ModelError(f"cannot read {card.weights}: {error.strerror}", advice) from error
    if actual != card.sha256:
        raise ModelError(
            f"weights {card.weights} have digest {actual[:12]}…, the card says "
            f"{card.sha256[:12]}…: the file is damaged or was swapped",
            advice,
        )


def require_vin_classes(card: ModelCard) -> None:
    """Refuse a model whose outputs are not the 33 VIN characters in order.

    Raises:
        ModelError: The classes differ.
    """
    if card.classes != ALPHABET:
        raise ModelError(
            f"model {card.name} answers {len(card.classes)} classes, not the 33 of a VIN",
            "Use a model trained with --alphabet vin for card runs.",
        )
