"""Names of everything in a run directory."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OUTPUT_NAMES: Final = ("readings.csv", "summary.json", "report.html")
LOCK_NAME: Final = "lock"
OWN_NAMES: Final = frozenset(
    ("run.json", "plan.parquet", LOCK_NAME, "readings", "receipts", *OUTPUT_NAMES)
)
_PART: Final = re.compile(r"part-([0-9]{5,})\.(?:parquet|json)")
_UNFINISHED: Final = re.compile(r"\.part-([0-9]{5,})\.(?:parquet|json)\.")


@dataclass(frozen=True, slots=True)
class RunDir:
    """A run directory: the truth about a run, and all of it."""

    root: Path

    @property
    def run_json(self) -> Path:
        """Configuration, fingerprint, model digest, versions, totals."""
        return self.root / "run.json"

    @property
    def plan(self) -> Path:
        """The frozen list of cards."""
        return self.root / "plan.parquet"

    @property
    def lock(self) -> Path:
        """Locked while a process works on the run."""
        return self.root / LOCK_NAME

    @property
    def readings_dir(self) -> Path:
        """One Parquet file per finished shard."""
        return self.root / "readings"

    @property
    def receipts_dir(self) -> Path:
        """One JSON file per finished shard, written last."""
        return self.root / "receipts"

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Files derived from a complete run."""
        return tuple(self.root / name for name in OUTPUT_NAMES)

    def readings(self, shard: int) -> Path:
        """Readings of one shard."""
        return self.readings_dir / f"part-{shard:05d}.parquet"

    def receipt(self, shard: int) -> Path:
        """Receipt of one shard."""
        return self.receipts_dir / f"part-{shard:05d}.json"

    def is_run(self) -> bool:
        """Tell whether a run was begun here.

        Raises:
            OSError: The disk does not tell: nobody may take that for a no.
        """
        try:
            return stat.S_ISREG(self.run_json.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False


def is_own_name(name: str) -> bool:
    """Tell whether a run that was interrupted early may have left this name behind."""
    temporary = name.startswith(".") and name.endswith(".tmp")
    return name in OWN_NAMES or name.startswith(f"{LOCK_NAME}.") or temporary


def shard_of(name: str) -> int | None:
    """Shard number in a part's file name, None for any other name."""
    match = _PART.fullmatch(name)
    return int(match[1]) if match else None


def shard_of_temporary(name: str) -> int | None:
    """Shard number in the name of a part that is being written, None for any other name."""
    match = _UNFINISHED.match(name)
    return int(match[1]) if match else None


def parts(folder: Path) -> Iterator[tuple[int, Path]]:
    """Parts in a folder, in shard order; nothing where the folder does not exist."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    found = ((shard_of(name), folder / name) for name in names)
    yield from sorted((shard, path) for shard, path in found if shard is not None)
