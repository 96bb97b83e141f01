"""The network of a model exported for LiteRT: what ``model.json`` says about it.

The entry ``engines.litert`` names a file beside the weights, its digest, the digest of the
weights that it was made from, how it was made, and how well the two agree. A model without
one, or with one of other weights, is read with TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from vin_batch.classifier.calibration import Calibration, calibration_of
from vin_batch.classifier.model_card import ModelCard
from vin_batch.errors import ModelError

ENGINES: Final = "engines"
LITERT: Final = "litert"
ADVICE: Final = (
    "Make it again with `vin-batch export-engine`, reinstall the model, or give "
    "--inference tensorflow."
)


@dataclass(frozen=True, slots=True)
class Artefact:
    """An exported network and what turns its logits into probabilities.

    Attributes:
        path: The ``.tflite`` file.
        sha256: Digest of that file, 64 hex digits.
        calibration: Of its logits.
    """

    path: Path
    sha256: str
    calibration: Calibration


def find_artefact(card: ModelCard) -> Artefact | None:
    """The exported network that a card names; None where there is none of its weights.

    Raises:
        ModelError: The entry is malformed.
    """
    entry = card.details.get(ENGINES, {})
    try:
        found = entry.get(LITERT)
        if found is None or found["network_sha256"] != card.sha256:
            return None
        return Artefact(
            card.directory / _file_name(found), str(found["sha256"]), calibration_of(card)
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{card.directory}: {ENGINES}.{LITERT} of model.json makes no sense: {error!r}", ADVICE
        ) from error


def require_artefact(card: ModelCard) -> Artefact:
    """The exported network of a model, whole.

    Raises:
        ModelError: There is none, or its file is missing, damaged or another one.
    """
    artefact = find_artefact(card)
    if artefact is None:
        raise ModelError(f"model {card.name} has no network exported for LiteRT", ADVICE)
    read_artefact(artefact)
    return artefact


def read_artefact(artefact: Artefact) -> bytes:
    """The file, after making sure that it is the one that the card names.

    Raises:
        ModelError: It is missing, cannot be read, or is another.
    """
    try:
        data = artefact.path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {artefact.path}: {error.strerror}", ADVICE) from error
    actual = sha256(data).hexdigest()
    if actual != artefact.sha256:
        raise ModelError(
            f"{artefact.path} has digest {actual[:12]}…, the card says {artefact.sha256[:12]}…: "
            "the file is damaged or was swapped",
            ADVICE,
        )
    return data


def _file_name(entry: Mapping[str, Any]) -> str:
    name = str(entry["file"])
    if name != Path(name).name:
        raise ValueError(f"file {name!r} is no name of a file beside the weights")
    return name
