"""The ledger of a run: ``run.json`` and which shards are done."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from vin_batch.batch.atomic import DEFAULT_MODE, write_atomic
from vin_batch.batch.receipts import Blame, Receipt, ShardState, iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.sealed import open_sealed, sealed_json
from vin_batch.classifier.model_card import sha256_of
from vin_batch.errors import DiskError, UsageError, VinBatchError
from vin_batch.records import BoxIssue

RUN_SCHEMA: Final = 1
MAX_BLAMED: Final = 5
"""Cards that cost a worker and are named where a run is told in a few lines."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What ``run.json`` holds.

    Attributes:
        run_id: Digest of plan, model and configuration, 32 hex digits.
        created_at: Start of the first session, ISO 8601.
        package_version: Version of vin_batch that began the run.
        archive: Archive root of the latest session.
        config: All settings of the latest session.
        fingerprint: Those that change results, flat; the same for the whole run.
        model: ``id``, ``sha256``, ``name`` and ``directory`` of the model.
        plan: ``cards``, ``shards``, ``digest`` (of the content), ``sha256`` (of the file).
        walk: What the walk that made the plan passed by (``WalkTotals``).
        sessions: Every start of the run: times, host, versions, device, how it ended.
        outputs_digest: Digest of the readings that the CSV, summary and report were made
            from; empty while they are not.
        outputs: Digests of these files by name, 64 hex digits.
        not_before: See ``Selection``.
    """

    run_id: str
    created_at: str
    package_version: str
    archive: str
    config: Mapping[str, Any]
    fingerprint: Mapping[str, Any]
    model: Mapping[str, str]
    plan: Mapping[str, Any]
    walk: Mapping[str, Any]
    sessions: tuple[Mapping[str, Any], ...] = ()
    outputs_digest: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    not_before: str = ""

    @property
    def cards(self) -> int:
        """Cards in the plan."""
        return int(self.plan["cards"])

    @property
    def shards(self) -> int:
        """Shards in the plan."""
        return int(self.plan["shards"])


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over receipts.

    Attributes:
        shards: Shards with a receipt.
        quarantined: Those among them whose workers died.
        cards: Rows in their readings.
        statuses: Cards by status.
        reasons: Cards by reason code.
        issues: Boxes by issue code.
        timings: Seconds by stage.
        blamed: Cards that cost a worker, in all.
        examples: The first few of them.
        given_up: Cards that had no turn because their shard had cost too many workers.
        read_bytes: Bytes of the box files that were read.
    """

    shards: int = 0
    quarantined: tuple[int, ...] = ()
    cards: int = 0
    extra_boxes: int = 0
    ignored_files: int = 0
    statuses: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    issues: Mapping[str, int] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    blamed: int = 0
    examples: tuple[Blame, ...] = ()
    given_up: int = 0
    read_bytes: int = 0

    @property
    def poisoned(self) -> bool:
        """True where workers died or gave up for good, so that something was left out."""
        not_read = self.issues.get(BoxIssue.NOT_READ.code, 0)
        return bool(self.blamed or self.given_up or not_read or self.quarantined)


def load_run(run: RunDir) -> RunRecord:
    """Read ``run.json``.

    Raises:
        UsageError: The directory holds no run.
        DiskError: The file is damaged.
    """
    try:
        document = open_sealed(run.run_json.read_bytes())
        if document.pop("schema") != RUN_SCHEMA:
            raise ValueError("another schema")
        document["sessions"] = tuple(document["sessions"])
        record = RunRecord(**document)
        _ = record.cards, record.shards
    except FileNotFoundError:
        raise UsageError(
            f"{run.root} holds no run: run.json is missing",
            "Give the directory that was given to `vin-batch run` with -o.",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DiskError(
            f"cannot read {run.run_json}: {error}",
            "Restore the file from a backup, or start again in a new RUN_DIR.",
        ) from error
    return record


def mode_of(run: RunDir | None) -> int:
    """Permissions that a run was told to give its files; the usual ones where it says none."""
    try:
        config = {} if run is None else load_run(run).config
    except VinBatchError:
        config = {}
    return int(config.get("file_mode", f"{DEFAULT_MODE:o}"), 8)


def save_run(run: RunDir, record: RunRecord) -> None:
    """Write ``run.json`` atomically.

    Raises:
        DiskError: The system refused.
    """
    write_atomic(run.run_json, sealed_json({"schema": RUN_SCHEMA, **asdict(record)}), "run_json")


def with_session(record: RunRecord, **values: Any) -> RunRecord:  # noqa: ANN401
    """The record with values added to its latest session."""
    latest = {**record.sessions[-1], **values}
    return replace(record, sessions=(*record.sessions[:-1], latest))


def is_valid(run: RunDir, receipt: Receipt, run_id: str, rows: int) -> bool:
    """Tell whether a receipt proves that its shard is done.

    Args:
        run: The run directory.
        receipt: A receipt that parsed.
        run_id: The run's id; receipts of another run prove nothing.
        rows: Cards of the shard in the plan.

    Returns:
        True if the readings file is there, whole, and has a row per card.
    """
    return proved_readings(run, receipt, run_id, rows) is not None


def proved_readings(run: RunDir, receipt: Receipt, run_id: str, rows: int) -> bytes | None:
    """Bytes of a readings file whose receipt proves that its shard is done, else None."""
    if receipt.run_id != run_id or receipt.cards != rows:
        return None
    try:
        data = run.readings(receipt.shard).read_bytes()
    except OSError:
        return None
    proved = len(data) == receipt.readings_bytes and (
        hashlib.sha256(data).hexdigest() == receipt.readings_sha256
    )
    return data if proved else None


def tally(receipts: Iterable[Receipt]) -> Tally:
    """Add up receipts."""
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    issues: Counter[str] = Counter()
    timings: dict[str, float] = {}
    quarantined: list[int] = []
    examples: list[Blame] = []
    shards = cards = extra = ignored = blamed = given_up = read_bytes = 0
    for receipt in receipts:
        shards += 1
        cards += receipt.cards
        extra += receipt.extra_boxes
        ignored += receipt.ignored_files
        statuses.update(receipt.statuses)
        reasons.update(receipt.reasons)
        issues.update(receipt.issues)
        for stage, seconds in receipt.timings.items():
            timings[stage] = timings.get(stage, 0.0) + seconds
        blamed += len(receipt.blamed)
        given_up += receipt.given_up
        read_bytes += receipt.read_bytes
        examples += receipt.blamed[: MAX_BLAMED - len(examples)]
        if receipt.state is ShardState.QUARANTINED:
            quarantined.append(receipt.shard)
    return Tally(
        shards=shards,
        quarantined=tuple(quarantined),
        cards=cards,
        extra_boxes=extra,
        ignored_files=ignored,
        statuses=dict(statuses),
        reasons=dict(reasons),
        issues=dict(issues),
        timings=timings,
        blamed=blamed,
        examples=tuple(examples),
        given_up=given_up,
        read_bytes=read_bytes,
    )


def readings_digest(run: RunDir) -> str:
    """Digest over the digests of all readings files, in shard order, 64 hex digits."""
    hasher = hashlib.sha256()
    for receipt in iter_receipts(run):
        hasher.update(f"{receipt.shard} {receipt.readings_sha256}\n".encode())
    return hasher.hexdigest()


def outputs_are_whole(run: RunDir, record: RunRecord) -> bool:
    """Tell whether the CSV, summary and report are there as the run wrote them."""
    return all(output_problem(record, path) is None for path in run.outputs)


def output_problem(record: RunRecord, path: Path) -> str | None:
    """What is wrong with a file that is derived from a complete run; None if nothing is.

    Where no digest was noted, it need only be there.
    """
    try:
        actual = sha256_of(path)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if record.outputs.get(path.name, actual) == actual else "was altered or is torn"
