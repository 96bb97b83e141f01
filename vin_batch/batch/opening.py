"""Beginning a run, or taking it up again: what must hold before any shard is worked on."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from vin_batch._version import __version__
from vin_batch.archive import ArchiveRoot, WalkTotals, open_archive, walk
from vin_batch.batch.about import note
from vin_batch.batch.atomic import disk_errors, make_folder, sweep
from vin_batch.batch.changes import MAX_EXAMPLES
from vin_batch.batch.host import host_name, now, versions
from vin_batch.batch.ledger import RunRecord, load_run, save_run
from vin_batch.batch.plan import Plan, Selection, write_plan
from vin_batch.batch.resume import (
    check_finished,
    compare_archive,
    compare_fingerprints,
    finished_shards,
    heeding,
    open_plan,
    refuse_device_errors,
)
from vin_batch.batch.rundir import RunDir, is_own_name, parts
from vin_batch.batch.share import Share
from vin_batch.classifier.model_card import ModelCard
from vin_batch.config import RunConfig, default_workers
from vin_batch.errors import ArchiveError, DiskError, UsageError
from vin_batch.records import CardRef
from vin_batch.second_reader.parameters import Parameters

logger = logging.getLogger(__name__)

TELL_SECONDS: Final = 60.0
"""Least time between two log lines about one walk."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that may be worked on.

    Attributes:
        run: Its directory.
        config: Settings of this session.
        record: ``run.json`` as of now.
        plan: The frozen plan.
        root: The archive.
        done: Shards of the share with a valid receipt, and their number of cards.
        share: The part of the run that this process works on.
        began: When, on the ``time.monotonic`` clock: the wall clock may be set back meanwhile.
    """

    run: RunDir
    config: RunConfig
    record: RunRecord
    plan: Plan
    root: ArchiveRoot
    done: Mapping[int, int]
    share: Share
    began: float = field(default_factory=time.monotonic)


def prepare_directory(run: RunDir) -> None:
    """Make the run directory; refuse one that holds something else.

    Raises:
        UsageError: It holds other files and no run.
        DiskError: It cannot be made, or has receipts but lost its ``run.json``.
    """
    make_folder(run.root)
    with disk_errors("read", run.root):
        foreign = sorted(path.name for path in run.root.iterdir() if not is_own_name(path.name))
    if foreign and not run.is_run():
        raise UsageError(
            f"{run.root} is not empty and holds no run (it holds {foreign[0]})",
            "Give a new or empty directory with -o.",
        )


def prepare_locked(run: RunDir, owns: Callable[[str], bool] = lambda _: True) -> None:
    """What may be done to a run directory only by the holder of its lock.

    Args:
        run: The run directory.
        owns: Whether the lock covers an unfinished file of that name.

    Raises:
        DiskError: The system refused, or there are receipts without ``run.json``.
    """
    folders = (run.root, run.readings_dir, run.receipts_dir)
    if not run.is_run() and any(True for _ in parts(run.receipts_dir)):
        raise DiskError(
            f"{run.root} holds receipts, but its run.json is missing",
            "Restore run.json from a backup, or give a new RUN_DIR.",
        )
    swept = sweep(folders, owns)
    if swept:
        logger.info("removed %d unfinished files of an interrupted run", swept)
    for folder in folders[1:]:
        make_folder(folder)


def open_run(
    config: RunConfig,
    card: ModelCard,
    again: Collection[int],
    check: Callable[[], None],
    second: Parameters | None = None,
    *,
    selection: Selection | None = None,
    share: Share | None = None,
) -> OpenRun:
    """Begin a run, or take it up again after making sure that it is still the same one.

    Args:
        config: The settings.
        card: The model.
        again: Shards that will be read again, so that their files may have changed.
        check: Called now and then; may raise to stop.
        second: The second reader, where one takes part.
        selection: The cards of a new run; None for all of the archive.
        share: The part of the run that this process works on; None for all of it.

    Returns:
        The run, open.

    Raises:
        ChangedUnderRunError: Archive, model or configuration are not those of the run.
        ArchiveError: The archive cannot be walked or holds no card.
        DiskError: The run directory is damaged or cannot be written.
    """
    run = RunDir(config.output)
    share = share or Share(run, None, check)
    root = open_archive(config.archive)
    fingerprint = config.fingerprint(card, second)
    # What another slice has planned since this process started needs no comparison.
    is_old = run.is_run()
    with share.common():
        if run.is_run():
            record = load_run(run)
            note(run_id=record.run_id)
            compare_fingerprints(record, fingerprint)
            plan = open_plan(run, record)
        else:
            chosen = selection or _all_cards(config, root)
            record, plan = _begin(run, config, card, chosen, fingerprint, check=check)
    if is_old and config.changes == "stop":
        logger.info("comparing %s with the plan", config.archive)
        compare_archive(plan, root, config.limit, telling(check, "compared with the plan"))
    record = replace(
        record,
        archive=os.fspath(config.archive),
        config=config.as_dict(),
        model={**record.model, "directory": os.fspath(card.directory)},
        sessions=(*record.sessions, _session(config)),
    )
    done = finished_shards(run, record, plan, share.holds)
    if config.changes == "stop":
        watched = telling(check, "of finished shards looked at again")
        check_finished(run, plan, root, set(done) - set(again), watched)
    with share.common():
        record = share.merged(record)
        save_run(run, record)
    if done:
        mine = sum(share.holds(shard) for shard in range(plan.shards))
        logger.info("%d of %d shards are done already", len(done), mine)
    return OpenRun(run, config, record, plan, root, done, share)


def telling(check: Callable[[], None], what: str) -> Callable[[], None]:
    """A check that also says in the log now and then how many cards it was called for.

    Args:
        check: Called for each card; may raise to stop.
        what: What was done to these cards, e.g. ``found so far``.
    """
    cards, told = 0, time.monotonic()

    def ask() -> None:
        nonlocal cards, told
        check()
        cards += 1
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            logger.info("%d cards %s", cards, what)

    return ask


def run_id_of(plan_digest: str, fingerprint: Mapping[str, Any]) -> str:
    """Digest over plan, model and configuration, 32 hex digits."""
    document = json.dumps({"plan": plan_digest, **fingerprint}, sort_keys=True)
    return hashlib.blake2b(document.encode(), digest_size=16).hexdigest()


def _begin(
    run: RunDir,
    config: RunConfig,
    card: ModelCard,
    selection: Selection,
    fingerprint: Mapping[str, Any],
    *,
    check: Callable[[], None],
) -> tuple[RunRecord, Plan]:
    cards = heeding(selection.cards, telling(check, "found so far"))
    summary = write_plan(run, cards, config.shard_size)
    record = RunRecord(
        run_id=run_id_of(summary.digest, fingerprint),
        created_at=now(),
        package_version=__version__,
        archive=os.fspath(config.archive),
        config=config.as_dict(),
        fingerprint=fingerprint,
        model={
            "id": card.model_id,
            "name": card.name,
            "sha256": card.sha256,
            "directory": os.fspath(card.directory),
        },
        plan={
            "cards": summary.cards,
            "shards": summary.shards,
            "digest": summary.digest,
            "sha256": summary.sha256,
        },
        walk=selection.totals.as_dict(),
        not_before=selection.not_before,
    )
    note(run_id=record.run_id)
    save_run(run, record)
    logger.info("planned %d cards in %d shards", summary.cards, summary.shards)
    if selection.totals.unreadable_folders:
        logger.warning(
            "%d folders of the archive could not be listed, their cards are missing: %s",
            selection.totals.unreadable_folders,
            "; ".join(selection.totals.unreadable_examples[:MAX_EXAMPLES]),
        )
    return record, Plan(run)


def _all_cards(config: RunConfig, root: ArchiveRoot) -> Selection:
    logger.info("walking %s", config.archive)
    totals = WalkTotals()
    cards = islice(walk(root, totals), config.limit)
    return Selection(_counted(cards, totals, config), totals)


def _counted(cards: Iterator[CardRef], totals: WalkTotals, config: RunConfig) -> Iterator[CardRef]:
    yield from cards
    # A plan is frozen: one that was made while a share was away would lack its cards for good.
    refuse_device_errors(totals)
    if totals.cards == 0:
        lost = f", and {totals.unreadable_folders} folders could not be listed"
        raise ArchiveError(
            f"archive {config.archive} holds no card" + (lost if totals.unreadable_folders else ""),
            "A card is a folder that holds image files (png, jpg, tif, bmp, webp).",
        )


def _session(config: RunConfig) -> dict[str, Any]:
    return {
        # Two sessions of one process may start within a second, which times cannot tell apart.
        "id": secrets.token_hex(8),
        "started_at": now(),
        "finished_at": None,
        "outcome": None,
        "host": host_name(),
        "pid": os.getpid(),
        "engine": config.engine,
        "slice": config.slice,
        "workers": config.workers,
        # Each process that works on a cluster has a core of its own there.
        "cores": 1 if config.engine == "ray" else default_workers(),
        "versions": versions(),
    }
