"""``vin-batch catalogue``: what the nights know about every card."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vin_batch.errors import ExitCode, LockedError, UsageError

if TYPE_CHECKING:
    from vin_batch.nightly.catalogue import Catalogue
    from vin_batch.nightly.nightdir import NightDir

logger = logging.getLogger(__name__)


def add_parser(subparsers: Any) -> None:  # noqa: ANN401 - argparse does not name the type
    """Add the command."""
    from vin_batch.commands._log import add_log_flags  # noqa: PLC0415

    parser = subparsers.add_parser(
        "catalogue",
        help="show what the nights know about every card, or make it again",
        description="Prints the totals of the catalogue of a directory of nights. The "
        "catalogue is made from the runs, and made again by itself where it is lost or wrong.",
    )
    parser.add_argument("nights", type=Path, metavar="NIGHTS")
    parser.add_argument(
        "--rebuild", action="store_true", help="make the catalogue again from the runs alone"
    )
    parser.add_argument(
        "--current",
        type=Path,
        metavar="FILE",
        help="write the current reading of every card, one row each; .csv or .parquet",
    )
    parser.add_argument("--json", action="store_true", help="totals for machines")
    add_log_flags(parser)


def execute(args: argparse.Namespace) -> ExitCode:
    """Print totals to stdout.

    Raises:
        UsageError: There are no nights, or the file has a suffix of no known format.
        LockedError: A night is at work, and the catalogue cannot be made meanwhile.
    """
    from vin_batch.nightly.current import write_current  # noqa: PLC0415
    from vin_batch.nightly.nightdir import CURRENT_KINDS, require_nights  # noqa: PLC0415
    from vin_batch.nightly.overview import describe, totals  # noqa: PLC0415

    nights = require_nights(args.nights)
    if args.current is not None and args.current.suffix not in {f".{k}" for k in CURRENT_KINDS}:
        raise UsageError(
            f"{args.current} has no suffix that says its format",
            "Give a file that ends in .csv or .parquet.",
        )
    with _catalogue(nights, args.rebuild) as catalogue:
        if args.current is not None:
            write_current(nights, catalogue, [args.current], lambda: None)
            logger.info("wrote %s: %d cards", args.current, catalogue.cards)
        numbers = totals(nights, catalogue)
    print(json.dumps(numbers, indent=1) if args.json else describe(numbers))
    return ExitCode.DONE


@contextmanager
def _catalogue(nights: NightDir, rebuild: bool) -> Iterator[Catalogue]:
    """A true catalogue; while a night is at work, the one that it began with."""
    from vin_batch.batch.lock import hold  # noqa: PLC0415
    from vin_batch.nightly.catalogue import open_catalogue  # noqa: PLC0415
    from vin_batch.nightly.keeping import bring_up_to_date  # noqa: PLC0415

    try:
        with hold(nights.lock):
            yield bring_up_to_date(nights, lambda: None, force=rebuild).catalogue
    except LockedError:
        if rebuild or not nights.catalogue.is_file():
            raise
        logger.info("a night is at work: this is what was known when it began")
        yield open_catalogue(nights.catalogue)
