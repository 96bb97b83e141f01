"""``vin-batch status``: how far a run is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vin_batch.errors import ExitCode

EPILOG = """\
Exits with 0 whenever the status could be read, whatever it says. With --check: 0 where all is
well, 3 where a person should look: nobody works on an unfinished run, its last session died, it
has got nowhere for longer than the time-out of a shard, or cards were lost ("attention" in the
JSON says which). 2 where there is no run, 7 where it is damaged.
"""


def add_parser(subparsers: Any) -> None:  # noqa: ANN401 - argparse does not name the type
    """Add the command."""
    parser = subparsers.add_parser("status", help="show how far a run is", epilog=EPILOG)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument("--json", action="store_true", help="for monitoring; keys are stable")
    parser.add_argument(
        "--check", action="store_true", help="exit with 3 where a person should look"
    )


def execute(args: argparse.Namespace) -> ExitCode:
    """Print the status to stdout."""
    from vin_batch.batch import status as room  # noqa: PLC0415
    from vin_batch.batch.rundir import RunDir  # noqa: PLC0415

    run = RunDir(args.run_dir)
    if room.is_starting(run):
        words = f"a run is starting in {args.run_dir}: it lists the archive"
        print(json.dumps(room.starting(), indent=1) if args.json else words)
        return ExitCode.DONE
    status = room.read_status(run)
    print(json.dumps(status.as_dict(), indent=1) if args.json else room.describe(status))
    worrying = args.check and status.attention()
    return ExitCode.FINISHED_WITH_FAILURES if worrying else ExitCode.DONE
