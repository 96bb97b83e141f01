"""``vin-batch synthesise``: draw synthetic handwritten cards with known truth."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from vin_batch.errors import ExitCode, UsageError
from vin_batch.report.logs import say


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its flags."""
    parser = subparsers.add_parser(
        "synthesise",
        help="draw synthetic handwritten cards and their truth",
        description="Draws card folders from handwriting fonts, with truth.csv beside them. "
        "Card i depends on the seed, the level and i alone. Running the same command again "
        "completes or extends an earlier output.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="directory to fill")
    parser.add_argument("--cards", type=int, metavar="N", help="how many (default: one per VIN)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="default: 1")
    parser.add_argument("--level", choices=("clean", "scan", "hard"), default="scan")
    parser.add_argument(
        "--vins", type=Path, metavar="FILE", help="one VIN per line, or CSV with a vin column"
    )
    parser.add_argument("--format", choices=("png", "jpg"), default="png", help="default: png")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="default: all cores"
    )
    parser.add_argument(
        "--samples", action="store_true", help="draw the sample cards instead (see sample_cards/)"
    )


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command.

    Raises:
        UsageError: The flags do not fit together.
    """
    from vin_batch.synthesis.folders import Order, write_archive  # noqa: PLC0415
    from vin_batch.synthesis.samples import write_samples  # noqa: PLC0415
    from vin_batch.synthesis.vins import load_vins  # noqa: PLC0415

    if args.samples:
        if args.cards is not None or args.vins is not None:
            raise UsageError("--samples draws a fixed set", "Leave out --cards and --vins.")
        truth = write_samples(args.out)
    else:
        vins = tuple(load_vins(args.vins)) if args.vins else ()
        cards = len(vins) if args.cards is None else args.cards
        if cards < 1 or args.seed < 0 or args.workers < 1:
            raise UsageError(
                "synthesise needs a number of cards, a seed and workers that make sense",
                "Give --cards N with N of 1 or more (or --vins FILE), --seed 0 or more.",
            )
        order = Order(cards, args.seed, args.level, args.format)
        truth = write_archive(order, args.out, args.workers, vins)
    say(f"wrote {args.out}, its truth is in {truth}")
    return ExitCode.DONE
