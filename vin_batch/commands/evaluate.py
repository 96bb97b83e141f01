"""``vin-batch evaluate``: how well a model, or a finished run, reads."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from vin_batch.errors import ExitCode, UsageError

DESCRIPTION = """\
Measures a model on glyph packs (characters as they are, and whole cards drawn from people
it was not trained on), or compares the readings of a finished run with known VINs.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model, or a run whose VINs are known",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, help="model directory (default: the shipped model)")
    parser.add_argument("--data", type=Path, help="folder of glyph packs (train/, evaluate/)")
    parser.add_argument("--cards", type=int, default=2000, help="cards drawn for each level")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="drawing processes"
    )
    parser.add_argument("--run", type=Path, metavar="RUN_DIR", help="a finished run to compare")
    parser.add_argument("--truth", type=Path, help="CSV with columns card_id and vin, for --run")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    if args.cards < 0 or args.workers < 1:
        raise UsageError("--cards must be 0 or more, --workers 1 or more")
    if (args.run is None) == (args.data is None):
        raise UsageError(
            "say what to measure",
            "Give --data FOLDER for a model, or --run RUN_DIR with --truth CSV for a run.",
        )
    return _evaluate_run(args) if args.run else _evaluate_model(args)


def _evaluate_run(args: argparse.Namespace) -> ExitCode:
    import json  # noqa: PLC0415

    from vin_batch.training.compare import compare_run, load_truth  # noqa: PLC0415

    if args.truth is None:
        raise UsageError("--run needs --truth", "Give a CSV with the columns card_id and vin.")
    comparison = compare_run(args.run, load_truth(args.truth))
    print(json.dumps(comparison.as_json(), indent=2) if args.json else comparison.text())
    return ExitCode.DONE


def _evaluate_model(args: argparse.Namespace) -> ExitCode:
    import json  # noqa: PLC0415

    from vin_batch.classifier.model_card import (  # noqa: PLC0415
        default_model_directory,
        load_model_card,
    )
    from vin_batch.report.logs import configure_logging  # noqa: PLC0415
    from vin_batch.training import course, model_readme  # noqa: PLC0415

    configure_logging("INFO")
    directory = args.model or default_model_directory()
    data = course.load_data(args.data, load_model_card(directory).classes)
    characters, cards = course.measure(directory, data, args.cards, args.workers)
    if args.json:
        print(json.dumps(course.metrics_json(characters, cards), indent=2))
    else:
        print(model_readme.measurement_text(characters, cards))
    return ExitCode.DONE
