"""Which of the cards that people named are cards of a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from vin_batch.batch.atomic import disk_errors
from vin_batch.batch.plan import Plan
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import UsageError

SEARCH_DEPTH: Final = 3
"""How many folders below a shared folder its runs may lie."""


def runs_below(directory: Path) -> list[RunDir]:
    """The run that a directory is, or the runs in the folders below it.

    Raises:
        UsageError: There is none.
        DiskError: A folder cannot be listed.
    """
    with disk_errors("list", directory):
        runs = sorted(_search(directory, SEARCH_DEPTH), key=lambda run: run.root)
    if not runs:
        raise UsageError(
            f"{directory} is no run directory, and there is none below it",
            "Give a directory that `vin-batch run` wrote, or a folder that holds such.",
        )
    return runs


def unknown_cards(cards: Iterable[str], runs: Iterable[RunDir]) -> set[str]:
    """Those of the cards that no run has in its plan; memory does not grow with the runs.

    Raises:
        DiskError: A plan is damaged.
    """
    unknown = set(cards)
    for run in runs:
        if not unknown:
            break
        unknown.difference_update(card.card_id for card in Plan(run))
    return unknown


def _search(directory: Path, depth: int) -> Iterator[RunDir]:
    run = RunDir(directory)
    if run.is_run():
        yield run
    elif depth:
        with os.scandir(directory) as entries:
            folders = [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
        for folder in folders:
            yield from _search(folder, depth - 1)
