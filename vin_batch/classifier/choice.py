"""Who computes the network: TensorFlow, or LiteRT on processors. Imports neither."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from vin_batch.classifier.artefact import find_artefact, require_artefact
from vin_batch.classifier.base import Classifier
from vin_batch.classifier.gpu import gpu_is_visible
from vin_batch.classifier.litert_classifier import (
    DISTRIBUTION,
    INSTALL,
    litert_is_installed,
    open_litert,
)
from vin_batch.classifier.model_card import ModelCard
from vin_batch.errors import ModelError, UsageError

AUTO: Final = "auto"
TENSORFLOW: Final = "tensorflow"
LITERT: Final = "litert"
INFERENCES: Final = (AUTO, TENSORFLOW, LITERT)

_DISTRIBUTIONS: Final = {TENSORFLOW: "tensorflow", LITERT: DISTRIBUTION}


def choose_inference(card: ModelCard, inference: str, device: str) -> str:
    """Decide who computes.

    ``auto`` takes TensorFlow where a GPU can be seen or is demanded, else LiteRT where it is
    installed and the model holds an exported network, else TensorFlow.

    Args:
        card: The model.
        inference: One of ``INFERENCES``.
        device: ``auto``, ``cpu`` or ``gpu``.

    Returns:
        ``tensorflow`` or ``litert``; what is needed for it is there.

    Raises:
        UsageError: No such inference, or LiteRT and a GPU are demanded together.
        ModelError: LiteRT is demanded and not installed, or the model has no whole network
            for it.
    """
    if inference not in INFERENCES:
        raise UsageError(f"unknown inference {inference!r}", f"Use one of {', '.join(INFERENCES)}.")
    if inference == LITERT:
        require_litert(card, device)
        return LITERT
    if inference == TENSORFLOW or device == "gpu" or (device == AUTO and gpu_is_visible()):
        return TENSORFLOW
    if litert_is_installed() and find_artefact(card) is not None:
        require_artefact(card)
        return LITERT
    return TENSORFLOW


def require_litert(card: ModelCard, device: str) -> None:
    """Make sure that LiteRT can compute a model.

    Raises:
        UsageError: A GPU is demanded.
        ModelError: It is not installed, or the model has no whole network for it.
    """
    if device == "gpu":
        raise UsageError(
            "LiteRT computes on processors, and a GPU is demanded",
            "Give --device gpu or --inference litert, not both.",
        )
    if not litert_is_installed():
        raise ModelError("LiteRT is not installed", INSTALL)
    require_artefact(card)


def engine_name(inference: str, device: str) -> str:
    """Who computes and where, for receipts, e.g. ``litert 2.3.0 on cpu``."""
    try:
        return f"{inference} {version(_DISTRIBUTIONS[inference])} on {device}"
    except PackageNotFoundError:
        return f"{inference} on {device}"


def open_chosen(
    card: ModelCard, device: str = AUTO, inference: str = AUTO, threads: int = 1
) -> Classifier:
    """Load a model into this process.

    Args:
        card: A checked model card.
        device: ``auto``, ``cpu`` or ``gpu``.
        inference: One of ``INFERENCES``.
        threads: Processor threads of LiteRT; TensorFlow takes what it wants.

    Raises:
        UsageError: See ``choose_inference``.
        ModelError: The model cannot be loaded.
        NoGpuError: A GPU was demanded and none can be used.
    """
    if choose_inference(card, inference, device) == LITERT:
        return open_litert(card, device, threads)
    from vin_batch.classifier.keras_classifier import open_classifier  # noqa: PLC0415

    return open_classifier(card, device)
