"""``second_reader.json``: how a model's second reader is calibrated and joined.

The file lies beside ``model.json`` and belongs to two sets of weights: those of the model,
with its temperature, and those of the recogniser. It is refused beside any others.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vin_batch.classifier.model_card import ModelCard
from vin_batch.errors import ModelError
from vin_batch.records import DecisionPolicy
from vin_batch.second_reader.evidence import Calibration, Fusion, Weights
from vin_batch.second_reader.recogniser import SYMBOLS
from vin_batch.second_reader.shape import HEIGHT, WIDTH

PARAMETERS_NAME: Final = "second_reader.json"
SCHEMA: Final = 1
MODES: Final = ("review", "all")
"""Which cards the second reader looks at; each has a policy of its own, because cards that
the first reader doubted are not like the others."""
DIGITS: Final = 6
"""Decimals that are kept of coefficients."""
_NUMBERS: Final = re.compile(r"\[\s+-?\d[-\d.,e\s]*\]")
FIT_AGAIN: Final = "Fit it again: vin-batch train-second-reader --data DIR --model DIR."


@dataclass(frozen=True, slots=True)
class Parameters:
    """Everything that turns scores of the second reader into readings.

    Attributes:
        name: Name of the recogniser, for people and receipts.
        weights_sha256: Digest of its ONNX file, 64 hex digits.
        sha256: Digest of the parameter file itself.
        calibration: Scores to characters.
        fusion: Both readers to characters.
        policies: By mode of use, ``review`` and ``all``.
        details: Everything else in the file (how it was fitted, what was measured).
    """

    name: str
    weights_sha256: str
    sha256: str
    calibration: Calibration
    fusion: Fusion
    policies: Mapping[str, DecisionPolicy]
    details: Mapping[str, Any]


def load_parameters(card: ModelCard) -> Parameters:
    """Read and check the parameters that belong to a model.

    Args:
        card: The model; the file lies in its directory.

    Raises:
        ModelError: There are none, they are damaged, or they belong to another model.
    """
    path = card.directory / PARAMETERS_NAME
    try:
        data = path.read_bytes()
        raw = json.loads(data)
    except FileNotFoundError:
        raise ModelError(
            f"model {card.name} has no second reader: {path} is missing", FIT_AGAIN
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}", FIT_AGAIN) from error
    try:
        if raw["schema"] != SCHEMA:
            raise ModelError(f"{path} has schema {raw['schema']}, expected {SCHEMA}", FIT_AGAIN)
        _check_belongs(path, raw, card)
        return _parameters(raw, hashlib.sha256(data).hexdigest())
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} holds no parameters: {error!r}", FIT_AGAIN) from error


def parameters_json(
    card: ModelCard,
    parts: tuple[str, str],
    calibration: Calibration,
    fusion: Fusion,
    policies: Mapping[str, DecisionPolicy],
) -> dict[str, Any]:
    """The document that ``load_parameters`` reads, without details.

    Args:
        card: The model whose log-probabilities the fusion was fitted to.
        parts: Name and sha256 of the recogniser.
        calibration: Scores to characters.
        fusion: Both readers to characters.
        policies: By mode.
    """
    return {
        "schema": SCHEMA,
        "name": parts[0],
        "weights_sha256": parts[1],
        "model": _model_state(card),
        "canvas": [HEIGHT, WIDTH],
        "symbols": SYMBOLS,
        "classes": card.classes,
        "fusion": {
            "agreeing": asdict(fusion.agreeing),
            "differing": asdict(fusion.differing),
            "bias": np.round(fusion.bias, DIGITS).tolist(),
        },
        "policies": {mode: asdict(policy) for mode, policy in policies.items()},
        "calibration": {
            "intercepts": np.round(calibration.intercepts, DIGITS).tolist(),
            "coefficients": np.round(calibration.coefficients, DIGITS).tolist(),
        },
    }


def save_parameters(directory: Path, document: Mapping[str, Any]) -> Path:
    """Write the document, one row of coefficients per line.

    Returns:
        The file.
    """
    path = directory / PARAMETERS_NAME
    text = json.dumps(document, indent=1, ensure_ascii=False)
    path.write_text(_one_line_per_row(text) + "\n", encoding="utf-8")
    return path


def _one_line_per_row(text: str) -> str:
    """Close up lists of numbers, which ``indent`` spreads over as many lines."""
    return _NUMBERS.sub(lambda found: " ".join(found[0].split()), text)


def _model_state(card: ModelCard) -> dict[str, Any]:
    """What of a model its log-probabilities depend on."""
    return {
        "sha256": card.sha256,
        "temperature": card.temperature,
        "class_bias": list(card.class_bias),
        "tail": asdict(card.tail),
    }


def _check_belongs(path: Path, raw: Mapping[str, Any], card: ModelCard) -> None:
    if raw["model"] != _model_state(card):
        raise ModelError(
            f"{path} was fitted beside other weights or another temperature than those of "
            f"model {card.model_id}",
            FIT_AGAIN,
        )
    if (raw["canvas"], raw["symbols"], raw["classes"]) != ([HEIGHT, WIDTH], SYMBOLS, card.classes):
        raise ModelError(
            f"{path} was fitted to other canvases, symbols or classes than this version's",
            FIT_AGAIN,
        )


def _parameters(raw: Mapping[str, Any], sha256: str) -> Parameters:
    calibration = Calibration(
        np.array(raw["calibration"]["coefficients"], np.float64),
        np.array(raw["calibration"]["intercepts"], np.float64),
    )
    fusion = Fusion(
        agreeing=Weights(**raw["fusion"]["agreeing"]),
        differing=Weights(**raw["fusion"]["differing"]),
        bias=np.array(raw["fusion"]["bias"], np.float64),
    )
    policies = {mode: DecisionPolicy(**raw["policies"][mode]) for mode in MODES}
    _check_numbers(calibration, fusion, policies, len(raw["classes"]))
    known = ("schema", "name", "weights_sha256", "fusion", "policies", "calibration")
    return Parameters(
        name=str(raw["name"]),
        weights_sha256=str(raw["weights_sha256"]),
        sha256=sha256,
        calibration=calibration,
        fusion=fusion,
        policies=policies,
        details={key: value for key, value in raw.items() if key not in known},
    )


def _check_numbers(
    calibration: Calibration,
    fusion: Fusion,
    policies: Mapping[str, DecisionPolicy],
    classes: int,
) -> None:
    shapes = (calibration.coefficients.shape, calibration.intercepts.shape, fusion.bias.shape)
    if shapes != ((len(SYMBOLS), classes), (classes,), (classes,)):
        raise ValueError(f"shapes {shapes}")
    numbers = [
        *calibration.coefficients.ravel(),
        *calibration.intercepts,
        *fusion.bias,
        *astuple(fusion.agreeing),
        *astuple(fusion.differing),
        *(value for policy in policies.values() for value in astuple(policy)),
    ]
    if not np.isfinite(numbers).all():
        raise ValueError("a number is not finite")
