"""What monitoring is told about a night."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from vin_batch.batch.host import now
from vin_batch.batch.status import read_status
from vin_batch.nightly.nightdir import NightDir
from vin_batch.nightly.selection import Fate
from vin_batch.nightly.summary import NightSummary
from vin_batch.report.textfile import Metric, SessionFacts, session_metrics


def night_metrics(nights: NightDir, summary: NightSummary) -> tuple[Metric, ...]:
    """Metrics of a night that has ended, well or not.

    Args:
        nights: The directory of nights.
        summary: What became of the night.
    """
    latest = next(reversed(summary.jobs), None)
    ended, began = (datetime.fromisoformat(each) for each in (now(), summary.started_at))
    facts = SessionFacts(
        archive=summary.archive,
        exit_code=int(summary.outcome),
        finished_at=ended.timestamp(),
        seconds=max(0.0, (ended - began).total_seconds()),
        status=None if latest is None else read_status(nights.run(latest)),
        cards_read=sum(summary.statuses.values()),
        backlog=_backlog(summary),
    )
    return (*session_metrics(facts), *_of_exports(summary))


def _of_exports(summary: NightSummary) -> Iterator[Metric]:
    made = summary.exports.made
    if not made:
        return
    for name, text, value in (
        ("success", "1 if the last night handed on all it had, 0 if it failed.",
         lambda delivery: int(not delivery.error)),
        ("cards", "Cards that the last night handed on.", lambda delivery: delivery.cards),
    ):  # fmt: skip
        samples = tuple(
            ({"archive": summary.archive, "export": delivery.name}, value(delivery))
            for delivery in made
        )
        yield Metric(f"vin_batch_export_{name}", text, samples)


def _backlog(summary: NightSummary) -> dict[str, int]:
    """Cards that are still to be read after this night; empty where nobody looked."""
    found = summary.findings
    if found is None:
        return {}
    left = {
        fate: found.fates[fate] - summary.read.get(fate, 0) for fate in (Fate.NEW, Fate.CHANGED)
    }
    return {
        "new": left[Fate.NEW],
        "changed": left[Fate.CHANGED],
        "waiting": found.fates[Fate.WAITING],
        "missing": summary.missing,
    }
