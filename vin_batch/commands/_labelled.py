"""What ``evaluate --cards`` and ``calibrate`` share: a labelled archive, read as in production."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vin_batch.config import RunConfig


def add_reading_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how the archive is read."""
    parser.add_argument("--device", help="auto (default), cpu, or gpu, which must be there")
    parser.add_argument(
        "--inference",
        metavar="WHO",
        help="with --cards: tensorflow, litert or auto (default), as in `vin-batch run`",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="with --cards: leave out cards that the truth does not name",
    )


def labels_of(archive: Path, truth: Path, *, partial: bool) -> dict[str, str]:
    """Read a truth and check it against its archive, before anything expensive begins.

    Raises:
        UsageError: They do not belong together.
        ArchiveError: The archive cannot be read.
    """
    from vin_batch.training.labelled import archive_cards  # noqa: PLC0415
    from vin_batch.training.truth import check_cards, load_truth  # noqa: PLC0415

    labels = load_truth(truth)
    check_cards(labels, archive_cards(archive), partial=partial)
    return labels


def reading_config(args: argparse.Namespace, archive: Path, run_dir: Path) -> RunConfig:
    """Settings for reading a labelled archive."""
    from vin_batch.config import load_config  # noqa: PLC0415

    flags = {
        "archive": archive,
        "output": run_dir,
        "model": args.model,
        "device": args.device,
        "inference": args.inference,
        "workers": args.workers,
        "second_reader": getattr(args, "second_reader", None),
    }
    return load_config(None, flags)


@contextmanager
def run_directory(named: Path | None) -> Iterator[Path]:
    """A named run directory, or one that is gone afterwards."""
    if named is not None:
        yield named
        return
    with TemporaryDirectory(prefix="vin-batch-") as folder:
        yield Path(folder) / "run"
