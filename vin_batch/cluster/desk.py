"""The models of a cluster, as the driver keeps them: started, ready, gone, started again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from vin_batch.cluster.messages import Refused, Server
from vin_batch.cluster.model_server import ModelServer
from vin_batch.cluster.session import Node
from vin_batch.errors import VinBatchError

logger = logging.getLogger(__name__)

MAX_FAILED_STARTS: Final = 3
"""Models in a row that end before they are ready, on a node or, with GPUs, anywhere; then no
further one is started there."""


@dataclass(slots=True)
class _Starting:
    actor: Any
    place: str | None
    facts: Any


@dataclass(slots=True)
class Desk:
    """Keeps one process with the model for each GPU, or else for each node.

    Attributes:
        ray: The library.
        recipe: The run, as an object of Ray's.
        device: ``cpu`` or ``gpu``.
        ready: Processes that may be asked.
    """

    ray: Any
    recipe: Any
    device: str
    ready: list[Server] = field(default_factory=list)
    _starting: list[_Starting] = field(default_factory=list)
    _failed_starts: Counter[str | None] = field(default_factory=Counter)

    def staff(self, nodes: Collection[Node]) -> None:
        """Start what is missing, and forget what went with its node."""
        living = {node.id for node in nodes}
        self.ready = [each for each in self.ready if each.node in living]
        if self.device == "gpu":
            missing = sum(node.gpus for node in nodes) - len(self.ready) - len(self._starting)
            wanted: list[str | None] = [None] * missing
        else:
            there = {each.node for each in self.ready} | {each.place for each in self._starting}
            wanted = [node.id for node in nodes if node.cpus and node.id not in there]
        for place in wanted:
            if self._failed_starts[place] < MAX_FAILED_STARTS:
                self._start(place)

    def listen(self) -> None:
        """Notice what has become ready, or has failed.

        Raises:
            VinBatchError: A machine is not fit for the run, or no model can be started.
        """
        if not self._starting:
            return
        refs = {each.facts: each for each in self._starting}
        done, _ = self.ray.wait(list(refs), num_returns=len(refs), timeout=0)
        for ref in done:
            self._starting.remove(refs[ref])
            self._admit(refs[ref])

    def doubt(self) -> None:
        """Ask every model whether it still lives; meanwhile none of them is used."""
        self._starting += [_Starting(s.actor, s.place, s.actor.facts.remote()) for s in self.ready]
        self.ready = []

    def _start(self, node: str | None) -> None:
        from ray.util.scheduling_strategies import (  # noqa: PLC0415 - comes with an extra
            NodeAffinitySchedulingStrategy,
        )

        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": 0, "max_task_retries": 0}
        if node is None:
            options["num_gpus"] = 1
        else:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        actor = self.ray.remote(ModelServer).options(**options).remote(self.recipe)
        self._starting.append(_Starting(actor, node, actor.facts.remote()))

    def _admit(self, newcomer: _Starting) -> None:
        try:
            facts = self.ray.get(newcomer.facts)
        except self.ray.exceptions.RayError as error:
            self._failed_starts[newcomer.place] += 1
            logger.warning("a process with the model has gone: %s", _words(error))
            hopeless = self._failed_starts[newcomer.place] >= MAX_FAILED_STARTS
            if hopeless and not (self.ready or self._starting):
                raise VinBatchError(
                    f"no process with the model starts on the cluster: {_words(error)}",
                    "See Ray's logs on the nodes (/tmp/ray/session_latest/logs).",
                ) from error
            return
        if isinstance(facts, Refused):
            raise facts.error()
        self._failed_starts[newcomer.place] = 0
        node, device = facts
        self.ready.append(Server(node, newcomer.place, newcomer.actor, device))


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
