"""The command line: parses flags, runs one command, turns errors into exit codes."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Final, NoReturn

from vin_batch._version import __version__
from vin_batch.commands._log import (
    add_log_flags,
    configure_log,
    tell_defect,
    tell_error,
    tell_interrupt,
)
from vin_batch.commands._stdout import forget_stdout
from vin_batch.errors import ExitCode, VinBatchError

COMMANDS: Final = (
    "run",
    "status",
    "verify",
    "retry",
    "export",
    "nightly",
    "catalogue",
    "corrections",
    "read",
    "pack",
    "synthesise",
    "doctor",
    "train",
    "average-models",
    "evaluate",
    "datasets",
    "calibrate",
    "learn-makers",
    "train-second-reader",
    "export-engine",
    "compare-training",
)

LOGGING: Final = (
    "verify",
    "export",
    "read",
    "pack",
    "synthesise",
    "train",
    "average-models",
    "evaluate",
    "calibrate",
    "learn-makers",
    "train-second-reader",
    "export-engine",
    "compare-training",
)
"""Commands that may take minutes and get the flags of the log here."""

EXIT_CODE_HELP: Final = """\
exit codes:
  0  all done                       6  GPU demanded, none there
  2  usage                          7  disk, permission, database
  3  finished, but some shards      8  archive unreadable
     or cards failed                9  another run holds the lock
  4  archive, model or configuration changed under a run
  5  model missing or wrong digest
  130, 143  interrupted: state safe, the same command resumes
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="vin-batch",
        description="Reads handwritten VINs from archives of scanned register cards.",
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vin-batch {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        _module(name).add_parser(subparsers)
    for name in LOGGING:
        # A pipe full of single characters wants answers and errors, no news.
        level = "warning" if name == "read" else "info"
        add_log_flags(subparsers.choices[name], level)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; ``sys.argv`` when None.

    Returns:
        An ``ExitCode``. Wrong flags leave through ``SystemExit(2)``, as argparse does.
    """
    args = build_parser().parse_args(argv)
    module = _module(args.command)
    try:
        configure_log(args)
        with _orderly_termination():
            code = int(module.execute(args))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except VinBatchError as error:
        tell_error(args, error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        tell_interrupt(args)
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        forget_stdout()
        return int(ExitCode.DONE)
    except Exception:
        if not tell_defect(args):
            raise
        return int(ExitCode.DEFECT)


def _module(command: str) -> ModuleType:
    return importlib.import_module(f"vin_batch.commands.{command.replace('-', '_')}")


@contextmanager
def _orderly_termination() -> Iterator[None]:
    """Let SIGTERM end the program through its exits, so that worker processes end with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _exit_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _exit_terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(int(ExitCode.TERMINATED))
