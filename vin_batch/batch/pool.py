"""Worker processes: started fresh, each on a line of its own, gone when their parent is.

A pool of ``concurrent.futures`` or loky shares one result pipe among its workers: one that
is killed while it writes leaves half a message, and the pool waits for the rest for ever.
Here every worker has its own connection, of which the parent keeps one end only. A death, at
whatever moment, ends that connection, costs exactly one shard, and names it.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from vin_batch.batch import worker
from vin_batch.errors import VinBatchError

logger = logging.getLogger(__name__)

MAX_FAILED_STARTS: Final = 3
"""Workers in a row that end before they are ready: then no shard can be to blame."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A task that a worker finished; ``ready_at`` is on the ``time.monotonic`` clock."""

    shard: int
    result: worker.Result
    ready_at: float


@dataclass(frozen=True, slots=True)
class Loss:
    """A shard whose worker died, was stopped, or gave up, and why, for people."""

    shard: int
    reason: str


@dataclass(slots=True)
class Round:
    """What happened since the last look."""

    delivered: list[Delivery] = field(default_factory=list)
    lost: list[Loss] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Worker:
    process: Any
    connection: Connection
    ready: bool = False
    shard: int | None = None
    started: float = 0.0
    verdict: str = ""


class WorkerPool:
    """Processes that pack shards, and a thread that keeps them busy.

    loky's context starts every worker as a new interpreter that does not import the main
    module: a forked child would inherit the locks of TensorFlow's threads and hang.

    Args:
        workers: Most processes at a time; they start when there is work.
    """

    def __init__(self, workers: int) -> None:
        self._size = workers
        self._workers: list[_Worker] = []
        self._backlog: deque[worker.Task] = deque()
        self._news = Round()
        self._changed = threading.Condition()
        self._failed_starts = 0
        self._error: BaseException | None = None
        self._closing = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="worker-pool", daemon=True)
        self._thread.start()

    def submit(self, task: worker.Task) -> None:
        """Queue a task; a shard has one at a time."""
        with self._changed:
            self._backlog.append(task)
        self._wake()

    def wait(self, timeout: float) -> Round:
        """Wait until something happens, at most ``timeout`` seconds.

        Raises:
            VinBatchError: Workers cannot start.
        """
        with self._changed:
            if not (self._news.delivered or self._news.lost or self._error):
                self._changed.wait(timeout)
            if self._error is not None:
                raise self._error
            news, self._news = self._news, Round()
        return news

    def stop_overdue(self, limit: float) -> None:
        """Kill workers that have had their shard for more than ``limit`` seconds."""
        now = time.monotonic()
        with self._changed:
            for each in self._workers:
                if each.shard is not None and not each.verdict and now - each.started > limit:
                    each.verdict = f"no answer within {limit:g} seconds"
                    _kill(each)

    def pids(self) -> list[int]:
        """Process ids of the workers that run."""
        with self._changed:
            return [each.process.pid for each in self._workers]

    def close(self) -> None:
        """Kill all workers, wait until they are gone, and forget what they had. Once only."""
        with self._changed:
            self._closing = True
            for each in self._workers:
                _kill(each)
        self._wake()
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _wake(self) -> None:
        os.write(self._wake_write, b"x")

    def _serve(self) -> None:
        try:
            _prepare_thread()
            while not self._closing:
                self._employ()
                self._listen()
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
        finally:
            self._bury_all()

    def _employ(self) -> None:
        """Hand the backlog to idle workers and start workers for the rest of it."""
        while True:
            with self._changed:
                idle = next((w for w in self._workers if w.ready and w.shard is None), None)
                if idle is None or not self._backlog or self._closing:
                    starting = sum(not w.ready for w in self._workers)
                    wanted = min(len(self._backlog) - starting, self._size - len(self._workers))
                    break
                task = self._backlog.popleft()
                idle.shard, idle.started = task.shard, time.monotonic()
            # A worker that died meanwhile is noticed when it is listened to.
            with suppress(BrokenPipeError, ConnectionResetError):
                idle.connection.send(task)
        for _ in range(wanted):
            self._start()

    def _start(self) -> None:
        from joblib.externals.loky.backend import get_context  # noqa: PLC0415

        context = get_context("loky")
        ours, theirs = context.Pipe()
        process = context.Process(target=worker.live, args=(theirs, os.getpid()), daemon=True)
        process.start()
        theirs.close()
        with self._changed:
            newcomer = _Worker(process, ours)
            self._workers.append(newcomer)
            if self._closing:
                _kill(newcomer)

    def _listen(self) -> None:
        ends = {each.connection: each for each in self._workers}
        for end in wait([*ends, self._wake_read]):
            if isinstance(end, int):
                os.read(self._wake_read, 4096)
            elif isinstance(end, Connection):
                self._hear(ends[end])

    def _hear(self, each: _Worker) -> None:
        try:
            answer: worker.Answer = each.connection.recv()
        except Exception as error:
            self._bury(each, error)
            return
        with self._changed:
            if isinstance(answer, worker.Ready):
                each.ready = True
                self._failed_starts = 0
                return
            shard, each.shard = each.shard, None
            assert shard is not None
            if isinstance(answer, worker.Failure):
                self._news.lost.append(Loss(shard, answer.reason))
            else:
                self._news.delivered.append(Delivery(shard, answer, time.monotonic()))
            self._changed.notify_all()

    def _bury(self, each: _Worker, error: Exception) -> None:
        _kill(each)
        each.process.join()
        each.connection.close()
        died = f"its worker ended with status {each.process.exitcode} ({error!r})"
        with self._changed:
            self._workers.remove(each)
            if each.shard is not None:
                self._news.lost.append(Loss(each.shard, each.verdict or died))
                self._changed.notify_all()
            elif not each.ready and not self._closing:
                self._failed_starts += 1
                logger.error("a worker did not start: %s", died)
        if self._failed_starts >= MAX_FAILED_STARTS:
            raise VinBatchError(
                "worker processes cannot start",
                "See the messages above, and `vin-batch doctor`; the same command resumes.",
            )

    def _bury_all(self) -> None:
        for each in self._workers:
            _kill(each)
        for each in self._workers:
            each.process.join()
            each.connection.close()
        self._workers = []


def _kill(each: _Worker) -> None:
    with suppress(ProcessLookupError):
        os.kill(each.process.pid, signal.SIGKILL)


def _prepare_thread() -> None:
    """Block signals here: they go to the main thread, and new workers inherit the block.

    Ctrl-C can then not hit a worker before it ignores it. Starting a resource tracker lifts
    any block, so both of them, Python's and loky's, start before.
    """
    from joblib.externals.loky.backend import resource_tracker as lokys  # noqa: PLC0415

    resource_tracker.ensure_running()
    lokys.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
