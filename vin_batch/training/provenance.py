"""Where a model comes from: the command, the version, the revision, the date.

What is trained or calibrated is worth as much as the record of how; ``model.json`` keeps it.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from vin_batch import __version__

PROGRAM: Final = "vin-batch"
GIT_SECONDS: Final = 20.0
"""After so long a git that does not answer (a network disk) is given up."""
CHANGED: Final = "+changes"
"""Follows a revision when the package's files differ from it."""


def provenance(arguments: Sequence[str] | None = None) -> dict[str, str | None]:
    """Facts about this very invocation.

    Args:
        arguments: The command line after the program's name; this process's when None.

    Returns:
        ``command``, ``version``, ``revision`` (git commit of the package's source, with
        ``CHANGED`` behind it where files differ from that commit, or None where it is not
        known) and ``date`` (UTC, ISO 8601).
    """
    words = sys.argv[1:] if arguments is None else arguments
    return {
        "command": shlex.join([PROGRAM, *words]),
        "version": __version__,
        "revision": source_revision(Path(__file__).resolve().parents[1]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def source_revision(package: Path) -> str | None:
    """Find the git commit of a package's source.

    Args:
        package: The folder of its modules.

    Returns:
        40 hex digits, perhaps with ``CHANGED`` behind them. None without git, outside a work
        tree, or where the package only lies in somebody else's (a virtual environment inside
        a project): then the commit would say nothing about it.
    """
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(package, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(package, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return commit + (CHANGED if changes != "" else "")


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command; None where it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
