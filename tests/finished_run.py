"""Builds run directories with chosen readings, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from vin_batch.batch.ledger import RunRecord, save_run
from vin_batch.batch.plan import write_plan
from vin_batch.batch.publish import Evidence, Publisher
from vin_batch.batch.receipts import ShardState
from vin_batch.batch.rundir import RunDir
from vin_batch.records import (
    Alternative,
    CardRef,
    CharReading,
    CheckDigitState,
    Reading,
    Status,
)

RUN_ID = "0123456789abcdef0123456789abcdef"
MODEL_ID = "tiny@0123456789ab"
VIN = "XTA210130D0000002"
TIMINGS = {
    "read": 1.0, "preprocess": 3.0, "queue": 0.5, "idle": 1.0, "classify": 6.0, "decode": 2.0,
}  # fmt: skip
STARTED, FINISHED = "2026-01-31T02:00:00+00:00", "2026-01-31T02:00:20+00:00"


def chars_of(
    raw_vin: str, probs: Mapping[int, float] | None = None, issues: Mapping[int, str] | None = None
) -> tuple[CharReading, ...]:
    """Outcomes of 17 boxes: clear ones but for the given probabilities and issues."""
    return tuple(
        CharReading(position, "?", 0.0, None, 0.0, (issues or {})[position])
        if position in (issues or {})
        else CharReading(position, char, (probs or {}).get(position, 0.99), "Z", 0.005, None)
        for position, char in enumerate(raw_vin, start=1)
    )


def reading(card_id: str, status: Status = Status.ACCEPTED, **changes: object) -> Reading:
    """A reading, clear and accepted unless told otherwise."""
    values: dict[str, object] = {
        "card_id": card_id,
        "status": status,
        "vin": VIN,
        "raw_vin": VIN,
        "confidence": 0.9995,
        "check_digit": CheckDigitState.NOT_APPLICABLE,
        "changed": (),
        "reasons": (),
        "chars": chars_of(VIN),
        "alternatives": (Alternative("XTA210130D0000003", 0.0003),),
        "wmi": "XTA",
        "maker": "AvtoVAZ",
        "country": "Russia",
        "model_years": (1983, 2013),
    }
    return Reading(**{**values, **changes})  # type: ignore[arg-type]


def unreadable(card_id: str, status: Status = Status.UNREADABLE, reason: str = "x") -> Reading:
    """A card without a VIN."""
    issues = dict.fromkeys(range(1, 18), "blank")
    return reading(
        card_id, status, vin=None, raw_vin="?" * 17, confidence=0.0, reasons=(reason,),
        chars=chars_of("?" * 17, issues=issues), alternatives=(), wmi=None, maker=None,
        country=None, model_years=(),
    )  # fmt: skip


def make_run(
    root: Path, shards: Sequence[Sequence[Reading]], unfinished: Set[int] = frozenset()
) -> RunDir:
    """Write a run directory.

    Args:
        root: Where; is made.
        shards: Readings of every shard; all but the last must be of one length.
        unfinished: Shards that are planned and have no readings.

    Returns:
        The run directory.
    """
    run = RunDir(root)
    for folder in (root, run.readings_dir, run.receipts_dir):
        folder.mkdir(parents=True)
    cards = [[CardRef(r.card_id, None, "0" * 16) for r in shard] for shard in shards]
    plan = write_plan(run, [ref for shard in cards for ref in shard], len(cards[0]))
    assert plan.shards == len(shards)
    save_run(run, _record(plan.cards, plan.shards, plan.digest, plan.sha256))
    publisher = Publisher(run, RUN_ID, MODEL_ID, "CPU")
    for number, (refs, readings) in enumerate(zip(cards, shards, strict=True)):
        if number not in unfinished:
            evidence = Evidence(
                ShardState.DONE, issues={"blank": 3}, extra_boxes=1, ignored_files=2,
                timings=TIMINGS, worker_rss_bytes=50 * 2**20,
            )  # fmt: skip
            publisher.publish(number, refs, readings, evidence)
    return run


def _record(cards: int, shards: int, digest: str, sha256: str) -> RunRecord:
    session = {
        "started_at": STARTED, "finished_at": FINISHED, "outcome": "done", "host": "tester",
        "workers": 2, "versions": {"python": "3.11.0", "numpy": "2.4"},
    }  # fmt: skip
    return RunRecord(
        run_id=RUN_ID,
        created_at=STARTED,
        package_version="0.1.0",
        archive="/archive <1987>",
        config={},
        fingerprint={},
        model={"id": MODEL_ID, "name": "tiny", "sha256": "0" * 64, "directory": "models/tiny"},
        plan={"cards": cards, "shards": shards, "digest": digest, "sha256": sha256},
        walk={"cards": cards, "image_files": 17 * cards, "unreadable_folders": 0},
        sessions=(session,),
    )
