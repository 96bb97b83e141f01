"""What must hold on a node before it may read for a run."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from vin_batch._version import __version__
from vin_batch.archive import ListingChangedError, stamp_card
from vin_batch.batch.host import host_name, versions
from vin_batch.batch.share import look_afresh
from vin_batch.classifier.choice import LITERT
from vin_batch.classifier.model_card import ModelCard, default_model_directory, load_model_card
from vin_batch.cluster.messages import Recipe, Refused, refusal
from vin_batch.config import RunConfig
from vin_batch.errors import ArchiveError, DiskError, ModelError, UsageError, VinBatchError

LOOKS: Final = 4
PAUSE: Final = 0.5
"""Seconds between looks for the token: a network file system may lag."""

SHARED: Final = (
    "Every node must see it under the same path, on storage that they share (NFS 4 or better); "
    "mount it there, or leave the node out of the cluster."
)


def inspect(recipe: Recipe) -> Refused | None:
    """Check this machine, from within it.

    Returns:
        What is wrong; None where nothing is.
    """
    try:
        require_version(recipe.version)
        require_libraries(recipe)
        require_shared(recipe)
        require_archive(recipe)
    except VinBatchError as error:
        return refusal(error, host_name())
    return None


def require_version(version: str) -> None:
    """Refuse another version of the package: it may read otherwise.

    Raises:
        UsageError: It is another.
    """
    if version != __version__:
        raise UsageError(
            f"it has vin_batch {__version__}, and the driver {version}",
            f"Install vin_batch {version} on every node.",
        )


def require_libraries(recipe: Recipe) -> None:
    """Refuse other versions of what reads: one run must not depend on where a card was read.

    Raises:
        UsageError: Some differ; the message has both versions.
    """
    here = versions()
    differences = [
        f"{name} {here.get(name, 'absent')} instead of {recipe.libraries.get(name, 'absent')}"
        for name in reading_libraries(recipe.config)
        if here.get(name) != recipe.libraries.get(name)
    ]
    if differences:
        raise UsageError(
            f"it has {', '.join(differences)}",
            "Install the same versions on every node, best from one list: `pip freeze` of the "
            "driver.",
        )


def reading_libraries(config: RunConfig) -> tuple[str, ...]:
    """Distributions on which the readings of a run may depend."""
    network = ("ai-edge-litert",) if config.inference == LITERT else ("tensorflow", "keras")
    second = () if config.second_reader == "off" else ("rapidocr", "onnxruntime")
    return ("opencv-python-headless", "numpy", "vininfo", *network, *second)


def require_shared(recipe: Recipe) -> None:
    """Refuse a run directory that is not the driver's.

    Raises:
        DiskError: What the driver wrote there is not there, or nothing can be written.
    """
    token = recipe.run.root / recipe.token
    for look in range(LOOKS):
        if _holds(token, recipe.token):
            break
        if look + 1 < LOOKS:
            time.sleep(PAUSE)
    else:
        raise DiskError(f"RUN_DIR {recipe.run.root} is not the one that the driver sees", SHARED)
    look_afresh(recipe.run.receipts_dir)


def require_archive(recipe: Recipe) -> None:
    """Refuse an archive that is not the driver's.

    Raises:
        ArchiveError: A card that the driver sees is not there.
    """
    if recipe.landmark is None:
        return
    try:
        stamp_card(recipe.root, recipe.landmark)
    except (ListingChangedError, OSError) as error:
        raise ArchiveError(
            f"archive {recipe.config.archive} is not the one that the driver sees: "
            f"no card {recipe.landmark.card_id} ({error!r})",
            SHARED,
        ) from None


def local_model(recipe: Recipe) -> ModelCard:
    """Find the run's model on this machine: where the driver has it, or in the package.

    Raises:
        ModelError: Neither is the model of the run.
    """
    problem: ModelError | None = None
    for directory in (recipe.card.directory, default_model_directory()):
        try:
            card = load_model_card(directory)
        except ModelError as error:
            problem = problem or error
            continue
        if at(recipe.card.directory, card) == recipe.card:
            return card
    raise problem or ModelError(
        f"the model in {recipe.card.directory} is not {recipe.card.model_id}, that of the run",
        "Put the same model there on every node.",
    )


def at(directory: Path, card: ModelCard) -> ModelCard:
    """The card as it would be in another directory."""
    return replace(card, directory=directory, weights=directory / card.weights.name)


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="ascii") == text
    except (OSError, UnicodeDecodeError):
        return False
