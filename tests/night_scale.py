"""Nights of any size without any files: a fabricated first run, and a fabricated walk.

``night_scale.py FOLDER CARDS NEW`` measures a night over CARDS known cards and NEW new ones.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from batch_fakes import fake_tools
from finished_run import TIMINGS, reading
from night_fakes import begin, end, night_config
from vin_batch.archive import ArchiveRoot, FileStamp, Listing, WalkTotals
from vin_batch.archive.names import listing_digest
from vin_batch.batch.changes import card_stamps_digest
from vin_batch.batch.host import resident_bytes
from vin_batch.batch.job import JobOutcome, JobTools
from vin_batch.batch.plan import Selection, shard_digest
from vin_batch.batch.publish import Evidence, Publisher
from vin_batch.batch.readings_schema import readings_to_table, serialise
from vin_batch.batch.receipts import ShardState, encode_digests, save_receipt
from vin_batch.config import RunConfig
from vin_batch.nightly import looking
from vin_batch.nightly.night import NightTools, run_night
from vin_batch.nightly.summary import NightSummary

IMAGES = [b"%02d.png" % box for box in range(1, 18)]
DIGEST = listing_digest(IMAGES)
STAMPS = tuple(FileStamp(name, 1234, 10**18) for name in IMAGES)
CONTENT = bytes(range(1, 9))


def fabricated_run(
    config: RunConfig, tools: JobTools, selection: Selection | None = None
) -> JobOutcome:
    """A run in which every card has the same reading, but for its id."""
    run, card, opened = begin(config, selection)
    model_id, run_id = card.model_id, opened.record.run_id
    publisher = Publisher(run, run_id, model_id, "none")
    template = readings_to_table([reading("x")] * config.shard_size, model_id, run_id)
    first = None
    for shard in range(opened.plan.shards):
        cards = opened.plan.load(shard)
        if first is None:
            first = publisher.publish(
                0, cards, [reading(ref.card_id) for ref in cards], _evidence(len(cards))
            )
        ids = pa.array([ref.card_id for ref in cards], pa.string())
        table = template.slice(0, len(cards)).set_column(0, template.schema.field(0), ids)
        data = serialise(table)
        run.readings(shard).write_bytes(data)
        part = _evidence(len(cards))
        receipt = replace(
            first, shard=shard, cards=len(cards), readings_bytes=len(data),
            readings_sha256=hashlib.sha256(data).hexdigest(), plan_digest=shard_digest(cards),
            content_digests=part.content_digests, stamp_digests=part.stamp_digests,
            statuses={"accepted": len(cards)},
        )  # fmt: skip
        save_receipt(run, receipt)
    return end(run, opened.plan.shards)


def _evidence(cards: int) -> Evidence:
    content, stamp = (
        encode_digests(np.tile(np.frombuffer(digest, np.uint8), (cards, 1)))
        for digest in (CONTENT, card_stamps_digest(STAMPS))
    )
    return Evidence(
        ShardState.DONE, "s", content_digests=content, stamp_digests=stamp, timings=TIMINGS
    )


def fabricated_walk(cards: int, new: int) -> object:
    """``walk_folders`` over folders of 1,000 cards, new ones spread evenly among them."""
    every = max(cards // max(new, 1), 1)

    def walk(root: ArchiveRoot, totals: WalkTotals) -> Iterator[tuple[bytes, Listing | None]]:
        added = 0
        for number in range(cards):
            totals.cards += 1
            folder = b"box_%06d/card_%09d" % (number // 1000, number)
            yield folder, Listing(list(IMAGES), {}, [])
            if number % every == 0 and added < new:
                added += 1
                totals.cards += 1
                yield folder + b"b", Listing(list(IMAGES), {}, [])

    return walk


def no_files(root: ArchiveRoot, relative: bytes, listing: Listing) -> tuple[FileStamp | None, ...]:
    return STAMPS


def scale_night(base: Path, cards: int, new: int, patch: pytest.MonkeyPatch) -> NightSummary:
    """A night over a fabricated archive."""
    (base / "archive").mkdir(parents=True, exist_ok=True)
    patch.setattr(looking, "walk_folders", fabricated_walk(cards, new))
    patch.setattr(looking, "stamp_listed", no_files)
    tools = NightTools(fake_tools(), run=fabricated_run)
    config = night_config(base, run="shard_size = 1000", current=["parquet"])
    return run_night(config, tools)


def main() -> None:
    base, cards, new = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with pytest.MonkeyPatch.context() as patch:
        for wanted in (0, new, new):
            began, used = time.perf_counter(), time.process_time()
            summary = scale_night(base, cards, wanted, patch)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(
                json.dumps({
                    "night": summary.night, "read": sum(summary.read.values()),
                    "seconds": round(time.perf_counter() - began, 1),
                    "cpu_seconds": round(time.process_time() - used, 1),
                    "steps": summary.seconds,
                    "rss_mb": resident_bytes() // 2**20, "peak_mb": peak,
                }),
                flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
