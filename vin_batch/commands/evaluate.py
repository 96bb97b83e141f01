"""``vin-batch evaluate``: how well a model, or a finished run, reads."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vin_batch.commands._labelled import add_reading_flags
from vin_batch.commands._vins import add_vins_flag
from vin_batch.errors import ExitCode, ModelError, UsageError
from vin_batch.report.logs import say

if TYPE_CHECKING:
    from vin_batch.training.compare import Comparison

DESCRIPTION = """\
Measures one of three things:
  --data FOLDER   a model on glyph packs: characters as they are, and whole cards drawn from
                  people it was not trained on
  --cards DIR     a model on your own labelled archive, read from end to end as
                  `vin-batch run` reads it
  --run RUN_DIR   the readings of a finished run
With --compare-engines the first measures how far the two engines of a model read alike.
The last two need --truth CSV with the columns card_id and vin; vin is empty where a card
holds none. Intervals are Wilson score intervals of 95 %.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model, or a run whose VINs are known",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what is measured")
    what.add_argument("--data", type=Path, metavar="FOLDER", help="glyph packs: train/, evaluate/")
    add_vins_flag(what)
    what.add_argument("--cards", type=Path, metavar="DIR", help="a labelled archive")
    what.add_argument("--run", type=Path, metavar="RUN_DIR", help="a finished run")
    what.add_argument("--truth", type=Path, metavar="CSV", help="columns card_id and vin")
    parser.add_argument("--model", type=Path, metavar="DIR", help="default: the shipped model")
    parser.add_argument(
        "--drawn", type=int, metavar="N", default=2000, help="with --data: cards drawn per level"
    )
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="with --cards: keep the run here"
    )
    parser.add_argument(
        "--second-reader",
        metavar="WHICH",
        help="with --cards: off (default), review or all, as in `vin-batch run`",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: all cores)")
    add_reading_flags(parser)
    parser.add_argument(
        "--compare-engines",
        action="store_true",
        help="with --data: read the drawn cards with TensorFlow and with LiteRT, and tell how far "
        "they agree",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write pictures here (PNG)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    _check(args)
    if args.compare_engines:
        return _compare_engines(args)
    if args.data is not None:
        return _evaluate_model(args)
    return _evaluate_archive(args) if args.cards is not None else _evaluate_run(args)


def _check(args: argparse.Namespace) -> None:
    if args.drawn < 0 or (args.workers is not None and args.workers < 1):
        raise UsageError("--drawn must be 0 or more, --workers 1 or more")
    given = [name for name in ("data", "cards", "run") if getattr(args, name) is not None]
    if len(given) != 1:
        advice = (
            "Give --data FOLDER for a model, --cards DIR with --truth CSV for a labelled "
            "archive, or --run RUN_DIR with --truth CSV for a finished run."
        )
        if args.cards is not None and args.cards.name.isdigit():
            advice = f"The number of drawn cards is --drawn {args.cards}; --cards is an archive."
        raise UsageError("say what to measure: one of --data, --cards and --run", advice)
    if args.truth is None and args.data is None:
        raise UsageError(
            f"--{given[0]} needs --truth", "Give a CSV with the columns card_id and vin."
        )
    if args.vins is not None and args.data is None:
        raise UsageError("--vins goes with --data: it is what drawn cards carry")
    if args.compare_engines and (args.data is None or args.plots is not None or not args.drawn):
        raise UsageError("--compare-engines needs --data, cards (--drawn), and draws no plots")
    if args.plots is not None:
        from vin_batch.training.plots import require_matplotlib  # noqa: PLC0415

        require_matplotlib()


def _evaluate_run(args: argparse.Namespace) -> ExitCode:
    from vin_batch.training.compare import compare_run  # noqa: PLC0415
    from vin_batch.training.truth import load_truth  # noqa: PLC0415

    _tell(args, compare_run(args.run, load_truth(args.truth)))
    return ExitCode.DONE


def _evaluate_archive(args: argparse.Namespace) -> ExitCode:
    from vin_batch.batch.job import run_job  # noqa: PLC0415
    from vin_batch.commands._job import last_words, real_tools  # noqa: PLC0415
    from vin_batch.commands._labelled import (  # noqa: PLC0415
        labels_of,
        reading_config,
        run_directory,
    )
    from vin_batch.training.compare import compare_run, with_pictures  # noqa: PLC0415

    truth = labels_of(args.cards, args.truth, partial=args.partial)
    with run_directory(args.run_dir) as run:
        outcome = run_job(reading_config(args, args.cards, run), real_tools(None))
        if args.run_dir is not None:
            say(last_words(outcome))
        comparison = compare_run(run, truth)
    _tell(args, with_pictures(comparison, args.cards) if args.plots else comparison)
    return outcome.exit_code


def _tell(args: argparse.Namespace, comparison: Comparison) -> None:
    import json  # noqa: PLC0415

    print(json.dumps(comparison.as_json(), indent=2) if args.json else comparison.text())
    if args.plots is not None and comparison.score.cards:
        from vin_batch.training.plots import plot_cards  # noqa: PLC0415

        _name_plots(plot_cards({"cards": comparison.score}, args.plots))


def _evaluate_model(args: argparse.Namespace) -> ExitCode:
    import json  # noqa: PLC0415

    from vin_batch.classifier.model_card import (  # noqa: PLC0415
        default_model_directory,
        load_model_card,
    )
    from vin_batch.training import course  # noqa: PLC0415
    from vin_batch.training.evaluation import evaluate_model  # noqa: PLC0415

    directory = args.model or default_model_directory()
    data = course.load_data(args.data, load_model_card(directory).classes, args.vins)
    workers = args.workers or os.cpu_count() or 1
    found = evaluate_model(directory, data, args.drawn, workers)
    print(json.dumps(found.as_json(), indent=2) if args.json else found.text())
    if args.plots is not None:
        from vin_batch.training.plots import plot_evaluation  # noqa: PLC0415

        _name_plots(plot_evaluation(found.characters, found.cards, found.rejects, args.plots))
    return ExitCode.DONE


def _compare_engines(args: argparse.Namespace) -> ExitCode:
    import json  # noqa: PLC0415

    from vin_batch.classifier.choice import LITERT, TENSORFLOW, open_chosen  # noqa: PLC0415
    from vin_batch.classifier.model_card import (  # noqa: PLC0415
        default_model_directory,
        load_model_card,
        require_vin_classes,
    )
    from vin_batch.training import course, engines  # noqa: PLC0415
    from vin_batch.vin.decoder import Decoder  # noqa: PLC0415

    card = load_model_card(args.model or default_model_directory())
    require_vin_classes(card)
    workers = args.workers or os.cpu_count() or 1
    other = open_chosen(card, "cpu", LITERT)
    reference = open_chosen(card, "cpu", TENSORFLOW)
    data = course.load_data(args.data, card.classes, args.vins)
    drawn = engines.held_out_cards(
        data,
        card.classes,
        "measurement",
        args.drawn,
        seed=course.MEASUREMENT_SEED,
        workers=workers,
    )
    found = {
        level: engines.compare_engines(reference, other, cards, Decoder())
        for level, cards in drawn.items()
    }
    if args.json:
        print(json.dumps({level: each.as_json() for level, each in found.items()}, indent=2))
    else:
        print(engines.agreement_table(found, (TENSORFLOW, LITERT)))
    problems = [f"level {level}: {p}" for level, each in found.items() for p in each.problems()]
    if problems:
        raise ModelError(
            f"the two engines do not decide alike: {'; '.join(problems)}",
            "Read with --inference tensorflow, or make the network again: vin-batch export-engine.",
        )
    return ExitCode.DONE


def _name_plots(paths: list[Path]) -> None:
    for path in paths:
        say(f"wrote {path}")
