"""The model on a cluster: one process for each accelerator or node, and how tasks ask it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vin_batch.batch.host import host_name
from vin_batch.classifier.model_card import ModelCard
from vin_batch.cluster.inspection import inspect, local_model
from vin_batch.cluster.messages import Recipe, Refused, Server, refusal
from vin_batch.errors import VinBatchError


class ModelServer:
    """Holds the model; an actor. Nothing else on the cluster imports TensorFlow.

    Args:
        recipe: The run.
    """

    def __init__(self, recipe: Recipe) -> None:
        # Ray gives processes without cores of their own one thread.
        os.environ.pop("OMP_NUM_THREADS", None)
        self._problem = inspect(recipe)
        if self._problem is None:
            try:
                card = local_model(recipe)
                self._classifier = recipe.methods.open_classifier(card, recipe.device)
            except VinBatchError as error:
                self._problem = refusal(error, host_name())

    def facts(self) -> tuple[str, str] | Refused:
        """Id of the node and device in words, or what is wrong with this machine."""
        if self._problem is not None:
            return self._problem
        return this_node(), self._classifier.device

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See ``Classifier``."""
        return self._classifier.log_probs(pixels)


@dataclass(frozen=True, slots=True)
class RemoteClassifier:
    """Asks a process that holds the model; pixels and answers go through Ray's object store.

    Attributes:
        card: The card of the model.
        server: That process.
    """

    card: ModelCard
    server: Server

    @property
    def device(self) -> str:
        """The device in words, for receipts."""
        return self.server.device

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See ``Classifier``."""
        import ray  # noqa: PLC0415 - comes with an extra

        answer: NDArray[np.float32] = ray.get(self.server.actor.log_probs.remote(pixels))
        return answer


def this_node() -> str:
    """Id of the node that this task or actor runs on."""
    import ray  # noqa: PLC0415

    return str(ray.get_runtime_context().get_node_id())


def choose(servers: tuple[Server, ...], device: str, turn: int) -> Server:
    """The model that a task asks: on a processor that of its own node, else the next in turn."""
    near = [each for each in servers if each.node == this_node()] if device == "cpu" else []
    among = near or servers
    return among[turn % len(among)]
