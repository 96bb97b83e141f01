"""Processes of the soak: started with a mark, found by it, signalled, and never left behind."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MARK: Final = "VIN_BATCH_SOAK_MARK"
"""Environment variable that every process of a session inherits."""
PATIENCE: Final = 30.0
"""Seconds until processes count as left behind, on however busy a machine."""
WARM: Final = 0.4
"""Share of a session after which its memory should have settled."""


@dataclass(slots=True)
class Usage:
    """What the main process of a session held, from time to time.

    Attributes:
        cards: Cards that had a reading then.
        rss_bytes: Resident memory.
        descriptors: Open files.
    """

    cards: list[int] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def slope(self) -> float | None:
        """MB of memory per 10,000 cards once warm; None where that cannot be told."""
        pairs = list(zip(self.cards, self.rss_bytes, strict=True))
        warm = [pair for pair in pairs if self.cards and pair[0] >= WARM * self.cards[-1]]
        n = len(warm)
        mean_x = sum(x for x, _ in warm) / max(n, 1)
        mean_y = sum(y for _, y in warm) / max(n, 1)
        spread = sum((x - mean_x) ** 2 for x, _ in warm)
        if n < 5 or not spread:
            return None
        slope = sum((x - mean_x) * (y - mean_y) for x, y in warm) / spread
        return slope * 10_000 / 2**20

    def leaked_descriptors(self) -> int:
        """How many more files were open at the end than when warm."""
        if len(self.descriptors) < 5:
            return 0
        warm = self.descriptors[int(WARM * len(self.descriptors)) :]
        return max(0, min(warm[-3:]) - max(warm[: len(warm) // 2]))


@dataclass(slots=True)
class Session:
    """A session that runs, or has ended.

    Attributes:
        process: Its main process.
        mark: Value of ``MARK`` in all its processes.
        log: Where its words go.
    """

    process: subprocess.Popen[bytes]
    mark: str
    log: Path

    def workers(self) -> list[int]:
        """Its worker processes, by the command line that loky gives them."""
        return [
            pid
            for pid in marked(self.mark)
            if pid != self.process.pid and b"popen_loky" in _read(pid, "cmdline")
        ]

    def signal(self, pids: Sequence[int], number: int) -> None:
        """Send a signal to those of the processes that still are."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> None:
        """Kill whatever is left of it."""
        self.signal(list(marked(self.mark)), signal.SIGKILL)
        self.process.wait()


def start(
    command: Sequence[str], mark: str, log: Path, variables: dict[str, str], file_limit: int | None
) -> Session:
    """Start a session in a process group of its own.

    Args:
        command: What to run.
        mark: Something no other session has.
        log: stdout and stderr are added to it.
        variables: More environment.
        file_limit: Most bytes of any file that it writes; None for no limit.
    """
    with log.open("ab") as words:
        process = subprocess.Popen(
            command,
            env={**os.environ, **variables, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            start_new_session=True,
        )
    if file_limit is not None:
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file_limit, file_limit))
    return Session(process, mark, log)


def watch(session: Session, receipts: Path, shard_size: int, usage: Usage) -> int:
    """Wait for the end of a session and note what it holds; its exit status."""
    pid = session.process.pid
    while session.process.poll() is None:
        with suppress(OSError, ValueError, IndexError):
            pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
            done = sum(name.startswith("part-") for name in os.listdir(receipts))
            if done:
                usage.cards.append(done * shard_size)
                usage.rss_bytes.append(pages * resource.getpagesize())
                usage.descriptors.append(descriptors)
        time.sleep(0.1)
    return session.process.returncode


def marked(mark: str) -> Iterator[int]:
    """Processes of a session that are there and no zombies."""
    wanted = f"{MARK}={mark}".encode()
    for name in os.listdir("/proc"):
        if name.isdigit() and wanted in _read(int(name), "environ").split(b"\0"):
            yield int(name)


def left_behind(mark: str) -> list[int]:
    """Processes of a session that have not gone after a while of patience."""
    deadline = time.monotonic() + PATIENCE
    while (left := list(marked(mark))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
