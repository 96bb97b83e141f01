"""``vin-batch pack``: card folders into few large files."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vin_batch.errors import ExitCode, UsageError
from vin_batch.report.logs import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from vin_batch.batch.packing import PackOutcome

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Writes plain tar files of about 10,000 cards each, with an index beside each of them.
`vin-batch run` reads them like the folders: same card ids, same readings, and much faster from
cold or distant disks. A pack counts as unpacked in the folder where it lies, or in the one
above if that is called `packs`; packs and card folders may be mixed, but no card may be both.
Only folders that are cards are packed, with all of their files.
"""
EPILOG = """\
The same command goes on after an interruption. Exits with 3 where a file could not be read: its
pack says so, its card reads as it would from the folder, and the same command tries once more.
"""


def add_parser(subparsers: Any) -> None:  # noqa: ANN401 - argparse does not name the type
    """Add the command."""
    parser = subparsers.add_parser(
        "pack",
        help="put card folders into few large files",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="ARCHIVE OUT", help="root of the card folders"
    )
    parser.add_argument(
        "--check", action="store_true", help="compare the packs of OUT with their indexes"
    )
    parser.add_argument(
        "--cards", type=int, default=None, metavar="N", help="cards per pack (10000)"
    )
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="progress bar (default: on a terminal only)",
    )


def execute(args: argparse.Namespace) -> ExitCode:
    """Pack, or check packs."""
    wanted = 1 if args.check else 2
    if len(args.folders) != wanted:
        raise UsageError("give ARCHIVE and OUT, or --check and OUT")
    if args.check:
        return _check(args.folders[0], args.progress)
    from vin_batch.archive import open_folders  # noqa: PLC0415
    from vin_batch.batch.packing import DEFAULT_CARDS, pack_archive  # noqa: PLC0415

    cards = DEFAULT_CARDS if args.cards is None else args.cards
    if cards < 1:
        raise UsageError(f"--cards must be at least 1, not {cards}")
    root = open_folders(args.folders[0])
    with _telling("packing", args.progress) as tell:
        outcome = pack_archive(root, args.folders[1], cards, tell)
    _say_what_came(outcome, args.folders[1])
    return ExitCode.DONE if outcome.is_complete else ExitCode.FINISHED_WITH_FAILURES


def _say_what_came(outcome: PackOutcome, out: Path) -> None:
    kept = f", {outcome.kept} of them kept" if outcome.kept else ""
    say(
        f"{outcome.cards} cards in {outcome.packs} packs{kept}, "
        f"{outcome.tar_bytes / 2**20:.1f} MiB: {out}"
    )
    totals = outcome.totals
    if totals.links_skipped:
        say(f"{totals.links_skipped} links were left out, as a run leaves them out")
    if outcome.unreadable:
        shown = ", ".join(outcome.examples)
        logger.warning("%d files could not be read: %s", outcome.unreadable, shown)
    if outcome.lost:
        shown = ", ".join(outcome.lost[:5])
        logger.warning("%d cards are in no pack: %s", len(outcome.lost), shown)
    if totals.unreadable_folders:
        logger.warning(
            "%d folders could not be listed, their cards are in no pack: %s",
            totals.unreadable_folders,
            "; ".join(totals.unreadable_examples[:5]),
        )


def _check(folder: Path, progress: bool | None) -> ExitCode:
    from vin_batch.batch.packing import check_packs  # noqa: PLC0415

    code = ExitCode.DONE
    with _telling("checking", progress) as tell:
        for path, words, is_damaged in check_packs(folder, tell):
            print(f"{'damaged' if is_damaged else 'incomplete'}: {path}: {words}")
            if is_damaged:
                code = ExitCode.DISK
            elif code is ExitCode.DONE:
                code = ExitCode.FINISHED_WITH_FAILURES
    if code is ExitCode.DONE:
        say("all packs are whole")
    return code


@contextmanager
def _telling(what: str, enabled: bool | None) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, a log line now and then elsewhere."""
    from tqdm import tqdm  # noqa: PLC0415

    from vin_batch.report.progress import LOG_SECONDS  # noqa: PLC0415

    with_bar = sys.stderr.isatty() if enabled is None else enabled
    done, told = 0, time.monotonic()
    with tqdm(desc=what, unit=" cards", file=sys.stderr, disable=not with_bar) as bar:

        def tell(cards: int) -> None:
            nonlocal done, told
            done += cards
            bar.update(cards)
            if not with_bar and time.monotonic() - told >= LOG_SECONDS:
                told = time.monotonic()
                logger.info("%s: %d cards so far", what, done)

        yield tell
