"""Tries the preprocessing on bytes in a process of its own, which may crash, hang or swell.

The parent gives the child one candidate after the other; when the child dies, the candidate
it was given last is guilty.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

MAX_CPU_SECONDS = 20.0
"""For one file; a crop takes a thousandth of a second."""
MAX_MEMORY = 900 * 2**20
"""Bytes above what the child needs for itself; the largest crop allowed takes half of it."""
HANG_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one candidate.

    Attributes:
        data: The candidate.
        issue: Name of the ``BoxIssue``; empty where the child did not answer.
        defect: What must never happen, and did; empty where all is well.
        cpu_seconds: Processor time.
        peak_bytes: Memory beyond what the child had before.
    """

    data: bytes
    issue: str
    defect: str
    cpu_seconds: float
    peak_bytes: int


class DecoderChild:
    """A child that is started when needed, and again after every death."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._connection: Connection | None = None
        self._process: multiprocessing.process.BaseProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def judge(self, candidates: Iterable[bytes]) -> Iterator[Verdict]:
        """Try candidates."""
        for data in candidates:
            connection = self._started()
            try:
                connection.send_bytes(data)
                if not connection.poll(HANG_SECONDS):
                    raise EOFError("it hangs")
                yield Verdict(data, *connection.recv())
            except (EOFError, BrokenPipeError, ConnectionResetError) as error:
                yield Verdict(data, "", f"the process died: {self._stop()} {error}", 0.0, 0)

    def _started(self) -> Connection:
        if self._connection is None:
            self._connection, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_live, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
            self._connection.recv()
        return self._connection

    def _stop(self) -> str:
        process, connection = self._process, self._connection
        self._process = self._connection = None
        if process is None or connection is None:
            return ""
        connection.close()
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()
        code = process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit {code}"


def _live(connection: Connection) -> None:
    import cv2

    cv2.setNumThreads(1)
    _judged(b"\x89PNG\r\n\x1a\n")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * MAX_MEMORY,) * 2)
    connection.send("ready")
    while True:
        try:
            data = connection.recv_bytes()
        except EOFError:
            return
        connection.send(_judged(data))


def _judged(data: bytes) -> tuple[str, str, float, int]:
    from vin_batch.preprocess import preprocess_bytes
    from vin_batch.records import BoxIssue

    before = _resident(reset=True)
    began = time.process_time()
    try:
        image, issue = preprocess_bytes(data)
        whole = image.shape == (28, 28) and image.dtype.name == "uint8"
        defect = "" if whole else f"an image {image.dtype}{image.shape}"
        if issue is not BoxIssue.NONE and image.any():
            defect = f"ink in spite of {issue.code}"
        name = issue.name
    except Exception as error:
        name, defect = "", f"raised {error!r}"
    seconds, peak = time.process_time() - began, _resident() - before
    if seconds > MAX_CPU_SECONDS:
        defect = f"{seconds:.1f} s"
    elif peak > MAX_MEMORY:
        defect = f"{peak / 2**20:.0f} MiB"
    return name, defect, seconds, peak


def _resident(*, reset: bool = False) -> int:
    """Largest resident memory since the last reset (Linux: ``man 5 proc_pid_clear_refs``)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
