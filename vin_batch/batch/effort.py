"""Who worked and who waited: the time of the workers and of the main process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_AFTER_NAME: Final = b") "
_USER_TICKS: Final = 11
"""Place of ``utime`` in /proc/PID/stat behind the name of the program; ``stime`` follows it."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What a worker spent on a task, in seconds.

    Attributes:
        busy: From getting the task to answering.
        idle: Free before it got the task.
        cpu: Of processors, all its threads together; 0 where the system does not tell.
    """

    busy: float = 0.0
    idle: float = 0.0
    cpu: float = 0.0


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, in steps of 0.01 s; 0 where nobody knows."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0.0
    # The name of the program may itself hold blanks and brackets.
    ticks = line.rpartition(_AFTER_NAME)[2].split()[_USER_TICKS : _USER_TICKS + 2]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class TimeSheet:
    """The time of one worker process, as its parent sees it.

    Attributes:
        pid: The process.
        clock: Monotonic seconds.
        cpu: Processor time of a process.
    """

    pid: int
    clock: Callable[[], float] = time.monotonic
    cpu: Callable[[int], float] = cpu_seconds
    _free_since: float = field(init=False)
    _began: float = field(init=False)
    _cpu_before: float = 0.0

    def __post_init__(self) -> None:
        self.free()

    def free(self) -> None:
        """The worker is ready for its first task."""
        self._free_since = self._began = self.clock()
        self._cpu_before = self.cpu(self.pid)

    def begin(self) -> None:
        """The worker got a task."""
        self._began = self.clock()

    def end(self) -> Effort:
        """The worker answered and is free again."""
        now, spent = self.clock(), self.cpu(self.pid)
        effort = Effort(
            busy=now - self._began,
            idle=self._began - self._free_since,
            cpu=max(0.0, spent - self._cpu_before),
        )
        self._free_since, self._cpu_before = now, spent
        return effort


@dataclass(slots=True)
class MainTime:
    """The time of the main process that no stage accounts for.

    Attributes:
        clock: Monotonic seconds.
        cpu: Processor time of this process, all its threads together.
    """

    clock: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time
    _since: float = field(init=False)
    _cpu_since: float = field(init=False)
    _accounted: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Forget what was before."""
        self._since, self._cpu_since, self._accounted = self.clock(), self.cpu(), 0.0

    def account(self, seconds: float) -> None:
        """A stage took this long."""
        self._accounted += seconds

    def rest(self) -> dict[str, float]:
        """What is left since the last call, and the processor time of all of it.

        Returns:
            ``other`` and ``main_cpu``, seconds, for the timings of a receipt.
        """
        now, spent = self.clock(), self.cpu()
        left = max(0.0, now - self._since - self._accounted)
        found = {"other": left, "main_cpu": spent - self._cpu_since}
        self._since, self._cpu_since, self._accounted = now, spent, 0.0
        return found
