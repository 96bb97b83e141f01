"""Checks a run directory against itself: plan, receipts, readings, left-overs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from vin_batch.archive.names import order_key, relative_path
from vin_batch.batch.atomic import temporaries
from vin_batch.batch.ledger import RunRecord, load_run, output_problem, readings_digest
from vin_batch.batch.lock import is_held
from vin_batch.batch.plan import Plan, shard_digest
from vin_batch.batch.readings_schema import read_part
from vin_batch.batch.receipts import Receipt, ReceiptError, ShardState, receipt_from_json
from vin_batch.batch.resume import open_plan
from vin_batch.batch.rundir import RunDir, parts
from vin_batch.errors import DiskError, ExitCode
from vin_batch.records import CardRef

RESUME = "give the same `vin-batch run` command: it makes exactly what is missing or damaged"
RETRY = "`vin-batch retry` reads these cards again once the cause is repaired"


class Severity(IntEnum):
    """How bad a finding is."""

    NOTE = 0
    INCOMPLETE = 1
    """Something is missing or failed, and says so."""
    DAMAGE = 2
    """Something is not what it claims to be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and what to do about it."""

    severity: Severity
    message: str
    advice: str = ""


def exit_code_of(findings: list[Finding]) -> ExitCode:
    """0 where all is well, 3 where something is missing or failed, 7 where it is damaged."""
    worst = max((finding.severity for finding in findings), default=Severity.NOTE)
    return {
        Severity.NOTE: ExitCode.DONE,
        Severity.INCOMPLETE: ExitCode.FINISHED_WITH_FAILURES,
        Severity.DAMAGE: ExitCode.DISK,
    }[worst]


def verify_run(run: RunDir) -> Iterator[Finding]:
    """Check everything that can be checked without the archive and the model.

    Yields:
        Findings, as they are found; none where the run is complete and whole.

    Raises:
        UsageError: There is no run.
        DiskError: ``run.json`` is damaged.
    """
    record = load_run(run)
    try:
        plan = open_plan(run, record)
    except DiskError as error:
        yield Finding(Severity.DAMAGE, error.message, error.advice)
        return
    active = is_held(run.lock)
    if active:
        yield Finding(Severity.NOTE, "a run works on this directory: unfinished is normal")
    digests = hashlib.blake2b(digest_size=16)
    last: tuple[bytes, ...] | None = None
    for shard in range(plan.shards):
        cards = plan.load(shard)
        digests.update(shard_digest(cards).encode())
        for card in cards:
            key = order_key(relative_path(card))
            if last is not None and key <= last:
                yield Finding(Severity.DAMAGE, f"card {card.card_id} is not in order in the plan")
            last = key
        yield from _verify_shard(run, record, shard, cards)
    yield from _verify_plan(record, plan, digests.hexdigest())
    yield from _verify_strays(run, plan, active)
    yield from _verify_totals(record)
    if record.outputs_digest and not active:
        yield from _verify_outputs(run, record)


def _verify_plan(record: RunRecord, plan: Plan, digest: str) -> Iterator[Finding]:
    if (plan.cards, plan.shards, digest) != (record.cards, record.shards, record.plan["digest"]):
        yield Finding(Severity.DAMAGE, "plan.parquet is not the plan that run.json describes")


def _verify_shard(
    run: RunDir, record: RunRecord, shard: int, cards: tuple[CardRef, ...]
) -> Iterator[Finding]:
    path = run.receipt(shard)
    try:
        receipt = receipt_from_json(path.read_bytes())
    except FileNotFoundError:
        yield Finding(Severity.INCOMPLETE, f"shard {shard} is not finished", RESUME)
        return
    except (OSError, ReceiptError) as error:
        yield Finding(Severity.DAMAGE, f"receipt {path.name} is damaged: {error}", RESUME)
        return
    wrong = list(_receipt_errors(run, record, shard, cards, receipt))
    for message in wrong:
        yield Finding(Severity.DAMAGE, f"shard {shard}: {message}", RESUME)
    if not wrong:
        yield from _readings_errors(run, receipt, cards)
    if receipt.state is ShardState.QUARANTINED:
        yield Finding(Severity.INCOMPLETE, f"shard {shard} is quarantined", RETRY)
    elif receipt.failed_cards:
        failed = receipt.failed_cards
        yield Finding(Severity.INCOMPLETE, f"shard {shard} has {failed} failed cards", RETRY)
    elif receipt.is_poisoned:
        message = f"shard {shard}: workers died, so that some cards or boxes were left out"
        yield Finding(Severity.INCOMPLETE, message, RETRY)


def _receipt_errors(
    run: RunDir, record: RunRecord, shard: int, cards: tuple[CardRef, ...], receipt: Receipt
) -> Iterator[str]:
    if receipt.run_id != record.run_id or receipt.shard != shard:
        yield "its receipt belongs to another run or shard"
        return
    if receipt.cards != len(cards) or receipt.plan_digest != shard_digest(cards):
        yield "its receipt was written for other cards than the plan has"
    if sum(receipt.statuses.values()) != receipt.cards:
        yield "the counts of its receipt do not add up"
    try:
        data = run.readings(shard).read_bytes()
    except OSError as error:
        yield f"its readings cannot be read: {error.strerror}"
        return
    if hashlib.sha256(data).hexdigest() != receipt.readings_sha256:
        yield "its readings are not those that the receipt describes"


def _readings_errors(
    run: RunDir, receipt: Receipt, cards: tuple[CardRef, ...]
) -> Iterator[Finding]:
    shard = receipt.shard
    try:
        table = read_part(run, shard)
    except DiskError as error:
        yield Finding(Severity.DAMAGE, error.message, RESUME)
        return
    if table.column("card_id").to_pylist() != [card.card_id for card in cards]:
        message = f"shard {shard}: its readings are not of the cards in the plan, in its order"
        yield Finding(Severity.DAMAGE, message, RESUME)
    for column, expected in (("run_id", receipt.run_id), ("model_id", receipt.model_id)):
        if set(table.column(column).to_pylist()) != {expected}:
            message = f"shard {shard}: its readings have another {column} than its receipt"
            yield Finding(Severity.DAMAGE, message, RESUME)


def _verify_strays(run: RunDir, plan: Plan, active: bool) -> Iterator[Finding]:
    for folder in (run.readings_dir, run.receipts_dir):
        for shard, path in parts(folder):
            if shard >= plan.shards:
                name = f"{folder.name}/{path.name}"
                advice = "Remove it; it is not part of this run."
                yield Finding(Severity.DAMAGE, f"{name} belongs to no shard of the plan", advice)
            elif folder == run.readings_dir and not active and not run.receipt(shard).exists():
                message = f"readings/{path.name} has no receipt and counts for nothing"
                yield Finding(Severity.NOTE, message, RESUME)
    if not active:
        for path in temporaries((run.root, run.readings_dir, run.receipts_dir)):
            message = f"{path.relative_to(run.root)} is left over from an interrupted run"
            yield Finding(Severity.NOTE, message, "The next `vin-batch run` removes it.")


def _verify_totals(record: RunRecord) -> Iterator[Finding]:
    unreadable = int(record.walk.get("unreadable_folders", 0))
    if unreadable:
        examples = "; ".join(record.walk.get("unreadable_examples", [])[:3])
        message = f"{unreadable} folders could not be listed, their cards are missing: {examples}"
        advice = "Repair them and read the archive into a new RUN_DIR."
        yield Finding(Severity.INCOMPLETE, message, advice)


def _verify_outputs(run: RunDir, record: RunRecord) -> Iterator[Finding]:
    if record.outputs_digest != readings_digest(run):
        names = ", ".join(path.name for path in run.outputs)
        yield Finding(Severity.INCOMPLETE, f"{names} were made from other readings", RESUME)
        return
    for path in run.outputs:
        problem = output_problem(record, path)
        if problem:
            severity = Severity.DAMAGE if path.exists() else Severity.INCOMPLETE
            yield Finding(severity, f"{path.name} {problem}", RESUME)
