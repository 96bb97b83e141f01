"""What ``run`` and ``retry`` share: real tools, and the last words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from vin_batch.batch.job import JobOutcome, JobTools, nothing_again, run_job
from vin_batch.batch.receipts import Receipt
from vin_batch.batch.score import bind_judge
from vin_batch.classifier.base import Classifier
from vin_batch.classifier.model_card import ModelCard
from vin_batch.config import RunConfig
from vin_batch.errors import ExitCode
from vin_batch.export.readings_csv import write_readings_csv
from vin_batch.preprocess import preprocess_bytes
from vin_batch.report.html import write_report
from vin_batch.report.logs import configure_logging
from vin_batch.report.progress import Progress
from vin_batch.report.summary import write_summary


def run_and_tell(
    config: RunConfig,
    args: argparse.Namespace,
    again: Callable[[Receipt], bool] = nothing_again,
) -> ExitCode:
    """Do the job and say on stderr what came of it.

    Args:
        config: The settings.
        args: Has ``progress``, ``log_level`` and ``log_format``.
        again: Finished shards that are read again.

    Returns:
        The exit code of the run.
    """
    configure_logging(args.log_level, args.log_format)
    outcome = run_job(config, real_tools(args.progress), again)
    print(last_words(outcome), file=sys.stderr)
    return outcome.exit_code


def real_tools(progress: bool | None) -> JobTools:
    """The tools of a real run; TensorFlow is imported only when a shard is to be read."""
    return JobTools(
        open_classifier=open_real_classifier,
        bind_judge=bind_judge,
        prepare=preprocess_bytes,
        progress=partial(Progress, enabled=progress),
        finishers=(write_readings_csv, write_summary, write_report),
    )


def open_real_classifier(card: ModelCard, device: str) -> Classifier:
    """Load a model with Keras."""
    from vin_batch.classifier.keras_classifier import open_classifier  # noqa: PLC0415

    return open_classifier(card, device)


def last_words(outcome: JobOutcome) -> str:
    """What a person wants to know at the end of a run."""
    tally = outcome.tally
    counts = ", ".join(f"{count} {name}" for name, count in sorted(tally.statuses.items()))
    lines = ["nothing to do: the run is complete"] if not outcome.shards_worked else []
    lines.append(f"{tally.cards} cards: {counts}")
    if tally.quarantined:
        lines.append(f"{len(tally.quarantined)} shards are quarantined: their workers died")
    if tally.quarantined or tally.statuses.get("failed"):
        lines.append("once the cause is repaired, `vin-batch retry` reads the failed cards again")
    if outcome.unreadable_folders:
        lines.append(
            f"{outcome.unreadable_folders} folders could not be listed: their cards are missing"
        )
    where = ", ".join(path.name for path in outcome.run.outputs)
    lines.append(f"results: {outcome.run.root} ({where}, readings/)")
    return "\n".join(lines)
