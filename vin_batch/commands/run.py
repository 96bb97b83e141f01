"""``vin-batch run``: read an archive, or resume."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vin_batch.commands._log import add_log_flags
from vin_batch.errors import ExitCode

DESCRIPTION = """\
Reads an archive of card folders, 17 box crops each, and leaves one row per card in
RUN_DIR: readings/*.parquet, readings.csv, summary.json and report.html.
"""
EPILOG = """\
The same command with the same RUN_DIR resumes an interrupted run; what is finished is not
read again, but for files that the system refused to give. A complete run is left as it is.
"""


def add_parser(subparsers: Any) -> None:  # noqa: ANN401 - argparse does not name the type
    """Add the command."""
    parser = subparsers.add_parser(
        "run",
        help="read an archive of cards, or resume",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "archive",
        nargs="?",
        metavar="ARCHIVE",
        help="root of card folders and packs, or its URL (s3://bucket/archive)",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="RUN_DIR", help="results go here")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file with a [run] table; flags win"
    )
    parser.add_argument("--model", type=Path, metavar="DIR", help="default: the shipped model")
    parser.add_argument("--device", help="auto (default), cpu, or gpu, which must be there")
    parser.add_argument(
        "--inference",
        metavar="WHO",
        help="who computes the network: tensorflow, litert (three times as fast on processors, "
        "needs vin_batch[cpu]), or auto (default): litert where there is no GPU",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="reading processes (all cores)")
    parser.add_argument("--shard-size", type=int, metavar="N", help="cards per shard (1000)")
    parser.add_argument("--limit", type=int, metavar="N", help="read only the first N cards")
    _add_machine_flags(parser)
    parser.add_argument(
        "--shard-timeout", type=float, metavar="SECONDS", help="a worker is stuck after (1800)"
    )
    parser.add_argument(
        "--card-timeout", type=float, metavar="SECONDS", help="or after so long on one card (120)"
    )
    parser.add_argument(
        "--second-reader",
        metavar="WHICH",
        help="cards that a second reader looks at, too: off (default), review, or all; "
        "needs vin_batch[second-reader]",
    )
    parser.add_argument(
        "--file-mode", metavar="MODE", help="of what is written: 0640 (default) or 0600"
    )
    parser.add_argument(
        "--textfile",
        type=Path,
        metavar="FILE.prom",
        help="write metrics for node_exporter's textfile collector at the end",
    )
    add_talk_flags(parser)


def _add_machine_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", help="who runs the workers: local (default), or ray: a cluster of machines"
    )
    parser.add_argument(
        "--ray-address",
        metavar="WHERE",
        help="auto (default), HOST:PORT of the head node, or local; needs vin_batch[ray]",
    )
    parser.add_argument(
        "--slice",
        metavar="I/N",
        help="read every N-th shard only, beginning with the I-th: N processes share a RUN_DIR",
    )


def add_talk_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how much the job tells, and how."""
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="progress bar (default: on a terminal only)",
    )
    add_log_flags(parser)


def execute(args: argparse.Namespace) -> ExitCode:
    """Run or resume."""
    from vin_batch.config import load_config  # noqa: PLC0415

    flags = {
        name: getattr(args, name)
        for name in (
            "archive",
            "output",
            "model",
            "device",
            "inference",
            "workers",
            "shard_size",
            "limit",
            "engine",
            "ray_address",
            "slice",
            "shard_timeout",
            "card_timeout",
            "second_reader",
            "file_mode",
            "textfile",
        )
    }
    config = load_config(args.config, flags)
    from vin_batch.commands._job import run_and_tell  # noqa: PLC0415 - after the cheap checks

    return run_and_tell(config, args)
