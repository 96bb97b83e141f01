"""``vin-batch read``: the character job of the earlier scripts."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vin_batch.commands._stdout import stdout_errors
from vin_batch.errors import ExitCode, UsageError
from vin_batch.report.logs import say

if TYPE_CHECKING:
    from vin_batch.batch.characters import Character
    from vin_batch.classifier.model_card import ModelCard

DESCRIPTION = """\
Reads images of single characters and prints one line for each, in the order of their paths.
An image that cannot be read gives the character "?" (code 63); csv and jsonl say why.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "read",
        help="read images of single characters",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="images or folders")
    parser.add_argument(
        "--format",
        choices=("ascii", "ascii-char", "csv", "jsonl"),
        default="ascii",
        help='ascii prints "67, /path/letter_C.jpg"; ascii-char "67, C, /path/letter_C.jpg"',
    )
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: stdout)")
    parser.add_argument("--recursive", action="store_true", help="also read folders below")
    parser.add_argument(
        "--alphabet",
        choices=("vin", "alnum36", "byclass62"),
        default="vin",
        help="what may be answered; more than vin needs a model that knows it",
    )
    parser.add_argument("--model", type=Path, help="model directory (default: the shipped model)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument(
        "--inference",
        choices=("auto", "tensorflow", "litert"),
        default="auto",
        help="who computes the network (default: litert where it is installed and no GPU is there)",
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="reading processes"
    )


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    from vin_batch.batch.characters import find_images  # noqa: PLC0415
    from vin_batch.classifier.alphabets import require_alphabet  # noqa: PLC0415
    from vin_batch.classifier.model_card import (  # noqa: PLC0415
        default_model_directory,
        load_model_card,
    )
    from vin_batch.export.characters import CSV_HEADER, FORMATS  # noqa: PLC0415

    if args.workers < 1:
        raise UsageError("--workers must be 1 or more")
    card = load_model_card(args.model or default_model_directory())
    require_alphabet(card, args.alphabet)
    images = find_images(args.paths, args.recursive)
    if not images:
        say("vin-batch: no images found (folders below need --recursive)")
    answers = _answers(images, card, args)
    unread = 0
    with _output(args.output) as out:
        if args.format == "csv":
            out.write(CSV_HEADER.encode())
        for character in answers:
            unread += bool(character.issue)
            out.write(_line(FORMATS[args.format](character)))
    say(_summary(len(images), unread, args.output))
    return ExitCode.FINISHED_WITH_FAILURES if unread else ExitCode.DONE


def _answers(
    images: Sequence[Path], card: ModelCard, args: argparse.Namespace
) -> Iterator[Character]:
    """Answers in order; without images nothing heavy is loaded."""
    if not images:
        return iter(())
    from vin_batch.batch.characters import read_characters  # noqa: PLC0415
    from vin_batch.classifier.choice import open_chosen  # noqa: PLC0415

    classifier = open_chosen(card, args.device, args.inference, args.workers)
    return read_characters(images, classifier, args.alphabet, args.workers)


def _line(text: str) -> bytes:
    # File names need not be UTF-8: their bytes go out as they came in.
    return text.encode("utf-8", "surrogateescape")


@contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO]:
    from vin_batch.batch.atomic import atomic_file  # noqa: PLC0415

    if path is None:
        with stdout_errors():
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
    else:
        with atomic_file(path) as file:
            yield file


def _summary(images: int, unread: int, output: Path | None) -> str:
    where = f", written to {output}" if output else ""
    failed = f", {unread} of them unreadable (?)" if unread else ""
    return f"vin-batch: {images} images{failed}{where}"
