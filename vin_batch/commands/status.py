"""``vin-batch status``: how far a run is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vin_batch.errors import ExitCode


def add_parser(subparsers: Any) -> None:  # noqa: ANN401 - argparse does not name the type
    """Add the command."""
    parser = subparsers.add_parser("status", help="show how far a run is")
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument("--json", action="store_true", help="for monitoring")


def execute(args: argparse.Namespace) -> ExitCode:
    """Print the status to stdout."""
    from vin_batch.batch.rundir import RunDir  # noqa: PLC0415
    from vin_batch.batch.status import describe, read_status  # noqa: PLC0415

    status = read_status(RunDir(args.run_dir))
    print(json.dumps(status.as_dict(), indent=1) if args.json else describe(status))
    return ExitCode.DONE
