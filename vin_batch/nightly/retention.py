"""What is removed from old nights: what can be made again, and what is superseded whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from vin_batch.batch.atomic import disk_errors
from vin_batch.batch.ledger import load_run, save_run
from vin_batch.batch.rundir import is_own_name
from vin_batch.nightly.catalogue import Catalogue
from vin_batch.nightly.nightdir import NightDir, remove_run

logger = logging.getLogger(__name__)

MADE_AGAIN: Final = ("readings.csv", "report.html")
"""Outputs of a run that the same command makes again from its readings; they are large."""


@dataclass(slots=True)
class Pruned:
    """What was removed.

    Attributes:
        runs: Runs that are gone; none of their readings was current.
        outputs: Runs whose CSV file and report are gone.
    """

    runs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


def current_runs(catalogue: Catalogue) -> set[str]:
    """Runs in which the current reading of some card lies."""
    found: set[str] = set()
    for table in catalogue.tables(("run",)):
        found.update(table.column("run").unique().to_pylist())
    return found


def superseded(names: Sequence[str], current: set[str], keep: int) -> list[str]:
    """Runs that may go.

    Args:
        names: All runs, oldest first.
        current: Those with current readings.
        keep: Latest runs that stay in any case.
    """
    old = names[: max(len(names) - keep, 0)]
    return [name for name in old if name not in current]


def prune(
    nights: NightDir, catalogue: Catalogue, keep: int | None, check: Callable[[], None]
) -> Pruned:
    """Remove what the rules of retention allow; a current reading is never touched.

    Args:
        nights: The directory of nights.
        catalogue: Up to date with every run.
        keep: Latest runs that keep everything; None for all.
        check: Called before every step; may raise to stop.

    Raises:
        DiskError: The system refused.
    """
    pruned = Pruned()
    if keep is None:
        return pruned
    names = nights.run_names()
    if not set(names) <= set(catalogue.runs):
        raise AssertionError("the catalogue is not up to date")
    gone = superseded(names, current_runs(catalogue), keep)
    for name in names[: max(len(names) - keep, 0)]:
        check()
        if name in gone and not _holds_more(nights, name):
            remove_run(nights, name)
            pruned.runs.append(name)
        elif _remove_outputs(nights, name):
            pruned.outputs.append(name)
    if pruned.runs:
        logger.info("removed %d runs whose cards were all read again", len(pruned.runs))
    return pruned


def _holds_more(nights: NightDir, name: str) -> bool:
    """Tell whether people left something in a run directory, such as corrections."""
    root = nights.run(name).root
    with disk_errors("read", root):
        return not all(is_own_name(path.name) for path in root.iterdir())


def _remove_outputs(nights: NightDir, name: str) -> bool:
    run = nights.run(name)
    there = [path for path in (run.root / output for output in MADE_AGAIN) if path.exists()]
    if not there:
        return False
    # First the record: a run that says it has its outputs must have them.
    save_run(run, replace(load_run(run), outputs_digest=""))
    for path in there:
        with disk_errors("remove", path):
            path.unlink()
    return True
