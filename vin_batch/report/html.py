"""``report.html``: a run on one page, for people. No scripts, no network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from vin_batch.batch.atomic import write_atomic
from vin_batch.batch.ledger import readings_digest
from vin_batch.batch.poison import describe_poison
from vin_batch.batch.rundir import RunDir
from vin_batch.records import Status
from vin_batch.report import markup
from vin_batch.report.queue import ReviewCard, review_queue
from vin_batch.report.summary import SUMMARY_SCHEMA, summarise

QUEUE_LENGTH: Final = 50
"""Cards of the review queue on the page; all are in the readings."""
MEANINGS: Final = {
    Status.ACCEPTED: "clear: the threshold of the model aims at no more than 1 wrong in 1,000",
    Status.REVIEW: "read, but a person should look",
    Status.UNREADABLE: "too little ink, or plainly no VIN",
    Status.FAILED: "files could not be read",
}
_NUMERIC_SECOND: Final = frozenset((1,))


def write_report(run_dir: Path) -> Path:
    """Write ``report.html``.

    Args:
        run_dir: The run directory, finished or not.

    Returns:
        The page.

    Raises:
        UsageError: The directory holds no run.
        DiskError: The run is damaged, or the page cannot be written.
    """
    run = RunDir(run_dir)
    summary = _fresh_summary(run) or summarise(run)
    page = render(summary, review_queue(run, QUEUE_LENGTH))
    path = run_dir / "report.html"
    write_atomic(path, page.encode("utf-8", errors="backslashreplace"), "report")
    return path


def render(summary: Mapping[str, Any], queue: list[ReviewCard]) -> str:
    """Make the page.

    Args:
        summary: As ``summarise`` gives it.
        queue: The most worthwhile cards in review.

    Returns:
        HTML; every value in it is escaped.
    """
    return markup.page(f"vin_batch run {summary['run_id'][:12]}", _body(summary, queue))


def _body(summary: Mapping[str, Any], queue: list[ReviewCard]) -> Iterator[str]:
    yield f"<h1>{summary['cards']:,} cards read</h1>"
    sessions = summary["sessions"]
    yield markup.paragraph(
        f"{summary['archive']} · model {summary['model'].get('id', 'unknown')} · "
        f"finished {sessions['latest_finished_at'] or 'not yet'}",
        "lead",
    )
    yield from (markup.paragraph(warning, "warning") for warning in _warnings(summary))
    yield markup.section("Status", _statuses(summary))
    yield markup.section("Confidence", *_confidence(summary))
    yield '<div class="columns">'
    yield markup.section("Reasons", _counts("reason", "cards", summary["reasons"]))
    yield markup.section("Boxes without evidence", _counts("issue", "boxes", summary["issues"]))
    yield "</div>"
    yield markup.section("Review queue", *_queue(summary, queue))
    yield '<div class="columns">'
    yield markup.section("Makers", _counts("maker", "cards", summary["makers"]))
    yield markup.section("Check digits", _counts("state", "cards", summary["check_digits"]))
    yield "</div>"
    yield markup.section("Time", *_time(summary))
    yield markup.section("Run", _facts(summary))


def _warnings(summary: Mapping[str, Any]) -> Iterator[str]:
    """What an operator must not overlook."""
    if not summary["complete"]:
        yield (
            f"This run is not complete: {summary['cards']:,} of {summary['cards_planned']:,} "
            "cards. The same vin-batch run command finishes it."
        )
    if summary["quarantined_shards"]:
        numbers = ", ".join(map(str, summary["quarantined_shards"]))
        yield f"Shards {numbers} could not be read by any worker; try vin-batch retry."
    if poison := summary.get("poison"):
        yield from (line[0].upper() + line[1:] for line in describe_poison(poison))
    lost = summary["walk"].get("unreadable_folders", 0)
    if lost:
        yield f"{lost} folders of the archive could not be listed: their cards are missing."
    if summary["statuses"][Status.FAILED]:
        yield (
            f"{summary['statuses'][Status.FAILED]:,} cards failed: repair their files, then "
            "vin-batch retry."
        )


def _statuses(summary: Mapping[str, Any]) -> str:
    rows = [
        (
            markup.dot(status) + markup.text(status.value),
            f"{summary['statuses'][status]:,}",
            f"{summary['shares'][status]:.1%}",
            markup.text(meaning),
        )
        for status, meaning in MEANINGS.items()
    ]
    bar = markup.share_bar({status: summary["statuses"][status] for status in MEANINGS})
    heads = ("status", "cards", "share", "meaning")
    return bar + markup.table(heads, rows, frozenset((1, 2)))


def _confidence(summary: Mapping[str, Any]) -> Iterator[str]:
    histogram = summary["confidence_histogram"]
    series = {status.value: histogram[status] for status in MEANINGS if status in histogram}
    yield markup.paragraph(
        "Calibrated probability that the VIN is the one on the card, by status; heights on a "
        "square-root scale. Cards without a reading count as 0."
    )
    yield markup.stacked_histogram(series, "Cards by confidence")


def _counts(name: str, unit: str, counts: Mapping[str, int]) -> str:
    if not counts:
        return markup.paragraph("None.")
    rows = [(markup.text(key), f"{count:,}") for key, count in counts.items()]
    return markup.table((name, unit), rows, _NUMERIC_SECOND)


def _queue(summary: Mapping[str, Any], queue: list[ReviewCard]) -> Iterator[str]:
    if not queue:
        yield markup.paragraph("No card waits for a look.")
        return
    yield markup.paragraph(
        f"{len(queue)} of {summary['statuses'][Status.REVIEW]:,} cards in review, those most "
        "worth a look first: likely among the offered VINs, with few boxes in doubt. Doubtful "
        "characters are underlined."
    )
    rows = [
        (
            f"<code>{markup.text(card.card_id)}</code>",
            markup.marked(card.vin, card.doubtful) + "<br>" + markup.marked(card.raw_vin, ()),
            f"{card.confidence:.1%}",
            "<br>".join(_alternative(card, vin, prob) for vin, prob in card.alternatives[:3]),
            markup.text(", ".join(card.reasons)),
        )
        for card in queue
    ]
    heads = ("card", "VIN, and as the ink reads", "confidence", "or", "reasons")
    yield markup.table(heads, rows, frozenset((2,)))


def _alternative(card: ReviewCard, vin: str, prob: float) -> str:
    differing = (p for p in range(1, len(vin) + 1) if vin[p - 1] != card.vin[p - 1])
    return f"{markup.marked(vin, differing)} {prob:.1%}"


def _time(summary: Mapping[str, Any]) -> Iterator[str]:
    timings = summary["timings"]
    if words := timings.get("words"):
        yield markup.paragraph(words[0].upper() + words[1:] + ".")
    rows = [
        (markup.text(stage), f"{seconds:,.1f}") for stage, seconds in timings["seconds"].items()
    ]
    yield markup.table(("stage", "seconds"), rows, _NUMERIC_SECOND)


def _facts(summary: Mapping[str, Any]) -> str:
    resources, sessions, timings = (summary[name] for name in ("resources", "sessions", "timings"))
    rate = timings["cards_per_second"]
    facts = {
        "run": summary["run_id"],
        "archive": summary["archive"],
        "model": f"{summary['model'].get('id', '')} {summary['model'].get('sha256', '')}",
        "shards": f"{summary['shards']} of {summary['shards_planned']}",
        "sessions": f"{sessions['count']}, {sessions['seconds']:,.0f} s, "
        f"last one: {sessions['latest_outcome'] or 'not finished'}",
        "rate": f"{rate:,.0f} cards/s" if rate else "unknown",
        "read": f"{timings.get('read_bytes', 0) / 1e6:,.1f} MB of box files",
        "devices": _joined(resources["shards_by_device"]),
        "hosts": _joined(resources["shards_by_host"]),
        "memory": f"main {resources['main_rss_bytes'] / 2**20:,.0f} MiB, "
        f"worker {resources['worker_rss_bytes'] / 2**20:,.0f} MiB",
        "beside the boxes": f"{summary['extra_boxes']} extra images, "
        f"{summary['ignored_files']} other files ignored",
        "changed by the rules": f"{summary['changed_by_rules']:,} cards",
        "archive walk": _joined(
            {name: n for name, n in summary["walk"].items() if isinstance(n, int)}
        ),
        "versions": _joined({"vin_batch": summary["package_version"], **summary["versions"]}),
    }
    rows = [(markup.text(name), markup.text(value)) for name, value in facts.items()]
    return markup.table(("fact", "value"), rows)


def _joined(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _fresh_summary(run: RunDir) -> dict[str, Any] | None:
    """The summary on disk, if it was made from the readings as they are now."""
    try:
        found = json.loads((run.root / "summary.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("schema") != SUMMARY_SCHEMA:
        return None
    return found if found.get("readings_digest") == readings_digest(run) else None
