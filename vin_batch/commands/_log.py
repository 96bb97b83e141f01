"""The log of a command: its flags, and errors in its format."""

from __future__ import annotations

import argparse
import logging
import sys

from vin_batch.errors import ExitCode, VinBatchError

logger = logging.getLogger(__name__)


def add_log_flags(parser: argparse.ArgumentParser, level: str = "info") -> None:
    """Add the flags that say what is logged, and how; ``level`` is what is logged without."""
    levels = f"debug, info, warning or error (default: {level})"
    parser.add_argument("--log-level", default=level, help=levels)
    parser.add_argument(
        "--log-format",
        default="text",
        choices=("text", "json"),
        help="of what goes to stderr: lines for people (text), or an object per line (json)",
    )


def configure_log(args: argparse.Namespace) -> None:
    """Set the log up as the flags say; nothing for commands without these flags.

    Raises:
        UsageError: There is no such level.
    """
    from vin_batch.batch.about import forget  # noqa: PLC0415 - `--help` must stay light
    from vin_batch.report.logs import configure_logging  # noqa: PLC0415

    forget()
    if hasattr(args, "log_format"):
        configure_logging(args.log_level, args.log_format)


def tell_error(args: argparse.Namespace, error: VinBatchError) -> None:
    """Say on stderr what happened and what to do: a line of the log, where there is one."""
    if hasattr(args, "log_format"):
        advice = f" | advice: {error.advice}" if error.advice else ""
        logger.error("%s%s", error.message, advice, extra={"exit_code": int(error.exit_code)})
        return
    print(f"vin-batch: error: {error.message}", file=sys.stderr)
    if error.advice:
        print(f"  advice: {error.advice}", file=sys.stderr)


def tell_interrupt(args: argparse.Namespace) -> None:
    """Say on stderr that somebody interrupted the command."""
    if hasattr(args, "log_format"):
        logger.error("interrupted", extra={"exit_code": int(ExitCode.INTERRUPTED)})
    else:
        print("vin-batch: interrupted", file=sys.stderr)


def tell_defect(args: argparse.Namespace) -> bool:
    """Log the exception of the moment, which nobody foresaw, on one line.

    Returns:
        False for a command without a log: then Python may show it.
    """
    if not hasattr(args, "log_format"):
        return False
    words = "a defect of the program ended the command; what is finished is safe"
    logger.critical(words, exc_info=True, extra={"exit_code": int(ExitCode.DEFECT)})
    return True
