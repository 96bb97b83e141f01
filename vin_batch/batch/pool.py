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
from contextvars import copy_context
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from vin_batch.batch import chatter, worker
from vin_batch.batch.effort import Effort, TimeSheet
from vin_batch.batch.mark import NO_ROW, RowMark
from vin_batch.errors import VinBatchError

logger = logging.getLogger(__name__)

OF_SIGKILL: Final = " (as the system does when memory is short)"

MAX_FAILED_STARTS: Final = 3
"""Workers in a row that end before they are ready: then no shard can be to blame."""


WATCH: Final = 0.2
"""Seconds between looks at whether workers are stuck."""
LONGEST_GAP: Final = 2.0
"""Seconds between two such looks beyond which this process did not run itself."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A task that a worker finished; ``ready_at`` is on the ``time.monotonic`` clock."""

    shard: int
    result: worker.Result
    ready_at: float
    effort: Effort = field(default_factory=Effort)


@dataclass(frozen=True, slots=True)
class Loss:
    """A shard whose worker died, was stopped, or gave up.

    Attributes:
        shard: Number in the plan.
        cause: What happened, for people, e.g. ``its worker was killed by SIGSEGV``.
        row: Card of the task that the worker was on; None where that is not known.
        timed_out: Whether a limit of time ran out.
    """

    shard: int
    cause: str
    row: int | None = None
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker may take.

    Attributes:
        card_seconds: From one card to the next: beyond that it is stuck.
        task_seconds: For a whole task.
        memory: MiB beyond its libraries; None for all that there is.
    """

    card_seconds: float
    task_seconds: float
    memory: int | None = None


@dataclass(slots=True)
class Round:
    """What happened since the last look."""

    delivered: list[Delivery] = field(default_factory=list)
    lost: list[Loss] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Worker:
    process: Any
    connection: Connection
    mark: RowMark
    sheet: TimeSheet
    ready: bool = False
    shard: int | None = None
    started: float = 0.0
    row: int = NO_ROW
    moved: float = 0.0
    used: bool = False
    verdict: str = ""
    ear: int | None = None
    is_doomed: bool = False
    is_overdue: bool = False

    @property
    def is_idle(self) -> bool:
        return self.ready and self.shard is None and not self.is_doomed


class WorkerPool:
    """Processes that pack shards, and threads that keep them busy and watch them.

    loky's context starts every worker as a new interpreter that does not import the main
    module: a forked child would inherit the locks of TensorFlow's threads and hang.

    Args:
        workers: Most processes at a time; they start when there is work.
        limits: What each of them may take.
    """

    def __init__(self, workers: int, limits: Limits) -> None:
        self._size = workers
        self._limits = limits
        self._workers: list[_Worker] = []
        self._backlog: deque[worker.Task] = deque()
        self._news = Round()
        self._changed = threading.Condition()
        self._failed_starts = 0
        self._error: BaseException | None = None
        self._closing = False
        self._watched = time.monotonic()
        self._wake_read, self._wake_write = os.pipe()
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=copy_context().run, args=(work,), name=name, daemon=True)
            for work, name in ((self._serve, "worker-pool"), (self._watch, "worker-watch"))
        ]
        for thread in self._threads:
            thread.start()

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

    def _stop_overdue(self) -> None:
        """Kill workers that are stuck, or have had their task for too long.

        Time in which this thread did not run either does not count: the machine had no
        processor to give, or all processes were stopped from outside.
        """
        now = time.monotonic()
        paused = max(0.0, now - self._watched - LONGEST_GAP)
        self._watched = now
        with self._changed:
            for each in self._workers:
                each.started, each.moved = each.started + paused, each.moved + paused
                if each.shard is None or each.is_doomed:
                    continue
                if (row := each.mark.row) != each.row:
                    each.row, each.moved = row, now
                if now - each.moved > self._limits.card_seconds:
                    each.verdict = f"no answer within {self._limits.card_seconds:g} s"
                elif now - each.started > self._limits.task_seconds:
                    # Whichever card the worker is on now is not to blame for the others.
                    each.verdict = f"no answer within {self._limits.task_seconds:g} s"
                    each.is_overdue = True
                else:
                    continue
                each.is_doomed = True
                _kill(each)

    def renew(self) -> None:
        """Replace idle workers that have worked: what comes next is read by a fresh one.

        A decoder may damage the memory of its process long before that dies of it, and only
        the card that is read then would be seen.
        """
        with self._changed:
            for each in self._workers:
                if each.is_idle and each.used:
                    each.is_doomed = True
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
        self._closed.set()
        self._wake()
        for thread in self._threads:
            thread.join()
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
            self._give_up(error)
        finally:
            self._bury_all()

    def _watch(self) -> None:
        """Look for stuck workers, beside the other thread: half an answer may hold that up."""
        try:
            while not self._closed.wait(WATCH):
                self._stop_overdue()
        except BaseException as error:
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _employ(self) -> None:
        """Hand the backlog to idle workers and start workers for the rest of it."""
        while True:
            with self._changed:
                idle = next((each for each in self._workers if each.is_idle), None)
                if idle is None or not self._backlog or self._closing:
                    starting = sum(not w.ready for w in self._workers)
                    wanted = min(len(self._backlog) - starting, self._size - len(self._workers))
                    break
                task = self._backlog.popleft()
                idle.mark.row = idle.row = NO_ROW
                idle.shard, idle.used = task.shard, True
                idle.started = idle.moved = time.monotonic()
                idle.sheet.begin()
            # A worker that died meanwhile is noticed when it is listened to.
            with suppress(BrokenPipeError, ConnectionResetError):
                idle.connection.send(task)
        for _ in range(wanted):
            self._start()

    def _start(self) -> None:
        from joblib.externals.loky.backend import get_context  # noqa: PLC0415

        context = get_context("loky")
        ours, theirs = context.Pipe()
        mark = RowMark()
        arguments = (theirs, os.getpid(), mark, self._limits.memory)
        process = context.Process(target=worker.live, args=arguments, daemon=True)
        process.start()
        theirs.close()
        with self._changed:
            newcomer = _Worker(process, ours, mark, TimeSheet(process.pid))
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
                each.sheet.free()
                each.ear = chatter.listen(each.process.pid)
                self._failed_starts = 0
                return
            shard, each.shard = each.shard, None
            assert shard is not None
            effort = each.sheet.end()
            if isinstance(answer, worker.Failure):
                self._news.lost.append(Loss(shard, answer.reason, _row(each)))
            else:
                self._news.delivered.append(Delivery(shard, answer, time.monotonic(), effort))
            self._changed.notify_all()

    def _bury(self, each: _Worker, error: Exception) -> None:
        _kill(each)
        each.process.join()
        each.connection.close()
        died = _describe_end(each.process.exitcode, error) + _last_words(each)
        with self._changed:
            row = None if each.is_overdue else _row(each)
            self._workers.remove(each)
            each.mark.close()
            if each.shard is not None:
                cause, timed_out = each.verdict or died, bool(each.verdict)
                self._news.lost.append(Loss(each.shard, cause, row, timed_out))
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
        with self._changed:
            left, self._workers = self._workers, []
        for each in left:
            _kill(each)
        for each in left:
            each.process.join()
            each.connection.close()
            each.mark.close()
            chatter.stop_listening(each.ear)


def _last_words(each: _Worker) -> str:
    """What a dead worker said in the end, in brackets; then nobody listens to it any more."""
    words = chatter.last_words(each.ear)
    chatter.stop_listening(each.ear)
    return f" ({words})" if words else ""


def _row(each: _Worker) -> int | None:
    row = each.mark.row
    return None if row == NO_ROW else row


def _describe_end(status: int, error: Exception) -> str:
    """How a worker ended, for people: status of its process, and why nobody listens to it."""
    if not isinstance(error, (EOFError, OSError)):
        return f"its answer makes no sense ({error!r})"
    if status >= 0:
        return f"its worker ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"its worker was killed by {name}" + OF_SIGKILL * (-status == signal.SIGKILL)


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
