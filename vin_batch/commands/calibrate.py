"""``vin-batch calibrate``: refit confidence and threshold on your own labelled cards."""

from __future__ import annotations

import argparse
from pathlib import Path

from vin_batch.commands._labelled import add_reading_flags
from vin_batch.errors import ExitCode
from vin_batch.report.logs import say

DESCRIPTION = """\
Reads a labelled archive as `vin-batch run` does, refits the recalibration and the threshold
of a model to it, and writes a new model directory with the same weights. Key the cards twice,
by two people: the threshold can only be as right as its truth. The model that it starts from
is not touched.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "calibrate",
        help="refit confidence and threshold on your own labelled cards",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cards", type=Path, required=True, metavar="DIR", help="the labelled archive"
    )
    parser.add_argument(
        "--truth", type=Path, required=True, metavar="CSV", help="columns card_id and vin"
    )
    parser.add_argument("--model", type=Path, metavar="DIR", help="default: the shipped model")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, metavar="DIR", help="model directory to write"
    )
    add_reading_flags(parser)
    parser.add_argument("--workers", type=int, metavar="N", help="reading processes (all cores)")


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    from vin_batch.classifier.model_card import (  # noqa: PLC0415
        default_model_directory,
        load_model_card,
        require_vin_classes,
    )
    from vin_batch.commands._job import real_tools  # noqa: PLC0415
    from vin_batch.commands._labelled import (  # noqa: PLC0415
        labels_of,
        reading_config,
        run_directory,
    )
    from vin_batch.training import recalibrate  # noqa: PLC0415
    from vin_batch.training.labelled import gather_evidence  # noqa: PLC0415
    from vin_batch.training.provenance import provenance  # noqa: PLC0415
    from vin_batch.vin.decoder import Decoder  # noqa: PLC0415

    recalibrate.require_new(args.out)
    card = load_model_card(args.model or default_model_directory())
    require_vin_classes(card)
    labels = labels_of(args.cards, args.truth, partial=args.partial)
    recalibrate.require_enough(len(labels))
    with run_directory(None) as run:
        config = reading_config(args, args.cards, run)
        evidence = gather_evidence(config, real_tools(None), labels)
    found = recalibrate.recalibrate(evidence, card.policy, Decoder())
    record = {**provenance(), "data_sha256": evidence.digest}
    recalibrate.publish_recalibrated(card, args.out, found, record)
    print(found.text())
    say(f"wrote {args.out}")
    return ExitCode.DONE
