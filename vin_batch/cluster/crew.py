"""Orders to a cluster and what becomes of them: the driver's side of Ray's tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vin_batch.cluster.bench import inspect_node, read_shard
from vin_batch.cluster.desk import Desk
from vin_batch.cluster.messages import Lost, Order, Outcome, Refused, Server
from vin_batch.cluster.session import NO_CLUSTER, NoClusterError, Node, RaySession
from vin_batch.errors import UsageError

logger = logging.getLogger(__name__)

CENSUS: Final = 2.0
"""Seconds between looks at which nodes there are."""
DESERTED: Final = 900.0
"""Seconds without a node, or without a model, after which nobody waits any longer."""
INSPECTION: Final = 600.0
"""Seconds for the first task of a node: its Python starts meanwhile, and it may be busy."""
SPARE_SHARE: Final = 8
"""One shard waits for every so many in flight, and two at least, so that no core is idle
while the driver looks for the next."""
QUEUE_FACTOR: Final = 3
"""An order may wait for another to end, so its time-out counts that."""
LONE_FACTOR: Final = 20
"""A suspect is read in parts; local runs bear 16 time-outs of one shard."""
GRACE: Final = 300.0
"""Seconds on top, for publishing."""


@dataclass(frozen=True, slots=True)
class _Flight:
    order: Order
    deadline: float


@dataclass(slots=True)
class Crew:
    """The nodes of a cluster at work on one run.

    Attributes:
        session: The connection.
        recipe: The run, as an object of Ray's.
        desk: The models; None where every worker holds its own.
        shard_timeout: Seconds for one shard.
        most: Cores that may be used; more are left alone.
    """

    session: RaySession
    recipe: Any
    desk: Desk | None
    shard_timeout: float
    most: int
    _nodes: list[Node] = field(default_factory=list)
    _flights: dict[Any, _Flight] = field(default_factory=dict)
    _counted: float = float("-inf")
    _peopled: float = field(default_factory=time.monotonic)
    _task: Any = None

    @property
    def cores(self) -> int:
        """Shards that can be read at a time."""
        return min(self.most, sum(node.cpus for node in self._nodes))

    @property
    def width(self) -> int:
        """Orders that may be in flight."""
        return self.cores + max(2, self.cores // SPARE_SHARE) if self.cores else 0

    @property
    def nodes(self) -> Sequence[Node]:
        """Nodes of the latest census."""
        return self._nodes

    def census(self) -> None:
        """Look now and then which nodes there are, and give each its model.

        Raises:
            NoClusterError: There has been none for too long.
            VinBatchError: A machine is not fit for the run, or no model can be started.
        """
        now = time.monotonic()
        if now - self._counted >= CENSUS:
            before = {node.id: node for node in self._nodes}
            self._counted, self._nodes = now, self.session.nodes()
            for node in self._nodes:
                if before and before.pop(node.id, None) is None:
                    logger.info("node %s joined with %d cores", node.name, node.cpus)
            for node in before.values() if self._nodes else ():
                logger.warning("node %s has gone", node.name)
            if self.desk is not None:
                self.desk.staff(self._nodes)
        if self.desk is not None:
            self.desk.listen()
        if self.is_ready:
            self._peopled = now
        elif now - self._peopled > DESERTED:
            what = "GPU or model" if self.cores else "core"
            raise NoClusterError(f"the cluster has no {what} left", "The same command resumes.")

    def inspect(self) -> None:
        """Let every node look whether it sees what the driver sees.

        Raises:
            VinBatchError: One does not; the message names it.
        """
        from ray.util.scheduling_strategies import (  # noqa: PLC0415 - comes with an extra
            NodeAffinitySchedulingStrategy,
        )

        ray = self.session.ray
        look = ray.remote(inspect_node)
        working = [node for node in self._nodes if node.cpus or node.gpus]
        if not any(node.cpus for node in working):
            raise NoClusterError("the Ray cluster has no core to offer", NO_CLUSTER)
        refs = {
            look.options(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            ).remote(self.recipe): node
            for node in working
        }
        ray.wait(list(refs), num_returns=len(refs), timeout=INSPECTION)
        for ref, node in refs.items():
            self._judge(ref, node)

    def _judge(self, ref: Any, node: Node) -> None:  # noqa: ANN401 - Ray's reference
        ray = self.session.ray
        try:
            problem = ray.get(ref, timeout=0)
        except ray.exceptions.GetTimeoutError:
            raise NoClusterError(
                f"node {node.name} did not answer within {INSPECTION:g} s",
                "See Ray's logs there (/tmp/ray/session_latest/logs), or leave it out.",
            ) from None
        except ray.exceptions.RayTaskError as error:
            last = str(error).strip().splitlines()[-1]
            raise UsageError(
                f"node {node.name} cannot work: {last}",
                "Install the same vin_batch with its extra [ray], in the same version of "
                "Python, on every node.",
            ) from error
        except ray.exceptions.RayError as error:
            logger.warning("node %s has gone before it was looked at: %s", node.name, error)
            return
        if isinstance(problem, Refused):
            raise problem.error()

    @property
    def is_ready(self) -> bool:
        """Whether orders can be carried out."""
        return self.cores > 0 and (self.desk is None or bool(self.desk.ready))

    @property
    def servers(self) -> tuple[Server, ...]:
        """Processes with the model that may be asked now."""
        return () if self.desk is None else tuple(self.desk.ready)

    def submit(self, order: Order) -> None:
        """Send an order."""
        if self._task is None:
            # Retries would be blind: the ledger counts losses, and decides.
            self._task = self.session.ray.remote(read_shard).options(
                num_cpus=1, max_retries=0, retry_exceptions=False
            )
        factor = LONE_FACTOR if order.is_alone else QUEUE_FACTOR
        deadline = time.monotonic() + factor * self.shard_timeout + GRACE
        self._flights[self._task.remote(self.recipe, order)] = _Flight(order, deadline)

    def wait(self, timeout: float) -> list[Outcome]:
        """What became of orders, at the latest after ``timeout`` seconds."""
        ray = self.session.ray
        if not self._flights:
            time.sleep(timeout)
            return []
        done, _ = ray.wait(list(self._flights), num_returns=1, timeout=timeout)
        if done:
            done, _ = ray.wait(list(self._flights), num_returns=len(self._flights), timeout=0)
        return [self._outcome(ref) for ref in done] + self._overdue()

    def cancel(self) -> None:
        """Stop what is in flight."""
        for ref in self._flights:
            self.session.ray.cancel(ref, force=True)
        self._flights.clear()

    def _outcome(self, ref: Any) -> Outcome:  # noqa: ANN401 - Ray's reference
        ray, order = self.session.ray, self._flights.pop(ref).order
        try:
            outcome: Outcome = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            cause = f"an error that nobody foresaw: {str(error).strip().splitlines()[-1]}"
            return Lost(order.shard, cause, is_displaced=False)
        except ray.exceptions.RayError as error:
            self._counted = float("-inf")
            return Lost(order.shard, describe_death(error), is_displaced=True)
        if self.desk is not None and isinstance(outcome, Lost) and outcome.is_displaced:
            self.desk.doubt()
        return outcome

    def _overdue(self) -> list[Outcome]:
        now = time.monotonic()
        late = [ref for ref, flight in self._flights.items() if now > flight.deadline]
        lost: list[Outcome] = []
        for ref in late:
            self.session.ray.cancel(ref, force=True)
            flight = self._flights.pop(ref)
            lost.append(Lost(flight.order.shard, "its node gave no answer in time", True))
        return lost


def describe_death(error: BaseException) -> str:
    """Why a task came to nothing, for people."""
    words = {
        "NodeDiedError": "its node has gone",
        "NodePreemptedError": "its node has gone",
        "WorkerCrashedError": "its process on the node was killed",
        "OutOfMemoryError": "Ray stopped its process because memory was short on the node",
        "LocalRayletDiedError": "Ray has died on its node",
        "ObjectLostError": "its node has gone with the answer",
        "OwnerDiedError": "its node has gone with the answer",
    }
    for kind in type(error).__mro__:
        if kind.__name__ in words:
            return words[kind.__name__]
    return f"Ray lost it ({type(error).__name__})"
