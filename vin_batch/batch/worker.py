"""The life of a worker process: take a shard, pack it, answer, and go when the parent does."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from vin_batch.batch.pack import ShardResult, ShardTask, pack_shard
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


def live(connection: Connection, parent: int) -> None:
    """Work until the connection ends.

    Args:
        connection: Tasks come in, answers go out.
        parent: Process id of the parent.
    """
    initialise(parent)
    try:
        connection.send(Ready())
        while True:
            connection.send(answer(connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def answer(task: Task) -> Result | Failure:
    """Pack a shard or look at it again, or say why that failed."""
    try:
        return look_again(task) if isinstance(task, LookTask) else pack_shard(task)
    except Exception as error:
        return Failure(repr(error))


def initialise(parent: int) -> None:
    """Prepare a worker process.

    A terminal or a service manager signals the whole group; the parent alone decides what
    that means and kills the workers, which therefore ignore both signals. They were blocked
    when the process started.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    watch = threading.Thread(target=_exit_without, args=(parent,), name="parent-watch", daemon=True)
    watch.start()
    import cv2  # noqa: PLC0415 - only workers decode images

    # Two threads inside OpenCV make 28-pixel images slower, and the cores are taken.
    cv2.setNumThreads(1)


def _exit_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_POLL)
    os._exit(ORPHANED)
