"""``vin-batch corrections``: take in what people say about cards, and ask them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vin_batch.errors import ExitCode, UsageError
from vin_batch.report.logs import say

if TYPE_CHECKING:
    from vin_batch.corrections.records import Conflict

MAX_LINES: Final = 20
"""Warnings and conflicts that are shown; the others are counted."""


def add_parser(subparsers: Any) -> None:  # noqa: ANN401 - argparse does not name the type
    """Add the command."""
    parser = subparsers.add_parser(
        "corrections",
        help="import what people say about cards; write their queue",
        description="Corrections are a layer of their own, DIR/corrections/, beside the "
        "readings; every export applies it. DIR is a run directory, or a folder whose "
        "subfolders are runs.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("import", help="add the corrections of a CSV file")
    add.add_argument("file", type=Path, metavar="FILE")
    add.add_argument("--to", type=Path, required=True, metavar="DIR", help="where they belong")
    add.add_argument("--encoding", default="utf-8", help="of FILE, e.g. cp1251")
    add.add_argument(
        "--time-zone", metavar="ZONE", help="of times in FILE without one, e.g. Europe/Kyiv"
    )
    queue = actions.add_parser("export-queue", help="write the cards that wait for a person")
    queue.add_argument("directory", type=Path, metavar="DIR")
    queue.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    queue.add_argument("--limit", type=int, metavar="N", help="most rows")
    queue.add_argument(
        "--corrections", type=Path, action="append", default=[], metavar="DIR",
        help="further folder that holds corrections; may be repeated",
    )  # fmt: skip
    shown = actions.add_parser("conflicts", help="list cards about which people disagree")
    shown.add_argument("directory", type=Path, metavar="DIR")


def execute(args: argparse.Namespace) -> ExitCode:
    """Run the command.

    Raises:
        UsageError: A row of the file is wrong; then nothing of it was taken.
        DiskError: A run or a layer is damaged, or cannot be written.
    """
    actions = {"import": _import, "export-queue": _export_queue, "conflicts": _conflicts}
    return actions[args.action](args)


def _import(args: argparse.Namespace) -> ExitCode:
    from datetime import UTC, datetime  # noqa: PLC0415

    from vin_batch.corrections import incoming, known_cards, layer, records  # noqa: PLC0415
    from vin_batch.export.readings_csv import restore  # noqa: PLC0415
    from vin_batch.records import CheckDigitState  # noqa: PLC0415

    runs = known_cards.runs_below(args.to)
    dialect = incoming.Dialect(args.encoding, _zone(args.time_zone), restore)
    read = incoming.read_incoming(args.file, dialect, datetime.now(UTC))
    if read.problems:
        raise incoming.refuse(args.file, read.problems)
    skipped = f"; {read.skipped} rows without a vin passed over" if read.skipped else ""
    if layer.is_imported(args.to, read.source_sha256):
        say(f"nothing to do: {args.file} was imported before{skipped}")
        return ExitCode.DONE
    if not read.corrections:
        say(f"nothing to do: no row of {args.file} has a vin{skipped}")
        return ExitCode.DONE
    unknown = known_cards.unknown_cards((c.card_id for c in read.corrections), runs)
    if unknown:
        lines = [c for c in read.corrections if c.card_id in unknown]
        raise incoming.refuse(
            args.file, tuple(f"line {c.line}: no run has the card {c.card_id!r}" for c in lines)
        )
    invalid = [c for c in read.corrections if c.facts.check_digit is CheckDigitState.INVALID]
    _list(
        f"warning: line {c.line}: card {c.card_id}: the maker uses a check digit and it does "
        "not fit; imported as signed"
        for c in invalid
    )
    layer.append(args.to, read.corrections)
    named = {c.card_id for c in read.corrections}
    found = [c for c in records.conflicts(layer.load([args.to])) if c.card_id in named]
    _list(f"conflict: {_conflict_line(conflict)}" for conflict in found)
    say(f"imported {len(read.corrections)} corrections into {layer.layer_of(args.to)}{skipped}")
    return ExitCode.DONE


def _export_queue(args: argparse.Namespace) -> ExitCode:
    from vin_batch.corrections import known_cards, layer, records  # noqa: PLC0415
    from vin_batch.export.queue_csv import write_queue  # noqa: PLC0415
    from vin_batch.export.shards import open_finished  # noqa: PLC0415

    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit {args.limit} leaves no row", "Give 1 or more, or leave it out.")
    roots = [run.root for run in known_cards.runs_below(args.directory)]
    said = layer.load((args.directory, *roots, *args.corrections))
    runs = [open_finished(root, partial=True) for root in roots]
    rows = write_queue(args.output, runs, records.deciding(said), args.limit)
    say(f"wrote {args.output}: {rows} cards wait for a person")
    return ExitCode.DONE


def _conflicts(args: argparse.Namespace) -> ExitCode:
    from vin_batch.corrections import layer, records  # noqa: PLC0415

    found = records.conflicts(layer.load([args.directory]))
    for conflict in found:
        print(_conflict_line(conflict))
    say(f"{len(found)} cards with statements that disagree")
    return ExitCode.DONE


def _conflict_line(conflict: Conflict) -> str:
    # Names of people and cards, not VINs: this goes to logs.
    said = ", then ".join(
        f"{s.reviewer} at {s.signed_at.isoformat()}" for s in reversed(conflict.statements)
    )
    return f"card {conflict.card_id}: {said}; the last one decides"


def _zone(name: str | None) -> tzinfo | None:
    import zoneinfo  # noqa: PLC0415

    try:
        return None if name is None else zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"{name!r} is no time zone", "Give one of the IANA list, e.g. Europe/Kyiv."
        ) from error


def _list(lines: Iterable[str]) -> None:
    found = list(lines)
    for line in found[:MAX_LINES]:
        say(line)
    if len(found) > MAX_LINES:
        say(f"and {len(found) - MAX_LINES} more such lines")
