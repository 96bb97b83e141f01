"""``vin-batch doctor``: is this machine fit for the job, and what does it see?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vin_batch.errors import ArchiveError, ExitCode, ModelError, VinBatchError

if TYPE_CHECKING:
    from vin_batch.classifier.base import Classifier
    from vin_batch.classifier.model_card import ModelCard

DESCRIPTION = """\
Checks the installation: versions, the model and its digest, who computes it and on which
device, the second reader where there is one, and one synthetic card read from end to end.
With --sheet it draws a contact sheet instead: box crops of the given cards or folders, each
above what the preprocessing made of it.
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
        "--inference",
        choices=("auto", "tensorflow", "litert"),
        default="auto",
        help="who computes the network in the self-test (default: as `vin-batch run` would choose)",
    )
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
    from vin_batch.batch.characters import find_images, read_image  # noqa: PLC0415
    from vin_batch.report.contact_sheet import COLUMNS, contact_sheet  # noqa: PLC0415

    images = find_images(args.sheet, recursive=True)
    if not images:
        raise ArchiveError("no images found", "Name image files or folders of them.")
    chosen = _spread(images, args.images, COLUMNS)
    boxes = [read_image(image) for image in chosen]
    sheet = contact_sheet([box.issue or box.data for box in boxes])
    _, picture = cv2.imencode(".png", sheet)
    write_atomic(args.output, picture.tobytes())
    print(f"{args.output}: {len(chosen)} of {len(images)} crops")
    return ExitCode.DONE


def _spread(images: list[Path], wanted: int, columns: int) -> list[Path]:
    """Choose whole rows of neighbours, evenly, so that a card's boxes stay together."""
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    count = min(max(1, wanted // columns), len(rows))
    return [image for row in range(count) for image in rows[row * len(rows) // count]]


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
        classifier = _open(card, args.device, args.inference)
        _tell_second_reader(card)
        written, read = _self_test(classifier)
    except VinBatchError as error:
        print(f"FAIL  {error.message}\n      {error.advice}")
        return error.exit_code
    if written != read:
        print(f"FAIL  the synthetic card {written} was read as {read}")
        return ExitCode.MODEL
    print(f"ok    a synthetic card was read from end to end: {read}")
    return ExitCode.DONE


def _open(card: ModelCard, device: str, inference: str) -> Classifier:
    """Say which engines are there, and load the model with the one that a run would take."""
    from vin_batch.classifier import choice, gpu, litert_classifier  # noqa: PLC0415
    from vin_batch.classifier.artefact import find_artefact  # noqa: PLC0415

    if not litert_classifier.litert_is_installed():
        print("--    no LiteRT: processors read three times as fast with `pip install "
              "'vin_batch[cpu]'`")  # fmt: skip
    elif find_artefact(card) is None:
        print(
            f"--    model {card.name} has no network for LiteRT: vin-batch export-engine makes it"
        )
    else:
        print(f"ok    LiteRT {litert_classifier.litert_version()}, and a network for it")
    seen = "seen" if gpu.gpu_is_visible() else "none with a driver and CUDA libraries"
    print(f"ok    GPU: {seen}")
    chosen = choice.choose_inference(card, inference, device)
    classifier = choice.open_chosen(card, device, chosen)
    print(f"ok    a run computes with {choice.engine_name(chosen, classifier.device)}")
    print(f"ok    device {classifier.device}")
    return classifier


def _tell_second_reader(card: ModelCard) -> None:
    """Say whether `run --second-reader` would work; it need not."""
    from vin_batch.batch.second_opinion import load_second_reader  # noqa: PLC0415

    try:
        second = load_second_reader(card)
        second.open_recogniser(second.weights, second.parameters.weights_sha256)
    except ModelError as error:
        print(f"--    no second reader: {error.message}. {error.advice}")
        return
    digest = second.parameters.weights_sha256[:12]
    print(f"ok    second reader {second.parameters.name}@{digest}, {second.engine}")


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
