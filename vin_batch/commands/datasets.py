"""``vin-batch datasets``: what is in the sources that a training would use?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vin_batch.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from vin_batch.training.datasets.duplicates import LeakReport
    from vin_batch.training.datasets.source import Source
    from vin_batch.training.datasets.summary import SourceSummary, Suspect
    from vin_batch.training.packs import GlyphPack

DESCRIPTION = """\
Opens sources of handwritten characters, gives them the classes of a model, and prints what
each holds: images, writers, smallest and largest class, what was dropped and why. Formats are
told by content: EMNIST and MNIST (idx, MATLAB, CSV, npz), the A-Z Handwritten Alphabets (CSV),
folders named by their class, glyph packs (npz), and data folders with train/ and evaluate/.
"""
_EPILOG = """\
--check-leaks compares the training parts with the held-out parts and with --evaluation, and
reports images that show the same drawing. Exit code 3: files were unreadable, or doubles found.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "datasets",
        help="look into sources of training images",
        description=DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files or folders")
    parser.add_argument(
        "--kind",
        choices=("auto", "pack", "mnist", "emnist", "az", "folders"),
        default="auto",
        help="what the sources are, where their content does not tell",
    )
    parser.add_argument(
        "--alphabet",
        choices=("vin", "alnum36", "byclass62"),
        default="vin",
        help="wanted classes; images of others are dropped",
    )
    parser.add_argument(
        "--lowercase",
        choices=("look_alikes", "drop"),
        default="look_alikes",
        help="c k o p s u v w x z count as their capitals where no lower case is wanted, "
        "or all lower case is dropped",
    )
    parser.add_argument(
        "--suspects",
        type=Path,
        metavar="CSV",
        help="look for wrong labels by cross-validation within each source (slow), and write them",
    )
    parser.add_argument(
        "--check-leaks", action="store_true", help="look for evaluation images in training"
    )
    parser.add_argument(
        "--evaluation",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="more sources that only measure, for --check-leaks",
    )
    parser.add_argument("--leaks", type=Path, metavar="CSV", help="write the pairs found")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command."""
    import json  # noqa: PLC0415

    from vin_batch.classifier.alphabets import ALPHABETS  # noqa: PLC0415
    from vin_batch.training.datasets.summary import summarise, table_text  # noqa: PLC0415

    if not args.check_leaks and (args.evaluation or args.leaks):
        raise UsageError("--evaluation and --leaks need --check-leaks")
    sources, measuring = _open_all(args)
    alphabet = ALPHABETS[args.alphabet]
    described = [summarise(source, alphabet, args.lowercase) for source in sources]
    rows, packs = [row for row, _ in described], [mapped.pack for _, mapped in described]
    if args.suspects:
        rows = _with_suspects(rows, sources, packs, args.suspects)
    report = None
    if args.check_leaks:
        extra = [summarise(one, alphabet, args.lowercase)[1].pack for one in measuring]
        rows, report = _with_leaks(rows, packs, extra, args.leaks)
    if args.json:
        print(json.dumps([row.as_json() for row in rows], indent=2, ensure_ascii=False))
    else:
        print(table_text(rows))
        print(f"\n{_balance_text(packs, alphabet)}")
        if report is not None:
            print(f"\n{_leaks_text(report)}")
    troubled = any(row.unreadable for row in rows) or bool(report and report.leaks)
    return ExitCode.FINISHED_WITH_FAILURES if troubled else ExitCode.DONE


def _open_all(args: argparse.Namespace) -> tuple[list[Source], list[Source]]:
    """Training sources and sources that only measure; a data folder has both."""
    from vin_batch.training.datasets.opening import open_dataset  # noqa: PLC0415

    training, measuring = [], list(args.evaluation)
    for path in args.paths:
        # A data folder's train/ holds packs; a folder of classes may have a train/, too.
        if (path / "train").is_dir() and any((path / "train").glob("*.npz")):
            training.append(path / "train")
            if args.check_leaks and (path / "evaluate").is_dir():
                measuring.append(path / "evaluate")
        else:
            training.append(path)
    return (
        [source for path in training for source in open_dataset(path, args.kind)],
        [source for path in measuring for source in open_dataset(path)],
    )


def _with_suspects(
    rows: list[SourceSummary], sources: list[Source], packs: list[GlyphPack], target: Path
) -> list[SourceSummary]:
    """Search the sources that flag no doubtful labels themselves."""
    from vin_batch.training.datasets.summary import suspects_of  # noqa: PLC0415

    found: list[Suspect] = []
    counted = []
    for row, source, pack in zip(rows, sources, packs, strict=True):
        suspects = [] if source.doubtful else suspects_of(pack)
        found += suspects
        counted.append(row if source.doubtful else replace(row, suspects=len(suspects)))
    lines = [("source", "row", "label", "likely", "margin")]
    lines += [(s.source, str(s.row), s.label, s.likely, f"{s.margin:.4f}") for s in found]
    _write_csv(target, lines)
    return counted


def _with_leaks(
    rows: list[SourceSummary], packs: list[GlyphPack], extra: list[GlyphPack], target: Path | None
) -> tuple[list[SourceSummary], LeakReport]:
    from vin_batch.training.datasets.duplicates import check_leaks  # noqa: PLC0415

    training = [pack.part(held_out=False) for pack in packs]
    report = check_leaks(training, [*(pack.part(held_out=True) for pack in packs), *extra])
    if target:
        lines = [("evaluation", "row", "label", "training", "row", "label", "correlation", "exact")]
        lines += [
            (
                *(leak.evaluation[0], str(leak.evaluation[1]), leak.labels[0]),
                *(leak.training[0], str(leak.training[1]), leak.labels[1]),
                *(f"{leak.correlation:.4f}", str(leak.exact).lower()),
            )
            for leak in report.leaks
        ]
        _write_csv(target, lines)
    doubled = [int(mask.sum()) for mask in report.in_training]
    return [replace(r, doubles=d) for r, d in zip(rows, doubled, strict=True)], report


def _write_csv(path: Path, lines: Sequence[tuple[str, ...]]) -> None:
    import csv  # noqa: PLC0415
    import io  # noqa: PLC0415

    from vin_batch.batch.atomic import write_atomic  # noqa: PLC0415

    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_atomic(path, text.getvalue().encode("utf-8"))


def _balance_text(packs: list[GlyphPack], alphabet: str) -> str:
    from vin_batch.training.datasets.summary import class_balance  # noqa: PLC0415

    counts = class_balance([pack.part(held_out=False) for pack in packs], alphabet)
    return "training images by class: " + ", ".join(f"{k} {n:,}" for k, n in counts.items())


def _leaks_text(report: LeakReport) -> str:
    if not report.leaks:
        return "no evaluation image, or near-duplicate of one, is in training"
    exact = sum(leak.exact for leak in report.leaks)
    lines = [
        f"{len(report.leaks):,} evaluation images are in training as well, {exact:,} of them "
        "pixel for pixel:"
    ]
    for (own, other), count in report.by_sources().most_common():
        lines.append(f"  {own} in {other}: {count:,}")
    return "\n".join(lines)
