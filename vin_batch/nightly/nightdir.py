"""Names of everything in a directory of nights."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vin_batch.batch.atomic import disk_errors, make_folder, sweep, sync_folder
from vin_batch.batch.rundir import RunDir, parts
from vin_batch.errors import DiskError, UsageError

CURRENT_KINDS: Final = ("csv", "parquet")
"""Formats in which the current readings can be written."""
_FILES: Final = (
    "catalogue.parquet",
    "current.json",
    "exports.json",
    "lock",
    "missing.csv",
    *(f"current.{kind}" for kind in CURRENT_KINDS),
)
_OWN_NAMES: Final = frozenset((*_FILES, "runs", "nights", "corrections"))
_NUMBER: Final = re.compile(r"([0-9]{6,})(?:\.json)?")
_TRASH: Final = ".removed-"


@dataclass(frozen=True, slots=True)
class NightDir:
    """A directory of nights.

    Runs and nights share one sequence of numbers: a date would repeat itself when a night is
    started twice, and run backwards with the clock.
    """

    root: Path

    @property
    def runs(self) -> Path:
        """One run directory per night that read something, and those alone are the truth."""
        return self.root / "runs"

    @property
    def nights(self) -> Path:
        """One summary per night."""
        return self.root / "nights"

    @property
    def catalogue(self) -> Path:
        """Where the current reading of every card lies; made from the runs."""
        return self.root / "catalogue.parquet"

    @property
    def lock(self) -> Path:
        """Locked while a night is at work."""
        return self.root / "lock"

    @property
    def missing(self) -> Path:
        """Cards that were read once and are not in the archive now; made from the catalogue."""
        return self.root / "missing.csv"

    @property
    def current_stamp(self) -> Path:
        """Says from which readings the files of current readings were made; written last."""
        return self.root / "current.json"

    @property
    def exports(self) -> Path:
        """Which runs were handed on as packages."""
        return self.root / "exports.json"

    @property
    def selection(self) -> Path:
        """Tonight's cards until their run has frozen them; swept like any unfinished file."""
        return self.root / ".selection.parquet.tmp"

    def current(self, kind: str) -> Path:
        """The current reading of every card, in one of ``CURRENT_KINDS``."""
        return self.root / f"current.{kind}"

    def summary(self, night: str) -> Path:
        """What became of a night."""
        return self.nights / f"{night}.json"

    def run(self, name: str) -> RunDir:
        """A run directory by its name."""
        return RunDir(self.runs / name)

    def run_names(self) -> list[str]:
        """Names of the runs that were begun, oldest first."""
        return [name for name in _numbered(self.runs) if self.run(name).is_run()]

    def night_names(self) -> list[str]:
        """Names of the nights that left a summary, oldest first."""
        return _numbered(self.nights)

    def next_name(self) -> str:
        """The name of the next night and its run."""
        taken = [*_numbered(self.runs), *_numbered(self.nights)]
        return f"{max(map(int, taken), default=0) + 1:06d}"


def prepare_root(nights: NightDir) -> None:
    """Make the directory; refuse one that holds something else.

    Raises:
        UsageError: It holds other files and no nights.
        DiskError: It cannot be made or listed.
    """
    make_folder(nights.root)
    with disk_errors("read", nights.root):
        foreign = sorted(path.name for path in nights.root.iterdir() if not _is_own(path.name))
    if foreign and not nights.runs.is_dir():
        raise UsageError(
            f"{nights.root} is not empty and holds no nights (it holds {foreign[0]})",
            "Give a new or empty directory as `output`.",
        )


def prepare_locked(nights: NightDir) -> None:
    """What may be done only by the holder of the lock: folders made, left-overs removed.

    Raises:
        DiskError: The system refused, or a run lost its ``run.json``.
    """
    for folder in (nights.runs, nights.nights):
        make_folder(folder)
    sweep((nights.root, nights.nights))
    for path in sorted(nights.runs.glob(f"{_TRASH}*")):
        with disk_errors("remove", path):
            shutil.rmtree(path)
    for name in _numbered(nights.runs):
        if not nights.run(name).is_run():
            _remove_unbegun(nights, name)


def remove_run(nights: NightDir, name: str) -> None:
    """Remove a run directory so that it is either there or gone, whatever happens meanwhile.

    Raises:
        DiskError: The system refused.
    """
    path = nights.runs / name
    with disk_errors("remove", path):
        trash = path.rename(nights.runs / f"{_TRASH}{name}")
        sync_folder(nights.runs)
        shutil.rmtree(trash)


def require_nights(root: Path) -> NightDir:
    """The directory of nights at a path.

    Raises:
        UsageError: There is none.
    """
    nights = NightDir(root)
    if not nights.runs.is_dir():
        raise UsageError(
            f"{root} holds no nights: it has no folder runs",
            "Give the directory that is `output` in the nightly configuration.",
        )
    return nights


def _remove_unbegun(nights: NightDir, name: str) -> None:
    """Remove what a night left that ended before its plan was frozen."""
    run = nights.run(name)
    if any(True for _ in parts(run.receipts_dir)):
        raise DiskError(
            f"{run.root} holds receipts, but its run.json is missing",
            "Restore run.json from a backup; or, to read the cards of this run again, move "
            "the directory out of runs/.",
        )
    remove_run(nights, name)


def _numbered(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    matches = (_NUMBER.fullmatch(path.name) for path in folder.iterdir())
    return sorted((match[1] for match in matches if match), key=int)


def _is_own(name: str) -> bool:
    return name in _OWN_NAMES or (name.startswith(".") and name.endswith(".tmp"))
