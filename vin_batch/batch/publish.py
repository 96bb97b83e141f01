"""A shard's readings, then its receipt: the only way in which a shard becomes done."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vin_batch.batch import faults
from vin_batch.batch.atomic import write_atomic
from vin_batch.batch.host import host_name, now, now_after, resident_bytes
from vin_batch.batch.plan import shard_digest
from vin_batch.batch.readings_schema import readings_to_table, serialise
from vin_batch.batch.receipts import (
    Blame,
    ReaderPart,
    Receipt,
    ShardState,
    encode_digests,
    load_receipt,
    save_receipt,
)
from vin_batch.batch.rundir import RunDir
from vin_batch.records import BoxIssue, CardPack, CardRef, Reading


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a receipt says about a shard besides its readings.

    Attributes:
        state: How the shard ended.
        stat_digest: See ``Receipt``.
        content_digests: See ``Receipt``.
        stamp_digests: See ``Receipt``.
        issues: Boxes by issue code.
        extra_boxes: Image files that were no box.
        ignored_files: Other files.
        timings: Seconds by stage so far; ``write`` is what is to be added to its own.
        worker_rss_bytes: Largest resident memory of the worker.
        strikes: Worker deaths with this shard in flight.
        errors: First few unexpected errors.
        readers: Who read the shard.
        blamed: See ``Receipt``.
        given_up: See ``Receipt``.
        read_bytes: See ``Receipt``.
    """

    state: ShardState
    stat_digest: str = ""
    content_digests: str = ""
    stamp_digests: str = ""
    issues: Mapping[str, int] = field(default_factory=dict)
    extra_boxes: int = 0
    ignored_files: int = 0
    timings: Mapping[str, float] = field(default_factory=dict)
    worker_rss_bytes: int = 0
    strikes: int = 0
    errors: tuple[str, ...] = ()
    readers: tuple[ReaderPart, ...] = ()
    blamed: tuple[Blame, ...] = ()
    given_up: int = 0
    read_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes shards of one run.

    Attributes:
        run: The run directory.
        run_id: Goes into readings and receipts.
        model_id: Goes into readings and receipts.
        device: Goes into receipts.
    """

    run: RunDir
    run_id: str
    model_id: str
    device: str

    def publish(
        self, shard: int, cards: Sequence[CardRef], readings: Sequence[Reading], evidence: Evidence
    ) -> Receipt:
        """Write readings, then the receipt; each replaces an older one atomically.

        Args:
            shard: Number in the plan.
            cards: Its rows of the plan.
            readings: One per card, in the same order.
            evidence: The rest of the receipt.

        Returns:
            The receipt as written.

        Raises:
            DiskError: The system refused; the shard is not done.
        """
        if [reading.card_id for reading in readings] != [card.card_id for card in cards]:
            raise AssertionError(f"shard {shard}: readings do not match the plan")
        began, written = time.perf_counter(), evidence.timings.get("write", 0.0)
        data = serialise(readings_to_table(readings, self.model_id, self.run_id))
        faults.point("publish:serialised")
        write_atomic(self.run.readings(shard), data, "readings", rivals=True)
        faults.point("publish:between")
        # Of two readings of a shard the later one counts, wherever they are loaded.
        earlier = load_receipt(self.run, shard)
        receipt = Receipt(
            shard=shard,
            run_id=self.run_id,
            model_id=self.model_id,
            state=evidence.state,
            cards=len(readings),
            readings_sha256=hashlib.sha256(data).hexdigest(),
            readings_bytes=len(data),
            plan_digest=shard_digest(cards),
            stat_digest=evidence.stat_digest,
            content_digests=evidence.content_digests,
            statuses=dict(Counter(reading.status.value for reading in readings)),
            reasons=dict(Counter(code for reading in readings for code in reading.reasons)),
            issues=dict(evidence.issues),
            extra_boxes=evidence.extra_boxes,
            ignored_files=evidence.ignored_files,
            timings=_rounded({**evidence.timings, "write": written + time.perf_counter() - began}),
            device=self.device,
            host=host_name(),
            finished_at=now_after(earlier.finished_at) if earlier else now(),
            rss_bytes=resident_bytes(),
            worker_rss_bytes=evidence.worker_rss_bytes,
            strikes=evidence.strikes,
            errors=evidence.errors,
            readers=evidence.readers,
            stamp_digests=evidence.stamp_digests,
            blamed=evidence.blamed,
            given_up=evidence.given_up,
            read_bytes=evidence.read_bytes,
        )
        save_receipt(self.run, receipt)
        faults.point("publish:done")
        return receipt


def pack_evidence(
    pack: CardPack, timings: Mapping[str, float], rss: int, strikes: int, errors: tuple[str, ...]
) -> Evidence:
    """Evidence of a shard that was read, or of which no worker survived a single card."""
    lost = bool(pack.card_ids) and bool((pack.issues == BoxIssue.NOT_READ).all())
    return Evidence(
        state=ShardState.QUARANTINED if lost else ShardState.DONE,
        stat_digest="" if lost else pack.stat_digest,
        content_digests="" if lost else encode_digests(pack.content_digests),
        stamp_digests="" if lost else encode_digests(pack.stamp_digests),
        issues=count_issues(pack.issues),
        extra_boxes=int(pack.extra_boxes.sum()),
        ignored_files=int(pack.ignored_files.sum()),
        timings={"read": pack.read_seconds, "preprocess": pack.preprocess_seconds, **timings},
        worker_rss_bytes=rss,
        strikes=strikes,
        errors=errors,
        read_bytes=pack.read_bytes,
    )


def count_issues(issues: NDArray[np.uint8]) -> dict[str, int]:
    """Boxes by issue code, from ``uint8[n, 17]``; boxes without an issue are left out."""
    counts = np.bincount(issues.ravel(), minlength=len(BoxIssue))
    return {issue.code: int(counts[issue]) for issue in BoxIssue if issue and counts[issue]}


def _rounded(timings: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(seconds, 4) for stage, seconds in timings.items()}
