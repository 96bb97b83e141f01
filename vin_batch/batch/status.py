"""How far a run is, from ``run.json`` and receipts alone. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from vin_batch.batch.bottleneck import cores_of, describe_load, load_as_dict
from vin_batch.batch.ledger import RunRecord, Tally, load_run, tally
from vin_batch.batch.lock import is_held
from vin_batch.batch.pace import Pace, pace_of
from vin_batch.batch.poison import describe_poison, poison_of
from vin_batch.batch.receipts import iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import ExitCode
from vin_batch.records import Status

STATUS_SCHEMA: Final = 1
STALL_GRACE: Final = 300.0
"""Seconds beyond the time-out of a shard, after which the job should have done something."""
DEFAULT_SHARD_TIMEOUT: Final = 1800.0
"""Seconds, for runs whose settings do not say."""
KEYS: Final = (
    "schema", "checked_at", "run_id", "state", "attention", "archive", "model_id", "cards",
    "cards_done", "shards", "shards_done", "shards_quarantined", "shards_with_failures",
    "unreadable_folders", "statuses", "reasons", "issues", "last_progress_at",
    "seconds_since_progress", "stalled", "stalled_after_seconds", "session_cards",
    "cards_per_second", "eta_seconds", "busy", "last_exit_code", "died", "sessions", "last_session",
)  # fmt: skip
"""Keys of the status as JSON. They are a contract: new ones may come, none goes."""


class RunState(StrEnum):
    """Where a run stands."""

    STARTING = "starting"
    """A process lists the archive; there is no plan yet."""
    RUNNING = "running"
    INCOMPLETE = "incomplete"
    """Nobody works on it and shards are missing: the same ``run`` command resumes."""
    FINISHING = "finishing"
    """Every shard is read; the CSV, summary and report are not written yet."""
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is.

    Attributes:
        record: Its ``run.json``.
        state: Where it stands.
        tally: Sums over the receipts.
        with_failures: Shards that ``retry`` would read again.
        pace: Of the latest session.
        checked_at: When somebody looked.
    """

    record: RunRecord
    state: RunState
    tally: Tally
    with_failures: int
    pace: Pace
    checked_at: datetime

    @property
    def seconds_since_progress(self) -> float | None:
        """Since the last finished shard, or the beginning of the session."""
        return self.pace.seconds_since(self.checked_at)

    @property
    def stalled_after(self) -> float:
        """Seconds without progress after which a running session is surely stuck."""
        timeout = self.record.config.get("shard_timeout", DEFAULT_SHARD_TIMEOUT)
        return float(timeout) + STALL_GRACE

    @property
    def is_stalled(self) -> bool:
        """True where a session runs and has got nowhere for too long."""
        waited = self.seconds_since_progress
        return self.state is RunState.RUNNING and waited is not None and waited > self.stalled_after

    @property
    def last_exit_code(self) -> int | None:
        """Of the latest session; None while it runs, and where it died without a word."""
        outcome = self.record.sessions[-1].get("outcome") if self.record.sessions else None
        return None if outcome is None else int(ExitCode[outcome.upper()])

    @property
    def died(self) -> bool:
        """True where the latest session ended without saying how: killed, or power lost."""
        return self.state is not RunState.RUNNING and self.last_exit_code is None

    @property
    def cores(self) -> int | None:
        """Processor cores of the latest session; None if unknown."""
        return cores_of(self.record.sessions[-1] if self.record.sessions else None)

    def attention(self) -> list[str]:
        """Stable codes of what a person should look at; empty where all is well."""
        causes = {
            "not_running": self.state in {RunState.INCOMPLETE, RunState.FINISHING},
            "died": self.died,
            "stalled": self.is_stalled,
            "failed_cards": self.tally.statuses.get(Status.FAILED, 0) > 0,
            "quarantined_shards": bool(self.tally.quarantined),
            "unreadable_folders": self.record.walk.get("unreadable_folders", 0) > 0,
        }
        return [code for code, holds in causes.items() if holds]

    def as_dict(self) -> dict[str, Any]:
        """The status for JSON; keys are stable."""
        left = self.record.cards - self.tally.cards
        running = self.state is RunState.RUNNING
        return {
            "schema": STATUS_SCHEMA,
            "checked_at": self.checked_at.isoformat(timespec="seconds"),
            "run_id": self.record.run_id,
            "state": self.state.value,
            "attention": self.attention(),
            "archive": self.record.archive,
            "model_id": self.record.model["id"],
            "cards": self.record.cards,
            "cards_done": self.tally.cards,
            "shards": self.record.shards,
            "shards_done": self.tally.shards,
            "shards_quarantined": list(self.tally.quarantined),
            "shards_with_failures": self.with_failures,
            "poison": poison_of(self.tally),
            "unreadable_folders": self.record.walk.get("unreadable_folders", 0),
            "statuses": {each.value: self.tally.statuses.get(each.value, 0) for each in Status},
            "reasons": dict(self.tally.reasons),
            "issues": dict(self.tally.issues),
            "last_progress_at": _iso(self.pace.last_progress),
            "seconds_since_progress": self.seconds_since_progress,
            "stalled": self.is_stalled,
            "stalled_after_seconds": self.stalled_after,
            "session_cards": self.pace.cards,
            "cards_per_second": self.pace.cards_per_second,
            "eta_seconds": self.pace.seconds_left(left) if running and left else None,
            "busy": load_as_dict(self.tally.timings, self.cores),
            "last_exit_code": self.last_exit_code,
            "died": self.died,
            "sessions": len(self.record.sessions),
            "last_session": dict(self.record.sessions[-1]) if self.record.sessions else None,
        }


def starting() -> dict[str, Any]:
    """What ``as_dict`` gives, for a run that has no plan yet."""
    known: dict[str, Any] = {
        "schema": STATUS_SCHEMA,
        "checked_at": _iso(datetime.now(UTC)),
        "state": RunState.STARTING.value,
        "attention": [],
        "stalled": False,
        "died": False,
    }
    return dict.fromkeys(KEYS) | known


def is_starting(run: RunDir) -> bool:
    """True where a process works on a run that has no plan yet."""
    return not run.is_run() and is_held(run.lock)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def read_status(run: RunDir, moment: datetime | None = None) -> RunStatus:
    """Look at a run without touching it; safe while it is being worked on.

    Args:
        run: The run directory.
        moment: The time, in a time zone; now when None.

    Raises:
        UsageError: There is no run.
        DiskError: Its ``run.json`` is damaged.
    """
    record = load_run(run)
    receipts = [r for r in iter_receipts(run) if r.run_id == record.run_id]
    result = tally(receipts)
    return RunStatus(
        record=record,
        state=_state(run, record, result),
        tally=result,
        pace=pace_of(record.sessions[-1] if record.sessions else None, receipts),
        checked_at=moment or datetime.now(UTC),
        with_failures=sum(r.failed_cards > 0 or r.is_poisoned for r in receipts),
    )


def _state(run: RunDir, record: RunRecord, result: Tally) -> RunState:
    if is_held(run.lock):
        return RunState.RUNNING
    if result.shards < record.shards:
        return RunState.INCOMPLETE
    return RunState.COMPLETE if record.outputs_digest else RunState.FINISHING


def describe(status: RunStatus) -> str:
    """The status for people, several lines."""
    record, result = status.record, status.tally
    share = result.cards / record.cards if record.cards else 1.0
    lines = [
        f"run       {record.run_id}  ({status.state})",
        f"archive   {record.archive}",
        f"model     {record.model['id']}",
        f"cards     {result.cards} of {record.cards} ({share:.1%})",
        f"shards    {result.shards} of {record.shards}",
        *(f"  {name:<11} {count}" for name, count in sorted(result.statuses.items())),
    ]
    if result.quarantined:
        lines.append(f"quarantined shards: {', '.join(map(str, result.quarantined))}")
    lines += describe_poison(poison_of(result))
    if status.with_failures:
        lines.append(f"shards with failed cards: {status.with_failures} (see `vin-batch retry`)")
    unreadable = record.walk.get("unreadable_folders", 0)
    if unreadable:
        lines.append(f"folders that could not be listed: {unreadable} (their cards are missing)")
    lines += _describe_pace(status)
    if load := describe_load(result.timings, status.cores):
        lines.append(f"load      {load}")
    if status.state is RunState.INCOMPLETE:
        lines.append("the same `vin-batch run` command resumes")
    return "\n".join(lines)


def _describe_pace(status: RunStatus) -> list[str]:
    if status.died:
        return ["the last session ended without a word: killed, or the machine went down"]
    if status.state is not RunState.RUNNING:
        return []
    pace, left = status.pace, status.record.cards - status.tally.cards
    rate, seconds = pace.cards_per_second, pace.seconds_left(left)
    speed = "" if rate is None else f"{rate:.1f} cards/s, "
    rest = "" if seconds is None or not left else f"{seconds / 60:.0f} minutes left, "
    stuck = " (stuck? see the log)" if status.is_stalled else ""
    return [
        f"pace      {speed}{rest}last progress {status.seconds_since_progress:.0f} s ago{stuck}"
    ]
