"""``vin-batch average-models``: one network from two stages of a training."""

from __future__ import annotations

import argparse
from pathlib import Path

from vin_batch.errors import ExitCode

DESCRIPTION = """\
Writes a model whose weights are the mean of two models', of which one was trained from the
other: it reads nearly as well as both together and costs as much as one. It is not calibrated:
`vin-batch train --calibrate-only` comes next.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "average-models",
        help="one network from two stages of a training",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("first", type=Path, metavar="FIRST", help="model directory")
    parser.add_argument("second", type=Path, metavar="SECOND", help="model directory")
    parser.add_argument(
        "--share", type=float, default=0.5, help="weight of the second (default: %(default)s)"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="model directory to write")


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    from vin_batch.classifier.model_card import load_model_card  # noqa: PLC0415

    first, second = load_model_card(args.first), load_model_card(args.second)
    from vin_batch.classifier.keras_classifier import import_keras  # noqa: PLC0415

    import_keras()
    from vin_batch.training.averaging import average_models  # noqa: PLC0415 - loads Keras

    average_models(first, second, args.share, args.out)
    return ExitCode.DONE
