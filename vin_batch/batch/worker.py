"""The life of a worker process: take a shard, pack it, answer, and go when the parent does."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from vin_batch.batch import chatter
from vin_batch.batch.bounds import limit_memory, offer_to_kernel
from vin_batch.batch.mark import RowMark
from vin_batch.batch.pack import ShardResult, ShardTask, Tell, pack_shard
from vin_batch.batch.second_look import LookResult, LookTask, look_again

PARENT_POLL: Final = 0.5
"""Seconds between a worker's looks at whether its parent still lives."""

ORPHANED: Final = 1
"""Exit status of a worker whose parent has gone."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker's first message: it has started."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A worker's answer instead of a result: an error that was no card's."""

    reason: str


Task = ShardTask | LookTask
Result = ShardResult | LookResult
Answer = Ready | Failure | Result


def live(connection: Connection, parent: int, mark: RowMark, memory_limit: int | None) -> None:
    """Work until the connection ends.

    Args:
        connection: Tasks come in, answers go out.
        parent: Process id of the parent.
        mark: Shows the parent which row of its task the worker is on.
        memory_limit: See ``initialise``.
    """
    initialise(parent, memory_limit)
    try:
        connection.send(Ready())
        while True:
            connection.send(answer(connection.recv(), mark.set))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def answer(task: Task, tell: Tell) -> Result | Failure:
    """Pack a shard or look at it again, or say why that failed."""
    chatter.forget()
    try:
        if isinstance(task, LookTask):
            return look_again(task, tell)
        return pack_shard(task, tell)
    except Exception as error:
        return Failure(repr(error))


def initialise(parent: int, memory_limit: int | None) -> None:
    """Prepare a worker process.

    A terminal or a service manager signals the whole group; the parent alone decides what
    that means and kills the workers, which therefore ignore both signals. They were blocked
    when the process started.

    Args:
        parent: Process id of the parent.
        memory_limit: What the worker may take beyond its libraries, in MiB; None for all.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    watch = threading.Thread(target=_exit_without, args=(parent,), name="parent-watch", daemon=True)
    watch.start()
    offer_to_kernel()
    chatter.catch()
    import cv2  # noqa: PLC0415 - only workers decode images

    from vin_batch.preprocess.engine import warm_up  # noqa: PLC0415 - the same

    # Two threads inside OpenCV make 28-pixel images slower, and the cores are taken.
    cv2.setNumThreads(1)
    warm_up()
    if memory_limit is not None:
        limit_memory(memory_limit)


def _exit_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_POLL)
    os._exit(ORPHANED)
