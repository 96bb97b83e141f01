"""How far a run is, from ``run.json`` and receipts alone. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vin_batch.batch.ledger import RunRecord, Tally, load_run, tally
from vin_batch.batch.lock import is_held
from vin_batch.batch.receipts import iter_receipts
from vin_batch.batch.rundir import RunDir


class RunState(StrEnum):
    """Where a run stands."""

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
    """

    record: RunRecord
    state: RunState
    tally: Tally
    with_failures: int

    def as_dict(self) -> dict[str, Any]:
        """The status for JSON; keys are stable."""
        return {
            "run_id": self.record.run_id,
            "state": self.state.value,
            "archive": self.record.archive,
            "model_id": self.record.model["id"],
            "cards": self.record.cards,
            "cards_done": self.tally.cards,
            "shards": self.record.shards,
            "shards_done": self.tally.shards,
            "shards_quarantined": list(self.tally.quarantined),
            "shards_with_failures": self.with_failures,
            "unreadable_folders": self.record.walk.get("unreadable_folders", 0),
            "statuses": dict(self.tally.statuses),
            "reasons": dict(self.tally.reasons),
            "issues": dict(self.tally.issues),
            "sessions": len(self.record.sessions),
            "last_session": dict(self.record.sessions[-1]) if self.record.sessions else None,
        }


def read_status(run: RunDir) -> RunStatus:
    """Look at a run without touching it; safe while it is being worked on.

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
        with_failures=sum(r.failed_cards > 0 for r in receipts),
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
    if status.with_failures:
        lines.append(f"shards with failed cards: {status.with_failures} (see `vin-batch retry`)")
    unreadable = record.walk.get("unreadable_folders", 0)
    if unreadable:
        lines.append(f"folders that could not be listed: {unreadable} (their cards are missing)")
    if status.state is RunState.INCOMPLETE:
        lines.append("the same `vin-batch run` command resumes")
    return "\n".join(lines)
