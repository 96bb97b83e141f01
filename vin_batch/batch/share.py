"""What one process does of a run: all of it, or a slice of it beside other processes."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vin_batch.batch.atomic import TMP_SUFFIX, current_mode, disk_errors
from vin_batch.batch.ledger import RunRecord, load_run
from vin_batch.batch.lock import hold, hold_common, hold_slice
from vin_batch.batch.rundir import RunDir, shard_of_temporary
from vin_batch.config import RunConfig
from vin_batch.slices import Slice, parse_slice

logger = logging.getLogger(__name__)

COMMON_TEMPORARIES: Final = (".plan.parquet.tmp", ".run.json.tmp")
"""What a slice that died leaves of files that belong to all."""


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a run that this process works on.

    Attributes:
        run: The run directory.
        part: A slice; None for all of the run.
        check: Called while others are waited for; may raise to stop.
    """

    run: RunDir
    part: Slice | None
    check: Callable[[], None]

    def holds(self, shard: int) -> bool:
        """Tell whether a shard is this process's business."""
        return self.part is None or self.part.holds(shard)

    def owns_temporary(self, name: str) -> bool:
        """Tell whether nobody else can be writing a file of that temporary name.

        What belongs to all slices counts as this one's: ask within ``common``.
        """
        if self.part is None or name in COMMON_TEMPORARIES:
            return True
        shard = shard_of_temporary(name)
        return shard is not None and self.part.holds(shard)

    def lock(self) -> AbstractContextManager[None]:
        """Keep others from the same part of the run.

        Raises:
            LockedError: Somebody works on it.
            DiskError: The system refused.
        """
        lock = self.run.lock
        return hold(lock) if self.part is None else hold_slice(lock, self.part)

    def common(self) -> AbstractContextManager[bool]:
        """Have what belongs to all slices to oneself, for a while.

        Returns:
            A context that tells whether it had to wait for another slice.

        Raises:
            DiskError: The system refused.
        """
        return nullcontext(False) if self.part is None else self._common()

    @contextmanager
    def _common(self) -> Iterator[bool]:
        with hold_common(self.run.lock, self.check, self._tell) as waited:
            for folder in (self.run.root, self.run.readings_dir, self.run.receipts_dir):
                look_afresh(folder)
            yield waited

    def _tell(self) -> None:
        logger.info("waiting for another slice, which plans or finishes the run")

    def merged(self, record: RunRecord) -> RunRecord:
        """The record with what other slices have written since; ask within ``common``.

        Args:
            record: What this process knows; its latest session is its own.
        """
        if self.part is None:
            return record
        latest, mine = load_run(self.run), record.sessions[-1]
        others = tuple(each for each in latest.sessions if each.get("id") != mine["id"])
        return replace(
            latest,
            archive=record.archive,
            config=record.config,
            model=record.model,
            sessions=(*others, mine),
        )


def share_of(config: RunConfig, check: Callable[[], None]) -> Share:
    """The share that a configuration asks for."""
    part = None if config.slice is None else parse_slice(config.slice)
    return Share(RunDir(config.output), part, check)


def look_afresh(folder: Path) -> None:
    """Make a network file system tell which names a folder holds now.

    An NFS client may remember a folder for a minute; a change of its own makes it compare
    with the server.

    Raises:
        DiskError: The system refused.
    """
    if not folder.is_dir():
        return
    probe = folder / f".look.{secrets.token_hex(8)}{TMP_SUFFIX}"
    with disk_errors("write", probe):
        probe.touch(mode=current_mode(), exist_ok=False)
        probe.unlink()
