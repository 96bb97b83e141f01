"""``vin-batch learn-makers``: count what makers write in a list of VINs."""

from __future__ import annotations

import argparse
from pathlib import Path

from vin_batch.errors import ExitCode

DESCRIPTION = """\
Counts in a list of VINs what single makers write behind their code: models, fillers, plants.
Two thirds of the VINs are counted, a third measures what the counts are worth. Serial numbers,
check digits and model years are not counted, and positions are counted one by one: no VIN can
be read off the table. It is packaged as vin_batch/vin/data/maker_characters.csv; after a new
one calibrate the model again (`vin-batch train --calibrate-only --vins`).
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "learn-makers",
        help="count what makers write in a list of VINs",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--vins",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV with a vin column, or one VIN per line",
    )
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="CSV", help="table to write"
    )


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    from vin_batch.batch.atomic import disk_errors, write_atomic  # noqa: PLC0415
    from vin_batch.synthesis.vins import load_vins  # noqa: PLC0415
    from vin_batch.training.makers import learn  # noqa: PLC0415
    from vin_batch.vin.maker_characters import to_csv  # noqa: PLC0415

    found = learn(each.vin for each in load_vins(args.vins))
    with disk_errors("write", args.out):
        write_atomic(args.out, to_csv(found.makers).encode(), public_mode=0o644)
    print(found.text())
    return ExitCode.DONE
