"""``nights/<number>.json``: what became of one night, for machines and for people."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from vin_batch.batch.atomic import write_atomic
from vin_batch.batch.host import host_name, now, resident_bytes
from vin_batch.batch.job import JobOutcome
from vin_batch.errors import ExitCode, VinBatchError
from vin_batch.nightly.choosing import Findings
from vin_batch.nightly.deliveries import Deliveries
from vin_batch.nightly.nightdir import NightDir
from vin_batch.nightly.retention import Pruned
from vin_batch.nightly.selection import Fate

SUMMARY_SCHEMA: Final = 1


@dataclass(slots=True)
class NightSummary:
    """A night as far as it has come.

    Attributes:
        night: Its name.
        archive: Root of the card folders.
        model_id: The model of the night.
        findings: What the walk found; None while it has not ended.
        read: Cards that were chosen for reading, by reason.
        deferred: Cards that would have been read, had ``max_cards`` allowed it.
        jobs: Runs that were finished or made, by name.
        closed: An unfinished run that could not be finished: its model or settings are gone.
        rebuilt: Why the catalogue was made again from the runs.
        cards: Cards of the catalogue.
        missing: Those among them that are not in the archive.
        current: Whether the files of current readings were written.
        exports: What was handed on.
        pruned: What was removed.
        seconds: Time by step.
        outcome: How it ended, an exit code's name.
        error: What stopped it.
    """

    night: str
    archive: str
    started_at: str = field(default_factory=now)
    model_id: str = ""
    findings: Findings | None = None
    read: Mapping[Fate, int] = field(default_factory=dict)
    deferred: int = 0
    jobs: dict[str, JobOutcome] = field(default_factory=dict)
    closed: str | None = None
    rebuilt: str = ""
    cards: int = 0
    missing: int = 0
    current: bool = False
    exports: Deliveries = field(default_factory=Deliveries)
    pruned: Pruned = field(default_factory=Pruned)
    seconds: dict[str, float] = field(default_factory=dict)
    outcome: ExitCode = ExitCode.DONE
    error: str | None = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step of the night."""
        began = time.perf_counter()
        try:
            yield
        finally:
            lasted = time.perf_counter() - began
            self.seconds[name] = round(self.seconds.get(name, 0.0) + lasted, 3)

    @property
    def statuses(self) -> Counter[str]:
        """Readings of tonight's runs by status."""
        counts: Counter[str] = Counter()
        for job in self.jobs.values():
            counts.update(job.tally.statuses)
        return counts

    @property
    def exit_code(self) -> ExitCode:
        """``DONE``, or ``FINISHED_WITH_FAILURES`` where anything was lost tonight.

        What was not handed on weighs more: that of the export.
        """
        if self.exports.exit_code:
            return self.exports.exit_code
        unlisted = self.findings.totals.unreadable_folders if self.findings else 0
        lost = any(job.exit_code is not ExitCode.DONE for job in self.jobs.values())
        return ExitCode.FINISHED_WITH_FAILURES if lost or unlisted else ExitCode.DONE

    def stopped(self, error: VinBatchError) -> None:
        """Note what stopped the night."""
        self.outcome, self.error = error.exit_code, error.message

    def as_dict(self) -> dict[str, Any]:
        """The night for JSON; keys are stable."""
        return {
            "schema": SUMMARY_SCHEMA,
            "night": self.night,
            "started_at": self.started_at,
            "finished_at": now(),
            "outcome": self.outcome.name.lower(),
            "exit_code": int(self.outcome),
            "error": self.error,
            "archive": self.archive,
            "model_id": self.model_id,
            "runs": list(self.jobs),
            "closed_run": self.closed,
            "read": {fate.value: count for fate, count in self.read.items()},
            "deferred": self.deferred,
            "statuses": dict(self.statuses),
            **self._findings(),
            "catalogue": {
                "cards": self.cards,
                "missing": self.missing,
                "rebuilt": self.rebuilt or None,
            },
            "current_written": self.current,
            "exports": [delivery.as_dict() for delivery in self.exports.made],
            "removed_runs": self.pruned.runs,
            "removed_outputs": self.pruned.outputs,
            "seconds": self.seconds,
            "rss_bytes": resident_bytes(),
            "host": host_name(),
        }

    def _findings(self) -> dict[str, Any]:
        found = self.findings
        if found is None:
            return {"found": None, "walk": None}
        return {
            "found": {
                **{fate.value: found.fates[fate] for fate in Fate},
                "touched": found.touched,
                "returned": found.returned,
                "newly_missing": found.newly_missing,
                "newly_missing_examples": found.missing_examples,
                "waiting_examples": found.waiting_examples,
            },
            "walk": found.totals.as_dict(),
        }


def save_summary(nights: NightDir, summary: NightSummary) -> None:
    """Write the summary of a night.

    Raises:
        DiskError: The system refused.
    """
    text = json.dumps(summary.as_dict(), indent=1, ensure_ascii=False) + "\n"
    # Paths that are not UTF-8 show their bytes.
    data = text.encode("utf-8", "backslashreplace")
    write_atomic(nights.summary(summary.night), data, "night")


def last_words(nights: NightDir, summary: NightSummary) -> str:
    """What a person wants to know in the morning."""
    found = summary.findings
    lines = [f"night {summary.night}"]
    if found is not None:
        reasons = [f"{count} {fate.value}" for fate, count in summary.read.items() if count]
        known = found.fates[Fate.KNOWN]
        lines.append(f"read: {', '.join(reasons) or 'nothing'}; known and unchanged: {known}")
        for count, words in (
            (summary.deferred, "cards are left for other nights by max_cards"),
            (found.fates[Fate.WAITING], "cards may still be written and wait"),
            (found.newly_missing, f"cards disappeared since the last night, see {nights.missing}"),
            (found.totals.unreadable_folders, "folders could not be listed"),
            (found.totals.device_errors, "of them because the disk or the network failed"),
        ):
            if count:
                lines.append(f"{count} {words}")
    counts = ", ".join(f"{count} {name}" for name, count in sorted(summary.statuses.items()))
    if counts:
        lines.append(f"readings: {counts}")
    lines.append(f"catalogue: {summary.cards} cards, {summary.missing} of them missing")
    lines += map(str, summary.exports.made)
    lines.append(f"summary: {nights.summary(summary.night)}")
    return "\n".join(lines)
