"""What ``run`` and ``retry`` share: real tools, and the last words."""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable
from functools import partial

from vin_batch.batch.bottleneck import cores_of, describe_load
from vin_batch.batch.engine import Engine
from vin_batch.batch.job import JobOutcome, JobTools, refused_again, run_job
from vin_batch.batch.poison import describe_poison, poison_of
from vin_batch.batch.receipts import Receipt
from vin_batch.batch.rundir import OUTPUT_NAMES, RunDir
from vin_batch.batch.score import bind_judge
from vin_batch.batch.status import RunStatus, read_status
from vin_batch.classifier.base import Classifier
from vin_batch.classifier.model_card import ModelCard
from vin_batch.config import RunConfig
from vin_batch.errors import DiskError, ExitCode, VinBatchError
from vin_batch.export.readings_csv import write_readings_csv
from vin_batch.preprocess import preprocess_bytes
from vin_batch.report.html import write_report
from vin_batch.report.logs import log_format
from vin_batch.report.progress import Progress
from vin_batch.report.summary import write_summary
from vin_batch.report.textfile import (
    SessionFacts,
    require_place,
    session_metrics,
    write_textfile,
)

logger = logging.getLogger(__name__)


def run_and_tell(
    config: RunConfig,
    args: argparse.Namespace,
    again: Callable[[Receipt], bool] = refused_again,
) -> ExitCode:
    """Do the job and say on stderr what came of it; write metrics, if so configured.

    Args:
        config: The settings.
        args: Has ``progress``.
        again: Finished shards that are read again.

    Returns:
        The exit code of the run.
    """
    if config.textfile is not None:
        require_place(config.textfile)
    began = time.monotonic()
    code = ExitCode.DEFECT
    try:
        outcome = run_job(config, real_tools(args.progress), again)
        code = outcome.exit_code
    except VinBatchError as error:
        code = error.exit_code
        raise
    finally:
        write_metrics(config, code, time.monotonic() - began)
    for line in last_words(outcome).splitlines():
        logger.log(logging.INFO if code is ExitCode.DONE else logging.WARNING, "%s", line)
    return code


def write_metrics(config: RunConfig, code: ExitCode, seconds: float) -> None:
    """Write the textfile of a session, if there is to be one.

    A textfile that cannot be written costs a line in the log and not the run: its age tells.

    Args:
        config: The settings.
        code: How the session ended.
        seconds: How long it lasted.
    """
    if config.textfile is None:
        return
    status = _status_of(config)
    facts = SessionFacts(
        archive=os.fspath(config.archive),
        exit_code=code,
        finished_at=round(time.time(), 3),
        seconds=round(seconds, 3),
        status=status,
        cards_read=_cards_read(status),
    )
    try:
        write_textfile(config.textfile, session_metrics(facts))
    except DiskError as error:
        logger.error("%s | advice: %s", error.message, error.advice)


def _status_of(config: RunConfig) -> RunStatus | None:
    try:
        return read_status(RunDir(config.output))
    except VinBatchError:
        return None


def _cards_read(status: RunStatus | None) -> int | None:
    """Cards of the session of this process; None where it never began."""
    if status is None or not status.record.sessions:
        return None
    return status.pace.cards if status.record.sessions[-1].get("pid") == os.getpid() else None


def _with_bar(asked: bool | None) -> bool | None:
    """A bar is no JSON: between JSON lines it comes only where somebody asks for it."""
    return False if asked is None and log_format() == "json" else asked


def real_tools(progress: bool | None) -> JobTools:
    """The tools of a real run; TensorFlow is imported only when a shard is to be read."""
    return JobTools(
        open_classifier=open_real_classifier,
        bind_judge=bind_judge,
        prepare=preprocess_bytes,
        progress=partial(Progress, enabled=_with_bar(progress)),
        finishers=(write_readings_csv, write_summary, write_report),
        engines={"ray": open_ray_engine},
    )


def open_ray_engine(config: RunConfig) -> Engine:
    """Let a Ray cluster do the work.

    Raises:
        UsageError: Ray is not installed.
    """
    from vin_batch.cluster.engine import RayEngine  # noqa: PLC0415 - Ray comes with an extra

    return RayEngine(config)


def open_real_classifier(card: ModelCard, device: str) -> Classifier:
    """Load a model with Keras."""
    from vin_batch.classifier.keras_classifier import open_classifier  # noqa: PLC0415

    return open_classifier(card, device)


def last_words(outcome: JobOutcome) -> str:
    """What a person wants to know at the end of a run."""
    tally = outcome.tally
    counts = ", ".join(f"{count} {name}" for name, count in sorted(tally.statuses.items()))
    idle = "this slice" if outcome.pending else "the run"
    lines = [] if outcome.shards_worked else [f"nothing to do: {idle} is complete"]
    lines.append(f"{tally.cards} cards: {counts}")
    if tally.quarantined:
        lines.append(f"{len(tally.quarantined)} shards are quarantined: their workers died")
    lines += describe_poison(poison_of(tally))
    if tally.poisoned or tally.statuses.get("failed"):
        lines.append("once the cause is repaired, `vin-batch retry` reads the failed cards again")
    if outcome.unreadable_folders:
        lines.append(
            f"{outcome.unreadable_folders} folders could not be listed: their cards are missing"
        )
    if outcome.shards_worked:
        sessions = outcome.record.sessions
        load = describe_load(tally.timings, cores_of(sessions[-1] if sessions else None))
        lines += [load] if load else []
    if outcome.pending:
        lines.append(
            f"this slice is done; {outcome.pending} shards of other slices are not: the last slice "
            f"to end, or a plain `vin-batch run`, writes {', '.join(OUTPUT_NAMES)}"
        )
        return "\n".join(lines)
    where = ", ".join(path.name for path in outcome.run.outputs)
    lines.append(f"results: {outcome.run.root} ({where}, readings/)")
    return "\n".join(lines)
