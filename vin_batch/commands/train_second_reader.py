"""``vin-batch train-second-reader``: calibrate the second reader beside a model."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from vin_batch.commands._vins import add_vins_flag
from vin_batch.errors import ExitCode, UsageError

DESCRIPTION = """\
Calibrates the second reader of vin_batch[second-reader] beside a trained model, on cards
drawn from people that neither of them was trained on, and measures how many more cards the
two accept together. Writes second_reader.json into the model directory; `vin-batch run
--second-reader review` uses it. To be repeated whenever the model was trained or calibrated.
"""
CARDS = 2400
"""Cards per level: some 2,500 go to review at both levels, of which a fifth is accepted then,
and a threshold must be seen on 500."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "train-second-reader",
        help="calibrate the second reader beside a model",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of glyph packs")
    add_vins_flag(parser)
    parser.add_argument("--model", type=Path, required=True, help="model directory; written to")
    parser.add_argument(
        "--cards",
        type=int,
        default=CARDS,
        help="cards per level to fit to; half as many measure (default: %(default)s)",
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes (all cores)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    import json  # noqa: PLC0415

    from vin_batch.second_reader.recogniser import require_extra  # noqa: PLC0415

    if args.cards < 1 or args.workers < 1:
        raise UsageError("--cards and --workers must be 1 or more")
    require_extra()
    from vin_batch.training.course import load_data  # noqa: PLC0415 - after the cheap checks
    from vin_batch.training.second import train_second_reader  # noqa: PLC0415
    from vin_batch.training.second_measure import measurement_text  # noqa: PLC0415
    from vin_batch.vin.alphabet import ALPHABET  # noqa: PLC0415

    data = load_data(args.data, ALPHABET, args.vins)
    scores = train_second_reader(args.model, data, args.cards, args.workers)
    if args.json:
        print(json.dumps({level: score.as_json() for level, score in scores.items()}, indent=2))
    else:
        print(measurement_text(scores))
    return ExitCode.DONE
