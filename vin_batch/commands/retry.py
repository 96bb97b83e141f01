"""``vin-batch retry``: read quarantined shards and shards with failed cards again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vin_batch.errors import ExitCode


def add_parser(subparsers: Any) -> None:  # noqa: ANN401 - argparse does not name the type
    """Add the command."""
    from vin_batch.commands.run import add_talk_flags  # noqa: PLC0415

    parser = subparsers.add_parser(
        "retry", help="read shards with failed cards again, after the cause was repaired"
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")
    parser.add_argument("--device", help="auto, cpu, or gpu; as in the run unless given")
    parser.add_argument("--workers", type=int, metavar="N", help="as in the run unless given")
    parser.add_argument("--engine", help="local or ray; as in the run unless given")
    add_talk_flags(parser)


def execute(args: argparse.Namespace) -> ExitCode:
    """Retry."""
    from vin_batch.batch.job import failed_again, retry_config  # noqa: PLC0415

    config = retry_config(args.run_dir, args.workers, args.device, args.engine)
    from vin_batch.commands._job import run_and_tell  # noqa: PLC0415 - after the cheap checks

    return run_and_tell(config, args, failed_again)
