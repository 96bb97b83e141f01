"""Worker processes: started fresh, bounded by the caller, gone when their parent is."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from typing import Any, Final

from vin_batch.batch.pack import ShardResult, ShardTask, pack_shard

logger = logging.getLogger(__name__)

PARENT_POLL: Final = 0.5
"""Seconds between a worker's looks at whether its parent still lives."""

START_PATIENCE: Final = 120.0
"""Seconds that a new worker may take to start on a busy machine."""

ORPHANED: Final = 1


@dataclass(frozen=True, slots=True)
class Delivery:
    """A shard that a worker finished; ``ready_at`` is on the ``time.monotonic`` clock."""

    shard: int
    result: ShardResult
    ready_at: float


@dataclass(slots=True)
class Round:
    """What happened since the last look.

    Attributes:
        delivered: Finished shards.
        lost: Shards in flight when a worker died, or whose worker raised.
        reason: Why they were lost, for people.
    """

    delivered: list[Delivery] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    reason: str = ""


@dataclass(slots=True)
class _Flight:
    shard: int
    started: float | None = None
    ready_at: float = 0.0


class WorkerPool:
    """Processes that pack shards.

    loky starts every worker as a new interpreter: a forked child would inherit the locks of
    TensorFlow's threads and hang. A broken pool is thrown away and the next task starts
    another.

    Args:
        workers: How many processes.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._executor: Any = None
        self._flights: dict[Future[ShardResult], _Flight] = {}

    @property
    def in_flight(self) -> int:
        """Shards submitted and not yet delivered or lost."""
        return len(self._flights)

    def submit(self, task: ShardTask) -> bool:
        """Queue a shard.

        Returns:
            False if a worker died a moment ago: the shard was not queued, and ``wait`` tells
            which ones were lost.
        """
        future = self._try_submit(task)
        if future is None and not self._flights:
            self.abandon()
            future = self._try_submit(task)
        if future is None:
            return False
        flight = _Flight(task.shard)
        self._flights[future] = flight
        future.add_done_callback(lambda _: setattr(flight, "ready_at", time.monotonic()))
        return True

    def _try_submit(self, task: ShardTask) -> Future[ShardResult] | None:
        if self._executor is None:
            self._executor = _new_executor(self._workers)
        try:
            with _interrupts_blocked():
                future: Future[ShardResult] = self._executor.submit(pack_shard, task)
        except Exception as error:
            if _is_death(error):
                return None
            raise
        return future

    def wait(self, timeout: float) -> Round:
        """Wait until something happens, at most ``timeout`` seconds."""
        done, _ = wait(self._flights, timeout=timeout, return_when=FIRST_COMPLETED)
        round_ = Round()
        for future in sorted(done, key=lambda future: self._flights[future].ready_at):
            self._settle(future, round_)
        return round_

    def can_start(self) -> bool:
        """Try whether a new worker starts at all; only while nothing is in flight."""
        executor = _new_executor(1)
        try:
            executor.submit(os.getpid).result(timeout=START_PATIENCE)
        except Exception as error:
            logger.error("a new worker process cannot start: %s", error)
            return False
        finally:
            _kill(executor)
        return True

    def overdue(self, limit: float) -> list[int]:
        """Shards that a worker has had for more than ``limit`` seconds.

        Tasks are taken in the order in which they were submitted, so the oldest ones in
        flight, as many as there are workers, are those being worked on.
        """
        now = time.monotonic()
        running = [f for future, f in self._flights.items() if not future.done()]
        late = []
        for flight in running[: self._workers]:
            flight.started = now if flight.started is None else flight.started
            if now - flight.started > limit:
                late.append(flight.shard)
        return late

    def abandon(self) -> Round:
        """Kill all workers; what was finished is delivered, the rest is lost."""
        executor, self._executor = self._executor, None
        if executor is not None:
            _kill(executor)
        round_ = Round(reason="its worker was stopped")
        flights, self._flights = self._flights, {}
        for future, flight in flights.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                round_.delivered.append(Delivery(flight.shard, future.result(), flight.ready_at))
            else:
                round_.lost.append(flight.shard)
        return round_

    def _settle(self, future: Future[ShardResult], round_: Round) -> None:
        if future not in self._flights:
            return
        error = future.exception()
        if error is None:
            flight = self._flights.pop(future)
            round_.delivered.append(Delivery(flight.shard, future.result(), flight.ready_at))
        elif _is_death(error):
            rest = self.abandon()
            round_.delivered += rest.delivered
            round_.lost += rest.lost
            round_.reason = str(error).strip().splitlines()[0] if str(error) else repr(error)
        else:
            round_.lost.append(self._flights.pop(future).shard)
            round_.reason = repr(error)


def _is_death(error: BaseException) -> bool:
    from joblib.externals.loky.process_executor import BrokenProcessPool  # noqa: PLC0415

    return isinstance(error, BrokenProcessPool)


def _new_executor(workers: int) -> Any:  # noqa: ANN401 - joblib has no types
    # Starting a tracker lifts any block of signals, so both must run before one is set:
    # this one is Python's, loky's starts with the queues of the executor.
    resource_tracker.ensure_running()
    from joblib.externals.loky.backend import get_context  # noqa: PLC0415
    from joblib.externals.loky.process_executor import ProcessPoolExecutor  # noqa: PLC0415

    return ProcessPoolExecutor(
        max_workers=workers,
        context=get_context("loky"),
        initializer=initialise_worker,
        initargs=(os.getpid(),),
    )


def _kill(executor: Any) -> None:  # noqa: ANN401 - joblib has no types
    # ``shutdown(kill_workers=True)`` trips over tasks that it has not queued yet (a KeyError
    # in its thread); a pool that finds its workers dead clears up in order.
    for pid in list(executor._processes):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    executor.shutdown(wait=True)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A new worker inherits the block, so Ctrl-C cannot hit it before it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def initialise_worker(parent: int) -> None:
    """Prepare a worker process: runs once in each.

    A terminal or a service manager signals the whole group; the parent alone decides what
    that means and kills the workers, which therefore ignore both signals.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    watch: Callable[[], None] = lambda: _exit_without(parent)  # noqa: E731
    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
    import cv2  # noqa: PLC0415 - only workers decode images

    # Two threads inside OpenCV make 28-pixel images slower, and the cores are taken.
    cv2.setNumThreads(1)


def _exit_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_POLL)
    os._exit(ORPHANED)
