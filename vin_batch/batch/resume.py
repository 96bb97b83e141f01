"""Taking a run up again: it must still be the same archive, model and configuration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from vin_batch.archive import ArchiveRoot, ListingChangedError, WalkTotals, walk
from vin_batch.batch.atomic import disk_errors
from vin_batch.batch.changes import (
    MAX_EXAMPLES,
    Changes,
    changed_contents,
    compare_listings,
    current_stamps,
)
from vin_batch.batch.ledger import RunRecord, is_valid
from vin_batch.batch.plan import Plan
from vin_batch.batch.receipts import Receipt, load_receipt, save_receipt
from vin_batch.batch.rundir import RunDir, parts
from vin_batch.classifier.model_card import sha256_of
from vin_batch.errors import ArchiveError, ChangedUnderRunError, DiskError
from vin_batch.records import CardRef

logger = logging.getLogger(__name__)

CONTENT_ADVICE: Final = (
    "If the files were repaired, `vin-batch retry` reads the shards with failed cards again. "
    "Otherwise put the old files back, or read the archive as it is now into a new RUN_DIR."
)


def heeding(cards: Iterable[CardRef], check: Callable[[], None]) -> Iterator[CardRef]:
    """Pass cards on, asking before each whether to stop: any one may take long to look at."""
    for card in cards:
        check()
        yield card


def compare_fingerprints(record: RunRecord, fingerprint: Mapping[str, Any]) -> None:
    """Refuse to go on with another model or configuration.

    Raises:
        ChangedUnderRunError: Something that changes results differs; the message has both
            values.
    """
    old, new = dict(record.fingerprint), dict(fingerprint)
    differences = [
        f"{name} was {old.get(name)!r}, is {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if differences:
        raise ChangedUnderRunError(
            f"this run began with another model or configuration: {'; '.join(differences)}",
            "Give the model and settings that the run began with, or a new RUN_DIR.",
        )


def open_plan(run: RunDir, record: RunRecord) -> Plan:
    """Open the frozen plan of a run.

    Raises:
        DiskError: It is missing or damaged.
    """
    with disk_errors("read", run.plan):
        actual = sha256_of(run.plan)
    if actual != record.plan["sha256"]:
        raise DiskError(
            f"{run.plan} is damaged: its digest is not the one in run.json",
            "Restore plan.parquet from a backup, or start again in a new RUN_DIR.",
        )
    return Plan(run)


def compare_archive(
    plan: Plan, root: ArchiveRoot, limit: int | None, check: Callable[[], None]
) -> None:
    """Refuse to go on if the archive lists other cards or files than the plan.

    Raises:
        ChangedUnderRunError: It does; the message counts them and names a few.
        ArchiveError: The disk or the network does not tell.
    """
    totals = WalkTotals()
    changes = compare_listings(plan, heeding(islice(walk(root, totals), limit), check))
    refuse_device_errors(totals)
    if totals.unreadable_folders:
        examples = "; ".join(totals.unreadable_examples[:MAX_EXAMPLES])
        changes.remark = f"{totals.unreadable_folders} folders cannot be listed ({examples})"
    changes.raise_if_any()


def refuse_device_errors(totals: WalkTotals) -> None:
    """Refuse a walk during which the disk or the network failed.

    Raises:
        ArchiveError: It did: cards are missing that may be there tomorrow.
    """
    if totals.device_errors:
        raise ArchiveError(
            f"{totals.device_errors} folders of the archive could not be listed: "
            + "; ".join(totals.unreadable_examples[:MAX_EXAMPLES]),
            "Repair the disk or the mount; the same command then goes on.",
        )


def finished_shards(
    run: RunDir, record: RunRecord, plan: Plan, mine: Callable[[int], bool] = lambda _: True
) -> dict[int, int]:
    """Find the shards that are done, and remove receipts that do not hold.

    Args:
        run: The run directory.
        record: Its ``run.json``.
        plan: Its plan.
        mine: Whether a shard is this process's business; others may be at work on the rest.

    Returns:
        Number of cards by shard.
    """
    done = {}
    for shard, path in parts(run.receipts_dir):
        if not mine(shard):
            continue
        receipt = load_receipt(run, shard) if shard < plan.shards else None
        if receipt and is_valid(run, receipt, record.run_id, plan.rows(shard)):
            done[shard] = receipt.cards
        else:
            logger.warning("receipt %s does not hold: its shard is read again", path.name)
            with disk_errors("remove", path):
                path.unlink()
    return done


def check_finished(
    run: RunDir,
    plan: Plan,
    root: ArchiveRoot,
    shards: Collection[int],
    check: Callable[[], None],
) -> None:
    """Refuse to go on if files of finished shards hold other bytes than were read.

    Only shards whose sizes or times differ are read again; the same bytes under new times,
    as after a restore, are no change.

    Raises:
        ChangedUnderRunError: Some do; the message names the cards.
    """
    changes = Changes()
    for shard in sorted(shards):
        receipt = load_receipt(run, shard)
        if receipt is not None and receipt.stat_digest:
            _check_shard(run, root, plan.load(shard), receipt, changes, check=check)
    changes.raise_if_any(CONTENT_ADVICE)


def _check_shard(
    run: RunDir,
    root: ArchiveRoot,
    cards: tuple[CardRef, ...],
    receipt: Receipt,
    changes: Changes,
    *,
    check: Callable[[], None],
) -> None:
    digests = receipt.contents()
    try:
        stamps = current_stamps(root, heeding(cards, check))
    except ListingChangedError as error:
        changes.note("with other files", str(error))
        return
    if stamps == receipt.stat_digest or digests is None:
        return
    changed = list(changed_contents(root, heeding(cards, check), digests))
    for card_id in changed:
        changes.note("with changed contents", card_id)
    if not changed:
        # The same bytes under new times, as after a restore: remember the new times.
        save_receipt(run, replace(receipt, stat_digest=stamps))
