"""``vin-batch train``: from glyph packs to a calibrated model directory."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vin_batch.commands._vins import add_vins_flag
from vin_batch.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from vin_batch.training.fit import TrainingPlan

DESCRIPTION = """\
Trains the recogniser on glyph packs, drawn into synthetic scanned boxes and put through
the production preprocessing; then calibrates it on people it has not seen and measures it.
An interrupted training goes on with the same command. Needs about 4 GB of memory.
"""
CALIBRATION_CARDS = 2
"""Cards drawn for the calibration over those for the measurement: the threshold hangs on a few
wrong ones in thousands."""
_EPILOG = """\
A data folder holds train/*.npz and evaluate/*.npz; each pack has X (uint8 [n, h, w], dark
ink on white) and y (one character each), optionally writer, label_prob and is_test.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "train",
        help="train, calibrate and measure a recogniser",
        description=DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of glyph packs")
    parser.add_argument("-o", "--out", type=Path, required=True, help="model directory to write")
    add_vins_flag(parser)
    parser.add_argument("--config", type=Path, help="TOML file with a [train] table")
    parser.add_argument(
        "--work", type=Path, help="folder for checkpoints and history (default: OUT/../.OUT-work)"
    )
    parser.add_argument(
        "--start", type=Path, metavar="DIR", help="begin with the weights of this model"
    )
    _add_teachers(parser)
    parser.add_argument("--arch", help="network to train; see --list-architectures")
    parser.add_argument(
        "--list-architectures", action=ListArchitectures, help="print the networks, and end"
    )
    parser.add_argument("--pools", type=int, help="pools of images, drawn one after the other")
    parser.add_argument("--pool-images", type=int, help="images of a pool")
    parser.add_argument("--passes", type=int, help="how often each pool is shown")
    parser.add_argument("--seed", type=int, help="seed of pools, weights and order")
    parser.add_argument(
        "--alphabet",
        choices=("vin", "alnum36", "byclass62"),
        default="vin",
        help="what the model shall answer; runs need vin, the others serve `vin-batch read`",
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="drawing processes"
    )
    parser.add_argument(
        "--cards",
        type=int,
        default=4000,
        help="cards per level for the measurement; the calibration takes twice as many",
    )
    parser.add_argument(
        "--calibrate-only",
        action="store_true",
        help="keep the weights of OUT; fit temperature and threshold again",
    )


def _add_teachers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--teacher",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="learn the answers of this model too, and of more than one their mean",
    )
    parser.add_argument(
        "--teach-second-reader",
        action="store_true",
        help="learn the answers of the second reader (vin_batch[second-reader])",
    )
    parser.add_argument(
        "--distillation", type=float, help="the teachers' share of what is learned, 0 to 1"
    )


class ListArchitectures(argparse.Action):
    """Prints the table of the networks and ends, as ``--help`` does."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print and exit."""
        _quietly()
        from vin_batch.training.architectures import architecture_table  # noqa: PLC0415
        from vin_batch.vin.alphabet import ALPHABET  # noqa: PLC0415

        print(architecture_table(len(ALPHABET)))
        parser.exit()


def _quietly() -> None:
    from vin_batch.classifier.keras_classifier import import_keras  # noqa: PLC0415

    import_keras()


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    _quietly()
    from vin_batch.classifier.model_card import load_model_card  # noqa: PLC0415
    from vin_batch.second_reader.recogniser import require_extra  # noqa: PLC0415
    from vin_batch.training import course, model_readme, publish  # noqa: PLC0415
    from vin_batch.training.evaluation import evaluate_model  # noqa: PLC0415
    from vin_batch.training.held_out import require_held_out  # noqa: PLC0415

    if args.cards < 1 or args.workers < 1:
        raise UsageError("--cards and --workers must be 1 or more")
    plan = None if args.calibrate_only else _plan(args)
    if args.teach_second_reader:
        require_extra()
    alphabet = _alphabet(args)
    data = course.load_data(args.data, alphabet, args.vins)
    require_held_out(data.held_out, alphabet)
    if plan is not None:
        work = args.work or args.out.parent / f".{args.out.name}-work"
        start = load_model_card(args.start) if args.start else None
        teachers = [load_model_card(directory) for directory in args.teacher]
        course.train(
            data, alphabet, plan, args.out, work,
            start=start, teachers=teachers, second_reader=args.teach_second_reader,
        )  # fmt: skip
    course.calibrate(args.out, data, CALIBRATION_CARDS * args.cards, args.workers)
    found = evaluate_model(args.out, data, args.cards, args.workers)
    publish.update_card(args.out, metrics=found.metrics())
    model_readme.write_model_readme(args.out)
    print(found.text())
    return ExitCode.DONE


def _alphabet(args: argparse.Namespace) -> str:
    from vin_batch.classifier.alphabets import ALPHABETS  # noqa: PLC0415
    from vin_batch.classifier.model_card import load_model_card  # noqa: PLC0415

    if args.calibrate_only:
        return load_model_card(args.out).classes
    return ALPHABETS[args.alphabet]


def _plan(args: argparse.Namespace) -> TrainingPlan:
    from vin_batch.training.architectures import architecture_named  # noqa: PLC0415
    from vin_batch.training.fit import TrainingPlan  # noqa: PLC0415

    known = {field.name for field in fields(TrainingPlan)}
    values: dict[str, Any] = _table(args.config, known) if args.config else {}
    for name in ("arch", "pools", "pool_images", "passes", "distillation", "seed", "workers"):
        if getattr(args, name) is not None:
            values[name] = getattr(args, name)
    if "arch" in values:
        architecture_named(str(values["arch"]))
    if values.get("pool_images", 1) < 1 or values.get("pools", 1) < 1:
        raise UsageError("pools and pool images must be positive")
    plan = TrainingPlan(**values)
    if not 0 <= plan.distillation <= 1:
        raise UsageError(f"--distillation is a share from 0 to 1, not {plan.distillation}")
    if bool(plan.distillation) != bool(args.teacher or args.teach_second_reader):
        raise UsageError(
            "a teacher needs a distillation above 0, and a distillation a teacher",
            "Give --distillation with --teacher or --teach-second-reader.",
        )
    if args.teacher and args.teach_second_reader:
        raise UsageError("--teacher and --teach-second-reader exclude each other", "Give one.")
    return plan


def _table(path: Path, known: set[str]) -> dict[str, object]:
    import tomllib  # noqa: PLC0415

    try:
        table = dict(tomllib.loads(path.read_text(encoding="utf-8")).get("train", {}))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    if unknown := sorted(set(table) - known):
        raise UsageError(
            f"{path} has unknown keys in [train]: {', '.join(unknown)}",
            f"Known are {', '.join(sorted(known))}.",
        )
    return table
