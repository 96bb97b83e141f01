"""``vin-batch nightly``: one night over an archive that grows."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vin_batch.errors import DiskError, ExitCode

if TYPE_CHECKING:
    from vin_batch.nightly.settings import NightConfig
    from vin_batch.nightly.summary import NightSummary

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Reads what is new or changed in an archive since the last night, and keeps a catalogue of
where the current reading of every card lies. What to do is said in the tables [nightly] and
[run] of a TOML file; jobs/nightly.toml explains them.
"""
EPILOG = """\
The same command after an interruption finishes what was left. Exit code 3 means that cards
read tonight failed or folders could not be listed, 8 that the archive is empty or too many
known cards disappeared at once, 9 that another night is still at work. Where an [[export]]
failed, the readings are safe, the exit code is that of the export (7: the database or the
disk, 2: its settings or tables), and the next night, or the same command, hands on what is
missing.
"""


def add_parser(subparsers: Any) -> None:  # noqa: ANN401 - argparse does not name the type
    """Add the command."""
    from vin_batch.commands.run import add_talk_flags  # noqa: PLC0415

    parser = subparsers.add_parser(
        "nightly",
        help="read what is new or changed in an archive, night after night",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", required=True)
    parser.add_argument("--device", help="auto, cpu, or gpu; instead of the one in the file")
    parser.add_argument("--workers", type=int, metavar="N", help="instead of those in the file")
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="believe that cards are gone, however many disappeared; their readings stay",
    )
    add_talk_flags(parser)


def execute(args: argparse.Namespace) -> ExitCode:
    """Do one night."""
    from vin_batch.nightly.settings import load_night_config  # noqa: PLC0415

    config = load_night_config(args.config, {"device": args.device, "workers": args.workers})
    from vin_batch.commands._job import real_tools  # noqa: PLC0415 - after the cheap checks
    from vin_batch.nightly.exporters import exporters_of  # noqa: PLC0415
    from vin_batch.nightly.night import NightTools, run_night  # noqa: PLC0415
    from vin_batch.nightly.nightdir import NightDir  # noqa: PLC0415
    from vin_batch.nightly.summary import last_words  # noqa: PLC0415
    from vin_batch.report.textfile import require_place  # noqa: PLC0415

    if config.run.textfile is not None:
        require_place(config.run.textfile)
    exporters = exporters_of(config.exports)
    tools = NightTools(real_tools(args.progress), exporters=exporters, tell=_write_metrics)
    summary = run_night(config, tools, args.allow_missing)
    level = logging.INFO if summary.outcome is ExitCode.DONE else logging.WARNING
    for line in last_words(NightDir(config.output), summary).splitlines():
        logger.log(level, "%s", line)
    return summary.outcome


def _write_metrics(config: NightConfig, summary: NightSummary) -> None:
    from vin_batch.nightly.metrics import night_metrics  # noqa: PLC0415
    from vin_batch.nightly.nightdir import NightDir  # noqa: PLC0415
    from vin_batch.report.textfile import write_textfile  # noqa: PLC0415

    if config.run.textfile is None:
        return
    try:
        write_textfile(config.run.textfile, night_metrics(NightDir(config.output), summary))
    except DiskError as error:
        # It costs a line in the log and not the night: the age of the file tells.
        logger.error("%s | advice: %s", error.message, error.advice)
