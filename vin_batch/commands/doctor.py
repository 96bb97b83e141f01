"""``vin-batch doctor``: is this machine fit for the job, and what does it see?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vin_batch.errors import DiskError, ExitCode, VinBatchError

if TYPE_CHECKING:
    from vin_batch.classifier.base import Classifier

DESCRIPTION = """\
Checks the installation: versions, the model and its digest, the device, and one synthetic
card read from end to end. With --sheet it draws a contact sheet instead: box crops of the
given cards or folders, each above what the preprocessing made of it.
"""
SHEET_IMAGES = 340
SELF_TEST_SEED = 5


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="check the installation, or draw a contact sheet of crops",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, help="model directory (default: the shipped model)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument(
        "--sheet", type=Path, nargs="+", metavar="PATH", help="folders (searched below) or images"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("sheet.png"), help="picture (default: sheet.png)"
    )
    parser.add_argument(
        "--images", type=int, default=SHEET_IMAGES, help="crops on the sheet, spread evenly"
    )


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    return _sheet(args) if args.sheet else _check(args)


def _sheet(args: argparse.Namespace) -> ExitCode:
    import cv2  # noqa: PLC0415

    from vin_batch.batch.atomic import write_atomic  # noqa: PLC0415
    from vin_batch.batch.characters import find_images  # noqa: PLC0415
    from vin_batch.report.contact_sheet import COLUMNS, contact_sheet  # noqa: PLC0415

    images = find_images(args.sheet, recursive=True)
    if not images:
        print("vin-batch: no images found", file=sys.stderr)
        return ExitCode.ARCHIVE
    # Whole rows of neighbours, so that a card's boxes stay together.
    wanted = max(1, args.images // COLUMNS)
    rows = [images[start : start + COLUMNS] for start in range(0, len(images), COLUMNS)]
    step = max(1, len(rows) // wanted)
    chosen = [image for row in rows[::step][:wanted] for image in row]
    try:
        data = [image.read_bytes() for image in chosen]
    except OSError as error:
        raise DiskError(f"cannot read {error.filename}: {error.strerror}") from error
    _, picture = cv2.imencode(".png", contact_sheet(data))
    write_atomic(args.output, picture.tobytes())
    print(f"{args.output}: {len(chosen)} of {len(images)} crops")
    return ExitCode.DONE


def _check(args: argparse.Namespace) -> ExitCode:
    from vin_batch.batch.host import versions  # noqa: PLC0415
    from vin_batch.classifier.model_card import (  # noqa: PLC0415
        default_model_directory,
        load_model_card,
        require_vin_classes,
    )

    for name, version in versions().items():
        print(f"ok    {name} {version}")
    try:
        card = load_model_card(args.model or default_model_directory())
        require_vin_classes(card)
        print(f"ok    model {card.model_id} in {card.directory}")
        from vin_batch.classifier.keras_classifier import open_classifier  # noqa: PLC0415

        classifier = open_classifier(card, args.device)
        print(f"ok    device {classifier.device}")
        written, read = _self_test(classifier)
    except VinBatchError as error:
        print(f"FAIL  {error.message}\n      {error.advice}")
        return error.exit_code
    if written != read:
        print(f"FAIL  the synthetic card {written} was read as {read}")
        return ExitCode.MODEL
    print(f"ok    a synthetic card was read from end to end: {read}")
    return ExitCode.DONE


def _self_test(classifier: Classifier) -> tuple[str, str]:
    """Draw, preprocess, classify and decode one clean card; return truth and reading."""
    import numpy as np  # noqa: PLC0415

    from vin_batch.preprocess import preprocess_image  # noqa: PLC0415
    from vin_batch.synthesis.cards import draw_card  # noqa: PLC0415
    from vin_batch.synthesis.vins import random_vin  # noqa: PLC0415
    from vin_batch.synthesis.writer import Writer  # noqa: PLC0415
    from vin_batch.vin.alphabet import ALPHABET, decode  # noqa: PLC0415
    from vin_batch.vin.decoder import Decoder  # noqa: PLC0415

    rng = np.random.default_rng(SELF_TEST_SEED)
    vin = random_vin(rng).vin
    crops = draw_card(vin, Writer.random("clean", rng), "clean", rng)
    pixels = np.stack([preprocess_image(crop)[0] for crop in crops])
    log_probs = classifier.log_probs(pixels).reshape(1, len(vin), len(ALPHABET))
    return vin, decode(Decoder().decode(log_probs).best[0])
