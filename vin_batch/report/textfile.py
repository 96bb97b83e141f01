"""Metrics of a session for Prometheus, in a file that node_exporter's textfile collector reads.

The format is the text exposition format 0.0.4
(https://prometheus.io/docs/instrumenting/exposition_formats/): HELP and TYPE before the samples
of a metric, label values escaped, a line end at the end. Time stamps are left out, since the
collector refuses them. ``prometheus_client`` could write it too, but neither flushes the file to
the disk nor gives it permissions; in the tests its parser checks what is written here.

A metric has one meaning in every file: several archives on one machine write a file each, told
apart by the label ``archive``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vin_batch.batch.atomic import write_atomic
from vin_batch.batch.bottleneck import cores_of, load_of
from vin_batch.batch.status import RunStatus
from vin_batch.errors import ExitCode, UsageError
from vin_batch.records import BoxIssue, Status

PUBLIC_MODE: Final = 0o644
"""The collector runs as another user; the file holds nothing but numbers and a path."""
BACKLOG_STATES: Final = ("new", "changed", "waiting", "missing")
"""What a catalogue says about cards: never read, read before they changed, still being
written, and gone from the archive."""
_LABEL_ESCAPES: Final = {ord("\\"): "\\\\", ord('"'): '\\"', ord("\n"): "\\n"}
_HELP_ESCAPES: Final = {ord("\\"): "\\\\", ord("\n"): "\\n"}


@dataclass(frozen=True, slots=True)
class Metric:
    """A gauge.

    Attributes:
        name: ``vin_batch_…``, with the unit at the end.
        text: What it means.
        samples: Labels and value of each sample.
    """

    name: str
    text: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What is known at the end of a session, whatever its outcome.

    Attributes:
        archive: Root of the cards.
        exit_code: How it ended.
        finished_at: When, seconds since 1970.
        seconds: How long it lasted.
        status: How its run stands; None where there is no run.
        cards_read: Cards that it read; None where that is not known.
        backlog: Cards of the archive that are to be read, by ``BACKLOG_STATES``; empty where
            nobody looked.
    """

    archive: str
    exit_code: int
    finished_at: float
    seconds: float
    status: RunStatus | None = None
    cards_read: int | None = None
    backlog: Mapping[str, int] = field(default_factory=dict)


def write_textfile(path: Path, metrics: Iterable[Metric], mode: int = PUBLIC_MODE) -> None:
    """Write metrics atomically, flushed to the disk.

    Args:
        path: The file; its name should end in ``.prom``.
        metrics: What to write.
        mode: Permissions, whatever the umask.

    Raises:
        DiskError: The file cannot be written.
    """
    write_atomic(path, render(metrics), "textfile", mode)


def require_place(path: Path) -> None:
    """Make sure that metrics can be written, before anything expensive begins.

    Raises:
        UsageError: There is no such folder.
    """
    if not path.parent.is_dir():
        raise UsageError(
            f"there is no folder {path.parent} for the textfile",
            "Give a file in the folder of node_exporter's --collector.textfile.directory.",
        )


def render(metrics: Iterable[Metric]) -> bytes:
    """Metrics in the text exposition format, UTF-8."""
    lines = []
    for metric in metrics:
        lines.append(f"# HELP {metric.name} {metric.text.translate(_HELP_ESCAPES)}")
        lines.append(f"# TYPE {metric.name} gauge")
        lines += [f"{metric.name}{_labels(labels)} {_number(n)}" for labels, n in metric.samples]
    return "".join(f"{line}\n" for line in lines).encode()


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(int(value))
    return repr(value) if math.isfinite(value) else {"inf": "+Inf", "-inf": "-Inf"}[str(value)]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{','.join(pairs)}}}"


def _escaped(value: str) -> str:
    # A path that is not UTF-8 holds surrogates.
    whole = value.encode("utf-8", "backslashreplace").decode()
    return whole.translate(_LABEL_ESCAPES)


def session_metrics(facts: SessionFacts) -> tuple[Metric, ...]:
    """Metrics of a run's session, or of a night.

    What is not known is left out rather than zero: an alert on its absence can tell.

    Args:
        facts: What is known.

    Returns:
        Metrics for ``write_textfile``.
    """
    metrics = [*_of_the_session(facts)]
    if facts.status is not None:
        metrics += _of_the_run(facts.archive, facts.status)
    if facts.backlog:
        metrics.append(
            _by(
                "state",
                facts.archive,
                "vin_batch_backlog_cards",
                "Cards that are new, changed since they were read, waiting until nobody writes "
                "them any more, or missing from the archive.",
                {state: facts.backlog.get(state, 0) for state in BACKLOG_STATES},
            )
        )
    return tuple(metrics)


def _of_the_session(facts: SessionFacts) -> Iterable[Metric]:
    archive = facts.archive
    yield _one(
        archive,
        "vin_batch_last_run_timestamp_seconds",
        "When the last session ended, however it ended, in seconds since 1970.",
        facts.finished_at,
    )
    yield _one(
        archive,
        "vin_batch_last_run_exit_code",
        "Exit code of the last session: 0 all done, 3 finished but some cards failed.",
        facts.exit_code,
    )
    yield _one(
        archive,
        "vin_batch_last_run_finished",
        "1 if the last session finished its work (exit code 0 or 3), 0 if it did not.",
        int(facts.exit_code in {ExitCode.DONE, ExitCode.FINISHED_WITH_FAILURES}),
    )
    yield _one(
        archive,
        "vin_batch_last_run_duration_seconds",
        "How long the last session lasted.",
        facts.seconds,
    )
    if facts.cards_read is None:
        return
    yield _one(
        archive,
        "vin_batch_last_run_cards_read",
        "Cards that the last session read.",
        facts.cards_read,
    )
    if facts.seconds > 0:
        yield _one(
            archive,
            "vin_batch_last_run_cards_per_second",
            "Cards that the last session read, by how long it lasted, start and end included.",
            round(facts.cards_read / facts.seconds, 3),
        )


def _of_the_run(archive: str, status: RunStatus) -> Iterable[Metric]:
    record, tally = status.record, status.tally
    statuses = {each.value: tally.statuses.get(each.value, 0) for each in Status}
    yield _one(archive, "vin_batch_run_planned_cards", "Cards of the run.", record.cards)
    yield _by(
        "status", archive, "vin_batch_run_cards", "Cards of the run that have a row.", statuses
    )
    yield _one(
        archive,
        "vin_batch_run_accepted_ratio",
        "Accepted cards among those of the run that have a row, 0 to 1.",
        round(statuses[Status.ACCEPTED] / tally.cards, 6) if tally.cards else 0.0,
    )
    yield _by(
        "issue",
        archive,
        "vin_batch_run_boxes",
        "Boxes of the run that gave no evidence, by cause.",
        {issue.code: tally.issues.get(issue.code, 0) for issue in BoxIssue if issue},
    )
    yield _one(
        archive,
        "vin_batch_run_quarantined_shards",
        "Shards of the run that no worker survived.",
        len(tally.quarantined),
    )
    yield _one(
        archive,
        "vin_batch_run_failed_shards",
        "Shards of the run that vin-batch retry would read again.",
        status.with_failures,
    )
    yield _one(
        archive,
        "vin_batch_run_unreadable_folders",
        "Folders of the archive that could not be listed: their cards are missing.",
        int(record.walk.get("unreadable_folders", 0)),
    )
    yield _one(
        archive,
        "vin_batch_run_read_bytes",
        "Bytes of the box files that the run has read.",
        tally.read_bytes,
    )
    session = record.sessions[-1] if record.sessions else None
    busy = load_of(tally.timings, cores_of(session)).as_dict()
    known = {part: share for part, share in busy.items() if share is not None}
    if known:
        yield _by(
            "part",
            archive,
            "vin_batch_run_busy_ratio",
            "Time in which a part of the job was at work, 0 to 1: classifier, main process (the "
            "classifier and what comes after it), workers, processor cores.",
            known,
        )


def _one(archive: str, name: str, text: str, value: float) -> Metric:
    return Metric(name, text, (({"archive": archive}, value),))


def _by(label: str, archive: str, name: str, text: str, counts: Mapping[str, float]) -> Metric:
    samples = tuple(({"archive": archive, label: key}, count) for key, count in counts.items())
    return Metric(name, text, samples)
