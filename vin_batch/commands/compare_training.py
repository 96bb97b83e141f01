"""``vin-batch compare-training``: variants of a training side by side, on equal terms."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vin_batch.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from vin_batch.training.ablation import Budget, Variant

DESCRIPTION = """\
Trains variants of the recogniser on equal terms (same number of images, passes, glyphs and
drawings wherever they share them) and prints one table: characters read right through the
production preprocessing, with Wilson intervals of 95 %, and the paired difference from the
first variant. All combinations of --arch, --writers, --leave-out and --option are trained.
These are small trainings that compare variants; they say nothing about the best one can get.
"""
_EPILOG = """\
examples:
  do fonts and stroke writers help on a source that nobody trained on?
    vin-batch compare-training --data data --arch three_conv_dense \\
      --writers people,fonts,strokes,all --leave-out name_forms,pen_capitals,mnist --json a.json
  networks side by side:
    vin-batch compare-training --data data --arch six_convolutions,two_conv_dense --json b.json
  options one by one:
    vin-batch compare-training --data data --option label_smoothing=0 --option jitter=false

The same command goes on where it was interrupted: what --json holds is not trained again.
Several commands at a time may share the file. Intervals tell the chance in the images
measured, not that in a training: give several --seed for it.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "compare-training",
        help="train variants on equal terms and compare them",
        description=DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of glyph packs")
    what = parser.add_argument_group("what varies")
    what.add_argument(
        "--arch", type=_names, metavar="A,B", help="networks (default: six_convolutions)"
    )
    what.add_argument(
        "--writers",
        type=_names,
        default=["all"],
        metavar="W,...",
        help="people; people and fonts: fonts; people and drawn strokes: strokes; all (default)",
    )
    what.add_argument(
        "--leave-out",
        type=_names,
        default=[],
        metavar="SOURCE,...",
        help="train without a source and measure it whole, one after the other; sources that "
        "share writers go together",
    )
    what.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one more variant with this change of the plan; may be given again",
    )
    what.add_argument("--seed", action="append", type=int, metavar="N", help="may be given again")
    _add_what_is_the_same(parser)
    kept = parser.add_argument_group("results")
    kept.add_argument("--json", type=Path, metavar="FILE", help="keep results; go on from them")
    kept.add_argument("--work", type=Path, metavar="DIR", help="keep drawn images here")
    kept.add_argument(
        "--only-show", action="store_true", help="print what --json holds; train nothing"
    )
    kept.add_argument("--markdown", action="store_true", help="print tables as Markdown")


def _add_what_is_the_same(parser: argparse.ArgumentParser) -> None:
    same = parser.add_argument_group("what is the same for all")
    same.add_argument("--images", type=int, default=40_000, help="images of a training")
    same.add_argument("--passes", type=int, default=3, help="how often each is shown")
    same.add_argument(
        "--set",
        action="append",
        default=[],
        dest="fixed",
        metavar="NAME=VALUE",
        help="change the plan of all variants",
    )
    same.add_argument("--stroke-writers", type=int, default=200, help="people drawn by strokes")
    same.add_argument("--at-most", type=int, default=2_500, help="images measured of a source")
    same.add_argument(
        "--regional-writers", type=int, default=40, help="people who write regional shapes"
    )
    same.add_argument("--rejects", action="store_true", help="measure what is no character too")
    same.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    from vin_batch.classifier.keras_classifier import import_keras  # noqa: PLC0415

    import_keras()
    from vin_batch.training import ablation, ablation_results, course  # noqa: PLC0415
    from vin_batch.vin.alphabet import ALPHABET  # noqa: PLC0415

    budget, asked = _asked(args)
    results = ablation_results.Results(args.json)
    data = course.load_data(args.data, ALPHABET)
    comparison = ablation.Comparison(data, ALPHABET, budget, asked, args.work)
    step = ablation.known if args.only_show else ablation.compare
    found = step(comparison, asked, results)
    if not found:
        raise UsageError(
            f"{args.json or 'no file'} holds none of these {len(asked)} variants",
            "Give --json the file of an earlier command with the same flags, or let it train.",
        )
    show = ablation_results.as_markdown if args.markdown else ablation_results.as_text
    print(_heading(args, budget, f"{len(found)} of {len(asked)} variants"))
    tables = (
        ablation_results.comparison_table(found),
        ablation_results.pooled_table(found),
        ablation_results.reject_rows(found),
    )
    for table in filter(None, tables):
        print(f"\n{show(table)}")
    return ExitCode.DONE


def _heading(args: argparse.Namespace, budget: Budget, done: str) -> str:
    plan = budget.plan
    fixed = "".join(f", {option}" for option in args.fixed)
    return (
        f"{done} of {', '.join(args.arch or ['the default network'])}: {budget.images:,} images x "
        f"{plan.passes} passes, {plan.stroke_writers} stroke writers, seed {plan.seed}{fixed}.\n"
        f"At most {budget.at_most:,} images measured of a source. Intervals of 95 % are for the "
        "chance in these images;\nanother training of the same variant differs too."
    )


def _asked(args: argparse.Namespace) -> tuple[Budget, list[Variant]]:
    from vin_batch.training import ablation  # noqa: PLC0415
    from vin_batch.training.ablation_data import WRITERS  # noqa: PLC0415
    from vin_batch.training.architectures import (  # noqa: PLC0415
        DEFAULT_ARCHITECTURE,
        architecture_named,
    )
    from vin_batch.training.fit import TrainingPlan  # noqa: PLC0415

    if min(args.images, args.passes, args.workers, args.at_most) < 1:
        raise UsageError("--images, --passes, --workers and --at-most must be 1 or more")
    if min(args.stroke_writers, args.regional_writers) < 0:
        raise UsageError("--stroke-writers and --regional-writers must be 0 or more")
    for name in args.writers:
        if name not in WRITERS:
            raise UsageError(f"--writers knows no {name}", f"Known are {', '.join(WRITERS)}.")
    archs = args.arch or [DEFAULT_ARCHITECTURE]
    for name in archs:
        architecture_named(name)
    plan = TrainingPlan(
        pools=1,
        pool_images=args.images,
        passes=args.passes,
        stroke_writers=args.stroke_writers,
        workers=args.workers,
    )
    for option in args.fixed:
        plan = ablation.changed(plan, option)
    for option in args.option:
        ablation.changed(plan, option)
    seeds = args.seed or [plan.seed]
    budget = ablation.Budget(plan, args.images, args.at_most, args.regional_writers, args.rejects)
    return budget, ablation.variants(archs, args.writers, args.leave_out, args.option, seeds)
