"""One exception tree: every known problem carries its exit code and its advice.

The command line turns any of these into one message on stderr and the stable exit code
of the class; everything else that escapes is a defect of the program.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of the command line. They are a contract: never renumber one."""

    DONE = 0
    DEFECT = 1
    USAGE = 2
    FINISHED_WITH_FAILURES = 3
    CHANGED_UNDER_RUN = 4
    MODEL = 5
    NO_GPU = 6
    DISK = 7
    ARCHIVE = 8
    LOCKED = 9
    INTERRUPTED = 130
    TERMINATED = 143


class VinBatchError(Exception):
    """A problem that an operator can act on.

    Args:
        message: What happened, and to which file, card or shard.
        advice: What to do about it; shown on its own line.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.DEFECT

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


class UsageError(VinBatchError):
    """A flag, a configuration file or an input that makes no sense."""

    exit_code = ExitCode.USAGE


class ChangedUnderRunError(VinBatchError):
    """The archive, the model or the configuration is not the one the run began with."""

    exit_code = ExitCode.CHANGED_UNDER_RUN


class ModelError(VinBatchError):
    """The model is missing, damaged, or made for another preprocessing."""

    exit_code = ExitCode.MODEL


class NoGpuError(VinBatchError):
    """A GPU was demanded and none can be used."""

    exit_code = ExitCode.NO_GPU


class DiskError(VinBatchError):
    """An output cannot be written, or a file of the run directory is damaged."""

    exit_code = ExitCode.DISK


class ArchiveError(VinBatchError):
    """The archive cannot be walked."""

    exit_code = ExitCode.ARCHIVE


class LockedError(VinBatchError):
    """Another run holds the lock of this run directory."""

    exit_code = ExitCode.LOCKED


class InterruptedRunError(VinBatchError):
    """SIGINT asked the run to stop; what is finished is safe."""

    exit_code = ExitCode.INTERRUPTED


class TerminatedRunError(InterruptedRunError):
    """SIGTERM asked the run to stop; what is finished is safe."""

    exit_code = ExitCode.TERMINATED
