"""Stand-ins that nodes of a Ray cluster can import, and a cluster on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from batch_fakes import FakeClassifier, fake_tools, prepare
from crash_tools import children_of, environment
from vin_batch.classifier.model_card import ModelCard
from vin_batch.cluster.engine import RayEngine
from vin_batch.records import BoxIssue

if TYPE_CHECKING:
    from vin_batch.batch.job import JobTools

PAUSE = 0.02
"""Seconds that a patient worker takes for a box: 1.4 s for a shard of four cards."""
LONG_PATIENCE = 300.0
"""Seconds until a test gives up waiting; never the measure of anything."""
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A busy machine may take a minute to start a node; Ray by itself gives it half of that.
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_raylet_start_wait_time_s": "120",
    # Five refusals by a node that has gone are enough; one that is busy has 10 s for each answer.
    "RAY_health_check_period_ms": "1000",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
}


def prepare_patiently(data: bytes) -> tuple[NDArray[np.uint8], BoxIssue]:
    """As ``prepare``, but slow enough that a test can meddle meanwhile."""
    time.sleep(PAUSE)
    return prepare(data)


def open_noting(card: ModelCard, device: str) -> FakeClassifier:
    """A model that tells in receipts what it was to run on."""
    return FakeClassifier(card, device)


def cluster_tools(**changes: object) -> JobTools:
    return fake_tools(**{"engines": {"ray": RayEngine}, **changes})


def patient_tools(**changes: object) -> JobTools:
    return cluster_tools(prepare=prepare_patiently, **changes)


def wait_long(condition: Callable[[], bool]) -> None:
    """Wait until something holds; a cluster on a busy machine takes its time."""
    deadline = time.monotonic() + LONG_PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.05)


def titles(processes: Iterable[psutil.Process]) -> Iterator[str]:
    """What processes call themselves, of those that still live."""
    for process in processes:
        with suppress(psutil.Error):
            yield "".join(process.cmdline()[:1])


class RayCluster:
    """A cluster whose nodes all live on this machine, one core each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False}
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self.address = str(self._cluster.address)

    def add_node(self, gpus: int = 0) -> object:
        """Start a node; whether it has GPUs is what it says, not what is there."""
        return self._cluster.add_node(num_cpus=1, num_gpus=gpus)

    def kill_node(self, node: object) -> None:
        """Let it die without a word; the cluster takes its time to notice."""
        self._cluster.remove_node(node, allow_graceful=False)

    def is_reading(self, node: object) -> bool:
        """Whether a shard is read on a node at this moment."""
        raylet = cast(Any, node).all_processes["raylet"][0].process.pid
        return any(title == "ray::read_shard" for title in titles(children_of(raylet)))

    def nodes_alive(self) -> int:
        """Nodes that the cluster believes to live."""
        return sum(node["Alive"] for node in self._cluster.global_state.node_table())

    def shutdown(self) -> None:
        """Stop all of it."""
        self._cluster.shutdown()


@contextmanager
def ray_cluster(nodes: int) -> Iterator[RayCluster]:
    """A cluster for the length of a block."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(RAY_AUTH_MODE="disabled", **RAY_SETTINGS).items():
            patch.setenv(name, value)
        cluster = RayCluster()
        try:
            for _ in range(nodes - 1):
                cluster.add_node()
            yield cluster
        finally:
            cluster.shutdown()
