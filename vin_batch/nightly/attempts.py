"""What a run says about its cards, from its plan, receipts and readings alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vin_batch.batch.ledger import RunRecord, is_valid, load_run
from vin_batch.batch.plan import Plan
from vin_batch.batch.readings_schema import read_part
from vin_batch.batch.receipts import load_receipt
from vin_batch.batch.resume import open_plan
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import DiskError
from vin_batch.export.shards import read_time
from vin_batch.nightly.catalogue import FoldedRun, Key, key_of
from vin_batch.records import BoxIssue, CardRef
from vin_batch.vin.alphabet import VIN_LENGTH

PASSING_ISSUES: Final = (
    BoxIssue.UNREADABLE_FILE.code,
    BoxIssue.NOT_READ.code,
    BoxIssue.CHANGED_WHILE_READING.code,
)
"""Causes outside the bytes of a box: the same files may be read another night."""
NOT_THE_READER: Final = frozenset(
    ("shard_size", "limit", "package_version", "changes", "inference", "inference_sha256")
)
"""What a fingerprint has besides model, calibration and policies. Another engine computes the
same network: to install one is no reason to read an archive again."""


@dataclass(frozen=True, slots=True)
class SurveyedRun:
    """A run that was looked at from end to end.

    Attributes:
        name: Its name.
        run: Its directory.
        record: Its ``run.json``.
        planned: Shards of its plan.
        shards: Those whose readings are whole, in order.
        digest: Digest of their readings.
        latest: When the last of them was read, ISO 8601; empty without one.
    """

    name: str
    run: RunDir
    record: RunRecord
    planned: int
    shards: tuple[int, ...]
    digest: str
    latest: str

    @property
    def is_complete(self) -> bool:
        """True where every card of the plan has a row."""
        return len(self.shards) == self.planned

    @property
    def folded(self) -> FoldedRun:
        """The run as a catalogue made from it knows it."""
        record = self.record
        reader = reader_digest(record.fingerprint)
        return FoldedRun(record.run_id, record.model["id"], reader, self.digest)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to read one card; see ``CatalogueRow`` for the attributes of the same names.

    Attributes:
        key: Sort key of the card.
        card: The card as it was planned.
        began: Start of the run.
        may_pass: A box failed for a cause that may pass.
        moved: The card changed before it was read: nothing was learned about it.
    """

    key: Key
    card: CardRef
    run: str
    shard: int
    row: int
    stamps: bytes | None
    contents: bytes | None
    status: str
    confidence: float
    model_id: str
    began: str
    read_at: str
    may_pass: bool
    moved: bool


def reader_digest(fingerprint: Mapping[str, Any]) -> str:
    """Digest over the part of a fingerprint that decides what is read, 32 hex digits."""
    part = {name: value for name, value in fingerprint.items() if name not in NOT_THE_READER}
    document = json.dumps(part, sort_keys=True)
    return hashlib.blake2b(document.encode(), digest_size=16).hexdigest()


def survey(run: RunDir, name: str, check: Callable[[], None]) -> SurveyedRun:
    """Look at a run and find the shards that are whole.

    Args:
        run: The run directory.
        name: Its name.
        check: Called before every shard; may raise to stop.

    Raises:
        DiskError: Its ``run.json`` or plan is damaged.
    """
    record = load_run(run)
    plan = open_plan(run, record)
    hasher = hashlib.blake2b(digest_size=16)
    whole, latest = [], ""
    for shard in range(plan.shards):
        check()
        receipt = load_receipt(run, shard)
        if receipt and is_valid(run, receipt, record.run_id, plan.rows(shard)):
            whole.append(shard)
            latest = max(latest, read_time(record, receipt).isoformat())
            hasher.update(f"{shard} {receipt.readings_sha256} {receipt.stat_digest}\n".encode())
    return SurveyedRun(name, run, record, plan.shards, tuple(whole), hasher.hexdigest(), latest)


def attempts(surveyed: SurveyedRun, check: Callable[[], None]) -> Iterator[Attempt]:
    """Every card of a run that has a row, in the order of the walk, one shard in memory.

    Raises:
        DiskError: Plan, receipts and readings do not belong together.
    """
    plan = Plan(surveyed.run)
    for shard in surveyed.shards:
        check()
        yield from _of_shard(surveyed, shard, plan.load(shard))


def _of_shard(surveyed: SurveyedRun, shard: int, cards: tuple[CardRef, ...]) -> Iterator[Attempt]:
    receipt = load_receipt(surveyed.run, shard)
    table = read_part(surveyed.run, shard)
    if receipt is None or table.column("card_id").to_pylist() != [c.card_id for c in cards]:
        raise DiskError(
            f"{surveyed.run.readings(shard)} does not hold the cards of the plan",
            "Restore the run directory from a backup, or move it out of runs/ to read its "
            "cards again.",
        )
    stamps, contents = _digests(receipt.stamps(), cards), _digests(receipt.contents(), cards)
    may_pass, moved = _issues(table)
    read_at = read_time(surveyed.record, receipt).isoformat()
    rows = zip(
        cards, stamps, contents, table.column("status").to_pylist(),
        table.column("confidence").to_pylist(), may_pass, moved, strict=True,
    )  # fmt: skip
    for row, (card, stamp, content, status, confidence, passing, away) in enumerate(rows):
        yield Attempt(
            key=key_of(card.card_id, card.path),
            card=card,
            run=surveyed.name,
            shard=shard,
            row=row,
            stamps=stamp,
            contents=content,
            status=status,
            confidence=confidence,
            model_id=receipt.model_id,
            began=surveyed.record.created_at,
            read_at=read_at,
            may_pass=passing,
            moved=away,
        )


def _digests(digests: NDArray[np.uint8] | None, cards: tuple[CardRef, ...]) -> list[bytes | None]:
    """Digests of cards; a row of zeros stands for a card that nobody has seen."""
    if digests is None:
        return [None] * len(cards)
    return [row.tobytes() if row.any() else None for row in digests]


def _issues(table: pa.Table) -> tuple[list[bool], list[bool]]:
    """Which cards have an issue that may pass, and which changed before they were read."""
    issues = table.column("chars").combine_chunks().flatten().field("issue").to_pylist()
    codes = np.array([code or "" for code in issues]).reshape(-1, VIN_LENGTH)
    passing = np.isin(codes, PASSING_ISSUES)
    moved = codes == BoxIssue.CHANGED_WHILE_READING.code
    return [bool(row.any()) for row in passing], [bool(row.all()) for row in moved]
