"""``summary.json``: a run in numbers, for machines.

It names no VIN, and no card but the first few that cost a worker.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vin_batch.batch.atomic import write_atomic
from vin_batch.batch.bottleneck import (
    MAIN_STAGES,
    WORKER_STAGES,
    cores_of,
    describe_load,
    load_as_dict,
)
from vin_batch.batch.ledger import RunRecord, Tally, load_run, readings_digest, tally
from vin_batch.batch.poison import poison_of
from vin_batch.batch.receipts import Receipt, iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.records import Status
from vin_batch.report.columns import iter_columns

SUMMARY_SCHEMA: Final = 1
TOP_MAKERS: Final = 20
CONFIDENCE_BINS: Final = 20
"""Equal steps of the confidence histogram, from 0 to 1."""
UNKNOWN_MAKER: Final = "unknown"


@dataclass(slots=True)
class _Census:
    """Counts over readings.

    Attributes:
        makers: Readings with a VIN, by maker.
        check_digits: Readings with a VIN, by state of the check digit.
        changed: Readings whose VIN differs from the raw one.
        confidence: ``int64[bins]`` by status.
    """

    makers: Counter[str] = field(default_factory=Counter)
    check_digits: Counter[str] = field(default_factory=Counter)
    changed: int = 0
    confidence: dict[str, NDArray[np.int64]] = field(default_factory=dict)


def write_summary(run_dir: Path) -> dict[str, Any]:
    """Write ``summary.json``.

    Args:
        run_dir: The run directory, finished or not.

    Returns:
        What was written.

    Raises:
        UsageError: The directory holds no run.
        DiskError: The run is damaged, or the file cannot be written.
    """
    summary = summarise(RunDir(run_dir))
    text = json.dumps(summary, indent=1, ensure_ascii=False) + "\n"
    # The archive's path may hold bytes that are no UTF-8: JSON has escapes for them.
    data = text.encode("utf-8", "backslashreplace")
    write_atomic(run_dir / "summary.json", data, "summary")
    return summary


def summarise(run: RunDir) -> dict[str, Any]:
    """Count everything that is finished; memory does not grow with the run.

    Args:
        run: The run directory.

    Returns:
        The summary as plain JSON values.

    Raises:
        UsageError: The directory holds no run.
        DiskError: The run is damaged.
    """
    record = load_run(run)
    totals = tally(iter_receipts(run))
    census = _census(run)
    return {
        "schema": SUMMARY_SCHEMA,
        "run_id": record.run_id,
        "readings_digest": readings_digest(run),
        "complete": totals.shards == record.shards,
        "cards": totals.cards,
        "cards_planned": record.cards,
        "shards": totals.shards,
        "shards_planned": record.shards,
        "quarantined_shards": list(totals.quarantined),
        "poison": poison_of(totals),
        "statuses": {status.value: totals.statuses.get(status.value, 0) for status in Status},
        "shares": _shares(totals.statuses, totals.cards),
        "reasons": _by_count(totals.reasons),
        "issues": _by_count(totals.issues),
        "extra_boxes": totals.extra_boxes,
        "ignored_files": totals.ignored_files,
        "changed_by_rules": census.changed,
        "check_digits": _by_count(census.check_digits),
        "makers": dict(census.makers.most_common(TOP_MAKERS)),
        "confidence_histogram": {
            status: counts.tolist() for status, counts in sorted(census.confidence.items())
        },
        "timings": _timings(totals, cores_of(record.sessions[-1] if record.sessions else None)),
        "resources": _resources(iter_receipts(run)),
        "sessions": _sessions(record),
        "walk": dict(record.walk),
        "archive": record.archive,
        "model": dict(record.model),
        "created_at": record.created_at,
        "package_version": record.package_version,
        "versions": dict(record.sessions[-1].get("versions", {})) if record.sessions else {},
    }


def _census(run: RunDir) -> _Census:
    census = _Census()
    columns = ("status", "vin", "raw_vin", "confidence", "check_digit", "maker")
    for table in iter_columns(run, columns):
        _count(table, census)
    return census


def _count(table: pa.Table, census: _Census) -> None:
    rows = table.to_pydict()
    confidence = np.asarray(rows["confidence"], np.float64)
    statuses = np.asarray(rows["status"])
    for status in set(rows["status"]):
        counts = confidence_counts(confidence[statuses == status])
        census.confidence[status] = census.confidence.get(status, np.int64(0)) + counts
    read = [index for index, vin in enumerate(rows["vin"]) if vin is not None]
    census.makers.update(rows["maker"][index] or UNKNOWN_MAKER for index in read)
    census.check_digits.update(rows["check_digit"][index] for index in read)
    census.changed += sum(rows["vin"][index] != rows["raw_vin"][index] for index in read)


def confidence_counts(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Histogram ``int64[CONFIDENCE_BINS]`` of probabilities ``float64[n]``."""
    return np.histogram(confidence, bins=CONFIDENCE_BINS, range=(0.0, 1.0))[0].astype(np.int64)


def _shares(statuses: Mapping[str, int], cards: int) -> dict[str, float]:
    return {s.value: round(statuses.get(s.value, 0) / max(cards, 1), 6) for s in Status}


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _timings(totals: Tally, cores: int | None) -> dict[str, Any]:
    """Seconds by stage, what the main process did with its time, and who was busy."""
    seconds = {stage: round(value, 3) for stage, value in sorted(totals.timings.items())}
    main = sum(totals.timings.get(stage, 0.0) for stage in MAIN_STAGES)
    workers = sum(totals.timings.get(stage, 0.0) for stage in WORKER_STAGES)
    shares = {
        stage: round(totals.timings.get(stage, 0.0) / main, 4) if main else None
        for stage in MAIN_STAGES
    }
    return {
        "seconds": seconds,
        "main_seconds": round(main, 3),
        "main_shares": shares,
        "worker_seconds": round(workers, 3),
        "worker_seconds_per_1000_cards": _rate(1000 * workers, totals.cards),
        "cards_per_second": _rate(totals.cards, main),
        "read_bytes": totals.read_bytes,
        "busy": load_as_dict(totals.timings, cores),
        "words": describe_load(totals.timings, cores),
    }


def _rate(amount: float, per: float) -> float | None:
    return round(amount / per, 3) if per else None


def _resources(receipts: Iterable[Receipt]) -> dict[str, Any]:
    devices: Counter[str] = Counter()
    hosts: Counter[str] = Counter()
    main_peak = worker_peak = strikes = 0
    for receipt in receipts:
        devices[receipt.device] += 1
        hosts[receipt.host] += 1
        main_peak = max(main_peak, receipt.rss_bytes)
        worker_peak = max(worker_peak, receipt.worker_rss_bytes)
        strikes += receipt.strikes
    return {
        "shards_by_device": _by_count(devices),
        "shards_by_host": _by_count(hosts),
        "main_rss_bytes": main_peak,
        "worker_rss_bytes": worker_peak,
        "strikes": strikes,
    }


def _sessions(record: RunRecord) -> dict[str, Any]:
    """How often the run was started, and how long its finished sessions lasted."""
    lasted = [_seconds(session) for session in record.sessions if session.get("finished_at")]
    latest = record.sessions[-1] if record.sessions else {}
    return {
        "count": len(record.sessions),
        "seconds": round(sum(lasted), 1),
        "latest_started_at": latest.get("started_at"),
        "latest_finished_at": latest.get("finished_at"),
        "latest_outcome": latest.get("outcome"),
        "workers": latest.get("workers"),
    }


def _seconds(session: Mapping[str, Any]) -> float:
    """How long a session lasted; runs of earlier versions say only when it began and ended."""
    if "seconds" in session:
        return float(session["seconds"])
    began, ended = (datetime.fromisoformat(session[k]) for k in ("started_at", "finished_at"))
    return max((ended - began).total_seconds(), 0.0)
