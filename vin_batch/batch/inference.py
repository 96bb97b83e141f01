"""Who computes the network: settled once for a run.

With TensorFlow, or a GPU, one classifier stands behind all workers and they send it pixels. With
LiteRT every worker holds a classifier of its own and sends log-probabilities.
"""

from __future__ import annotations

from dataclasses import replace

from vin_batch.batch.ledger import load_run
from vin_batch.batch.rundir import RunDir
from vin_batch.classifier.choice import (
    AUTO,
    LITERT,
    TENSORFLOW,
    choose_inference,
    require_litert,
)
from vin_batch.classifier.model_card import ModelCard
from vin_batch.config import RunConfig
from vin_batch.errors import ModelError, UsageError


def settle_inference(config: RunConfig, run: RunDir, card: ModelCard) -> RunConfig:
    """Decide who computes, once for a run.

    A run that has begun keeps what it began with, unless something else is demanded by name;
    then its fingerprint differs.

    Args:
        config: The settings.
        run: The run directory.
        card: The model.

    Returns:
        The settings with ``inference`` settled.

    Raises:
        UsageError: LiteRT and a GPU are demanded together.
        ModelError: What the run began with is not there any more.
        DiskError: ``run.json`` is damaged.
    """
    begun = str(load_run(run).config.get("inference", TENSORFLOW)) if run.is_run() else None
    if begun is None or config.inference not in {AUTO, begun}:
        return replace(config, inference=choose_inference(card, config.inference, config.device))
    if begun == LITERT:
        _require_what_it_began_with(config, card)
    return replace(config, inference=begun)


def _require_what_it_began_with(config: RunConfig, card: ModelCard) -> None:
    try:
        require_litert(card, config.device)
    except UsageError:
        raise UsageError(
            "this run began with LiteRT on the processor; a GPU would change its readings",
            "Leave --device gpu out, or give a new RUN_DIR.",
        ) from None
    except ModelError as error:
        raise ModelError(
            f"this run began with LiteRT: {error.message}",
            "Install what it began with, pip install 'vin_batch[cpu]' and its model, or read the "
            "archive into a new RUN_DIR.",
        ) from error
