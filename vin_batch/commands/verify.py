"""``vin-batch verify``: check a run directory against itself."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from vin_batch.errors import ExitCode
from vin_batch.report.logs import say


def add_parser(subparsers: Any) -> None:  # noqa: ANN401 - argparse does not name the type
    """Add the command."""
    parser = subparsers.add_parser(
        "verify",
        help="check plan, receipts and readings of a run",
        epilog="Exits with 0 where all is well, 3 where shards or cards are missing or failed, "
        "7 where something is damaged.",
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR")


def execute(args: argparse.Namespace) -> ExitCode:
    """Print findings to stdout."""
    from vin_batch.batch.rundir import RunDir  # noqa: PLC0415
    from vin_batch.batch.verify import exit_code_of, verify_run  # noqa: PLC0415

    findings = []
    for finding in verify_run(RunDir(args.run_dir)):
        findings.append(finding)
        print(f"{finding.severity.name.lower()}: {finding.message}")
        if finding.advice:
            print(f"  advice: {finding.advice}")
    code = exit_code_of(findings)
    words = {ExitCode.DONE: "the run is complete and whole"}
    say(words.get(code, f"{len(findings)} findings"))
    return code
