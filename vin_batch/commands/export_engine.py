"""``vin-batch export-engine``: a model's network for fast reading on processors."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vin_batch.errors import ExitCode, ModelError, UsageError
from vin_batch.report.logs import say

if TYPE_CHECKING:
    from vin_batch.training.cards import CardSet

DESCRIPTION = """\
Makes the 8-bit network of a model that LiteRT reads with (run --inference litert), three times as
fast as TensorFlow on a processor, and puts it beside the weights. First both read the same
cards, and nothing is published unless they decide alike; the figures are printed and kept in
model.json. Cards are drawn from people of DATA whom the model was not trained on, or, without
DATA, from the packaged typefaces. Needs vin_batch[cpu].
"""
SEED = 4031
"""Of the images that show the network's ranges; the compared cards are others."""
RANGE_CARDS = 100
"""Cards of each level whose boxes show the ranges."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "export-engine",
        help="make the network that runs without a GPU read with",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="model directory; it is added to"
    )
    parser.add_argument("--data", type=Path, metavar="DATA", help="glyph packs: train/, evaluate/")
    parser.add_argument(
        "--drawn", type=int, metavar="N", default=1000, help="cards compared per level (1000)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="drawing processes (all cores)")


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    from vin_batch.classifier.keras_classifier import import_keras  # noqa: PLC0415

    import_keras()
    import numpy as np  # noqa: PLC0415

    from vin_batch.classifier.choice import LITERT, TENSORFLOW  # noqa: PLC0415
    from vin_batch.classifier.litert_classifier import (  # noqa: PLC0415
        INSTALL,
        litert_is_installed,
    )
    from vin_batch.classifier.model_card import (  # noqa: PLC0415
        load_model_card,
        require_vin_classes,
    )
    from vin_batch.preprocess import IMAGE_SIDE  # noqa: PLC0415
    from vin_batch.training.engines import agreement_table  # noqa: PLC0415
    from vin_batch.training.export_engine import export_litert, publish_exported  # noqa: PLC0415
    from vin_batch.training.provenance import provenance  # noqa: PLC0415

    if args.drawn < 1 or (args.workers is not None and args.workers < 1):
        raise UsageError("--drawn and --workers must be 1 or more")
    if not litert_is_installed():
        raise ModelError("LiteRT is not installed", INSTALL)
    card = load_model_card(args.model)
    require_vin_classes(card)
    shown, compared = _cards(args, card.classes)
    pixels = np.concatenate([each.pixels[each.issues == 0] for each in shown.values()])
    exported = export_litert(card, pixels.reshape(-1, IMAGE_SIDE, IMAGE_SIDE), compared)
    source = "packaged typefaces" if args.data is None else "held-out people of the glyph packs"
    publish_exported(card, exported, source, provenance())
    print(agreement_table(exported.agreement, (TENSORFLOW, LITERT)))
    say(f"wrote {len(exported.data)} bytes into {card.directory} and named them in model.json")
    return ExitCode.DONE


def _cards(
    args: argparse.Namespace, alphabet: str
) -> tuple[dict[str, CardSet], dict[str, CardSet]]:
    """Cards whose boxes show the ranges, and others to compare on, by level of the scan."""
    from vin_batch.training.course import MEASUREMENT_SEED, load_data  # noqa: PLC0415
    from vin_batch.training.engines import font_cards, held_out_cards  # noqa: PLC0415

    if args.data is None:
        return font_cards(RANGE_CARDS, SEED), font_cards(args.drawn, MEASUREMENT_SEED)
    data, workers = load_data(args.data, alphabet), args.workers or os.cpu_count() or 1
    return (
        held_out_cards(data, alphabet, "calibration", RANGE_CARDS, seed=SEED, workers=workers),
        held_out_cards(
            data, alphabet, "measurement", args.drawn, seed=MEASUREMENT_SEED, workers=workers
        ),
    )
