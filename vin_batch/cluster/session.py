"""A connection to Ray, without its greetings."""

from __future__ import annotations

import io
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from vin_batch.batch.signals import SIGNALS
from vin_batch.config import RunConfig, default_workers
from vin_batch.errors import UsageError, VinBatchError

logger = logging.getLogger(__name__)

DIAL: Final = 5.0
"""Seconds for a connection to the head node."""
AUTH_MODE: Final = "RAY_AUTH_MODE"
AUTH_TOKEN: Final = "RAY_AUTH_TOKEN"  # noqa: S105 - the name of a variable
INSTALL: Final = "Install it on every node: pip install 'vin_batch[ray]'."
NO_CLUSTER: Final = (
    "Start one (`ray start --head` on one node, `ray start --address=HEAD:6379` on the others, or "
    "`ray up jobs/ray-cluster.yaml`) and give this command on one of its nodes; `--ray-address "
    "local` uses this machine alone."
)


class NoClusterError(VinBatchError):
    """There is no Ray cluster where one should be, or it has no node left."""

    exit_code = UsageError.exit_code


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster.

    Attributes:
        id: Ray's.
        name: Of its machine.
        cpus: Cores that Ray may use.
        gpus: GPUs that Ray may use.
    """

    id: str
    name: str
    cpus: int
    gpus: int


def import_ray() -> ModuleType:
    """Ray, told to count nobody and to keep to itself.

    Raises:
        UsageError: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        with _records_as_they_were():
            import ray  # noqa: PLC0415 - comes with an extra
    except ImportError as error:
        raise UsageError(f"--engine ray needs Ray: {error}", INSTALL) from None
    return ray


class RaySession:
    """A connection to a cluster, for one run.

    Args:
        config: The settings.

    Raises:
        UsageError: Ray is not installed.
    """

    def __init__(self, config: RunConfig) -> None:
        self._address = config.ray_address
        if self._address == "local":
            _close_to_others()
        self.ray: Any = import_ray()
        self._cores = min(config.workers, default_workers())
        self._stack: ExitStack | None = None

    def connect(self) -> None:
        """Connect; once connected, do nothing.

        Raises:
            NoClusterError: There is no cluster.
        """
        if self._stack is not None:
            return
        if ":" in self._address:
            _dial(self._address)
        with ExitStack() as stack:
            relays = stack.enter_context(_quiet())
            stack.callback(self.ray.shutdown)
            try:
                with _signals_kept(), _records_as_they_were():
                    self._init()
                relays()
            except (OSError, RuntimeError, ValueError, self.ray.exceptions.RayError) as error:
                raise NoClusterError(
                    f"no Ray cluster at {self._address}: {_first_line(error)}", NO_CLUSTER
                ) from error
            self._stack = stack.pop_all()

    def _init(self) -> None:
        alone: dict[str, Any] = {"num_cpus": self._cores, "include_dashboard": False}
        self.ray.init(
            address=self._address,
            **(alone if self._address == "local" else {}),
            configure_logging=False,
            log_to_driver=False,
            namespace="vin_batch",
        )

    def close(self) -> None:
        """Disconnect; whatever still runs for this run on the cluster is killed."""
        if self._stack is not None:
            stack, self._stack = self._stack, None
            stack.close()

    def nodes(self) -> list[Node]:
        """Nodes that live."""
        return [
            Node(
                id=each["NodeID"],
                name=each["NodeManagerHostname"] or each["NodeManagerAddress"],
                cpus=int(each["Resources"].get("CPU", 0)),
                gpus=int(each["Resources"].get("GPU", 0)),
            )
            for each in self.ray.nodes()
            if each["Alive"]
        ]


def _dial(address: str) -> None:
    """Make sure that somebody listens: Ray itself would try for a minute."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=DIAL).close()
    except OSError as error:
        raise NoClusterError(f"no Ray cluster at {address}: {error}", NO_CLUSTER) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class _Relay(logging.Handler):
    """Ray's own log, at the level of details: what matters comes as an exception."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.debug("ray: %s", record.getMessage())


class _Lines(io.TextIOBase):
    """Ray prints what its nodes complain about; stdout is for data."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._lock:
            for line in filter(None, map(str.strip, text.splitlines())):
                logger.debug("ray: %s", line)
        return len(text)


@contextmanager
def _quiet() -> Iterator[Callable[[], None]]:
    """Keep Ray's own words out of stdout and stderr.

    Yields:
        What does so again, to be called once Ray has changed its loggers.
    """
    loggers = [logging.getLogger(name) for name in ("ray", "ray._private")]
    before = [(each, each.handlers[:], each.propagate, each.level) for each in loggers]

    def relay() -> None:
        for each in loggers:
            each.handlers, each.propagate = [_Relay()], False

    relay()
    try:
        with redirect_stdout(_Lines()):
            yield relay
    finally:
        for each, handlers, propagate, level in before:
            each.handlers, each.propagate = handlers, propagate
            each.setLevel(level)


@contextmanager
def _records_as_they_were() -> Iterator[None]:
    """Undo what Ray does to every log record of the process: a field more in our JSON."""
    factory = logging.getLogRecordFactory()
    try:
        yield
    finally:
        logging.setLogRecordFactory(factory)


def _close_to_others() -> None:
    """Give a cluster of this machine alone a password that nobody else knows.

    Ray would write one into the home of the user. It reads these variables when it is loaded.
    """
    if not {AUTH_MODE, AUTH_TOKEN, f"{AUTH_TOKEN}_PATH"} & set(os.environ):
        os.environ[AUTH_MODE], os.environ[AUTH_TOKEN] = "token", secrets.token_hex(32)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Give our own answer to signals back: Ray puts another in its place when it connects."""
    ours = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in ours.items():
                signal.signal(number, handler)
