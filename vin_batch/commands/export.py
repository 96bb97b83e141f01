"""``vin-batch export``: hand the readings of a run to another system."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vin_batch.errors import ExitCode, UsageError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its flags."""
    parser = subparsers.add_parser(
        "export",
        help="write the readings of a run for another system",
        description="Writes the readings of a finished run as one flat file.",
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument("--to", required=True, choices=("csv",), help="format of the file")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: RUN_DIR/readings.csv"
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="export what an unfinished run has so far; needs -o",
    )


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command.

    Raises:
        UsageError: The run is not complete, or the flags do not fit together.
    """
    from vin_batch.export.readings_csv import write_readings_csv  # noqa: PLC0415

    if args.partial and args.output is None:
        raise UsageError(
            "--partial needs -o FILE",
            "readings.csv in the run directory stands for a complete run; name another file.",
        )
    path = write_readings_csv(args.run_dir, args.output, partial=args.partial)
    print(f"wrote {path}", file=sys.stderr)
    return ExitCode.DONE
