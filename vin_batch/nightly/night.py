"""One night: finish what was left, find what is new, read it, write it down, tidy up."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from vin_batch.archive import ArchiveRoot, open_archive
from vin_batch.batch import faults
from vin_batch.batch.atomic import disk_errors, file_mode, write_atomic
from vin_batch.batch.job import JobOutcome, JobTools, run_job
from vin_batch.batch.lock import hold
from vin_batch.batch.opening import telling
from vin_batch.batch.plan import Selection
from vin_batch.batch.signals import StopSignals
from vin_batch.classifier.choice import choose_inference
from vin_batch.classifier.model_card import load_model_card, require_vin_classes
from vin_batch.config import RunConfig
from vin_batch.corrections import layer
from vin_batch.errors import DiskError, VinBatchError
from vin_batch.nightly.attempts import reader_digest, survey
from vin_batch.nightly.catalogue import Catalogue, open_catalogue
from vin_batch.nightly.choosing import Findings, choose, chosen
from vin_batch.nightly.current import write_current, write_missing
from vin_batch.nightly.deliveries import Exporter, Results, correction_layers
from vin_batch.nightly.fold import fold
from vin_batch.nightly.keeping import bring_up_to_date
from vin_batch.nightly.nightdir import NightDir, prepare_locked, prepare_root
from vin_batch.nightly.retention import current_runs, prune
from vin_batch.nightly.selection import Rules
from vin_batch.nightly.settings import NightConfig
from vin_batch.nightly.summary import NightSummary, save_summary

logger = logging.getLogger(__name__)

CLOCK_DIFFERENCE: Final = 60.0
"""Seconds that nobody needs to hear of: two nights started by hand, or a clock that was set."""


def _run(config: RunConfig, tools: JobTools, selection: Selection | None) -> JobOutcome:
    return run_job(config, tools, selection=selection)


@dataclass(frozen=True, slots=True)
class NightTools:
    """What a night is done with; tests put others in.

    Attributes:
        job: For the runs.
        run: Does a run; ``run_job``.
        exporters: Hand the results on; called in order, after the files of current readings
            were written and before anything is removed. While one fails, nothing is.
        tell: Told of every night that ends, well or not, after its summary was written.
    """

    job: JobTools
    run: Callable[[RunConfig, JobTools, Selection | None], JobOutcome] = _run
    exporters: tuple[Exporter, ...] = ()
    tell: Callable[[NightConfig, NightSummary], object] = lambda config, summary: None


@dataclass(slots=True)
class _Night:
    config: NightConfig
    tools: NightTools
    nights: NightDir
    summary: NightSummary
    check: Callable[[], None]
    allow_missing: bool

    def run(self) -> None:
        """Do the whole night."""
        root = open_archive(self.config.archive)
        fingerprint = self._fingerprint()
        with self.summary.step("resume"):
            self._resume(fingerprint)
        with self.summary.step("catalogue"):
            kept = bring_up_to_date(self.nights, self.check)
        self.summary.rebuilt = kept.rebuilt
        faults.point("night:kept")
        with self.summary.step("choose"):
            findings = self._choose(root, kept.catalogue, reader_digest(fingerprint))
        faults.point("night:chosen")
        catalogue = open_catalogue(self.nights.catalogue)
        with self.summary.step("read"):
            was_read = self._read(findings, kept.latest)
        if was_read:
            with self.summary.step("catalogue"):
                name = self.summary.night
                surveyed = survey(self.nights.run(name), name, self.check)
                catalogue = fold(self.nights, catalogue, [surveyed], self.check)
        faults.point("night:folded")
        with self.summary.step("export"):
            self._export(catalogue)
        with self.summary.step("remove"):
            # What was not handed on may not go.
            keep = None if self.summary.exports.exit_code else self.config.keep_nights
            self.summary.pruned = prune(self.nights, catalogue, keep, self.check)
        faults.point("night:removed")

    def _fingerprint(self) -> dict[str, Any]:
        """What decides results tonight; also makes sure that there is a model."""
        run = self.config.run
        card = load_model_card(run.model)
        require_vin_classes(card)
        self.summary.model_id = card.model_id
        run = replace(run, inference=choose_inference(card, run.inference, run.device))
        if run.second_reader == "off":
            return run.fingerprint(card)
        return run.fingerprint(card, self.tools.job.load_second_reader(card).parameters)

    def _resume(self, fingerprint: dict[str, Any]) -> None:
        """Finish the latest run, if it was left unfinished and can still be finished."""
        name = next(reversed(self.nights.run_names()), None)
        if name is None:
            return
        run = self.nights.run(name)
        surveyed = survey(run, name, self.check)
        if surveyed.is_complete and surveyed.record.outputs_digest:
            return
        if dict(surveyed.record.fingerprint) != fingerprint:
            if not surveyed.is_complete:
                logger.warning(
                    "run %s was begun with another model or configuration: %d of %d shards stay "
                    "as they are, and the cards of the others are chosen again",
                    name, len(surveyed.shards), surveyed.planned,
                )  # fmt: skip
                self.summary.closed = name
            return
        logger.info("finishing run %s of an earlier night", name)
        config = self.config.run_config(name)
        self.summary.jobs[name] = self.tools.run(config, self.tools.job, None)

    def _choose(self, root: ArchiveRoot, catalogue: Catalogue, reader: str) -> Findings:
        config = self.config
        older = (name for name, run in catalogue.runs.items() if run.reader != reader)
        rules = Rules(
            compare_stamps=config.detect == "stat",
            older_runs=frozenset(older if config.reread_older_models else ()),
            retry_nights=config.retry_nights,
        )
        logger.info("comparing %s with %d known cards", config.archive, catalogue.cards)
        findings = choose(
            self.nights,
            catalogue,
            root,
            rules,
            config.settling,
            limits=config.limits(self.allow_missing),
            tonight=self.summary.started_at,
            check=telling(self.check, "folders looked at"),
        )
        self.summary.findings = findings
        return findings

    def _read(self, findings: Findings, latest: str) -> bool:
        """Read what was chosen; False where that is nothing."""
        shares, cards = chosen(self.nights, findings, self.config.max_cards)
        self.summary.read = shares
        self.summary.deferred = findings.selected - sum(shares.values())
        name = self.summary.night
        if any(shares.values()):
            logger.info("reading %d cards in run %s", sum(shares.values()), name)
            selection = Selection(cards, findings.totals, self._not_before(latest))
            config = self.config.run_config(name)
            self.summary.jobs[name] = self.tools.run(config, self.tools.job, selection)
        else:
            logger.info("nothing to read tonight")
        with disk_errors("remove", self.nights.selection):
            self.nights.selection.unlink(missing_ok=True)
        return any(shares.values())

    def _not_before(self, latest: str) -> str:
        """When tonight's readings count as made at the earliest: after all others."""
        if not latest:
            return ""
        least = datetime.fromisoformat(latest) + timedelta(seconds=1)
        behind = (least - datetime.now(UTC)).total_seconds()
        if behind > CLOCK_DIFFERENCE:
            logger.warning(
                "the clock is %.0f s behind the latest reading of an earlier night, %s: one of "
                "the two times is wrong; tonight's readings count as later all the same",
                behind, latest,
            )  # fmt: skip
        return least.isoformat()

    def _export(self, catalogue: Catalogue) -> None:
        self.summary.cards = catalogue.cards
        self.summary.missing = write_missing(self.nights, catalogue)
        self.summary.current = refresh_current(
            self.nights, catalogue, self.config.current, self.check
        )
        faults.point("night:exported")
        results = Results(self.nights, catalogue, tuple(self.summary.jobs), self.check)
        self.summary.exports.deliver(self.tools.exporters, results)


def run_night(config: NightConfig, tools: NightTools, allow_missing: bool = False) -> NightSummary:
    """Do the work of one night.

    The same call after any interruption goes on where the last one ended.

    Args:
        config: The settings.
        tools: Tools of the runs, and who is given the results.
        allow_missing: Believe that cards are gone, however many disappeared.

    Returns:
        What became of the night, as in its summary file.

    Raises:
        VinBatchError: See its subclasses; everything finished so far is safe.
    """
    nights = NightDir(config.output)
    with file_mode(config.run.permissions):
        prepare_root(nights)
        with StopSignals() as signals, hold(nights.lock):
            prepare_locked(nights)
            summary = NightSummary(nights.next_name(), str(config.archive))
            night = _Night(config, tools, nights, summary, signals.check, allow_missing)
            try:
                night.run()
            except VinBatchError as error:
                summary.stopped(error)
                with suppress(DiskError):
                    _end(config, tools, nights, summary)
                raise
            summary.outcome = summary.exit_code
            _end(config, tools, nights, summary)
    return summary


def refresh_current(
    nights: NightDir, catalogue: Catalogue, kinds: tuple[str, ...], check: Callable[[], None]
) -> bool:
    """Write the files of current readings, unless they are those of this catalogue already.

    Returns:
        Whether they were written.

    Raises:
        DiskError: Readings are damaged, or the system refused.
    """
    targets = [nights.current(kind) for kind in kinds]
    said = layer.digest(layer.load(correction_layers(nights)))
    stamp = {
        "schema": 2, "cards": catalogue.cards, "readings": _current_digest(catalogue),
        "corrections": said,
    }  # fmt: skip
    wanted = (json.dumps({**stamp, "files": [path.name for path in targets]}) + "\n").encode()
    there = nights.current_stamp.read_bytes() if nights.current_stamp.is_file() else b""
    if wanted == there and all(path.is_file() for path in targets):
        return False
    if targets:
        write_current(nights, catalogue, targets, check)
    write_atomic(nights.current_stamp, wanted, "stamp")
    return bool(targets)


def _current_digest(catalogue: Catalogue) -> str:
    """Digest over the runs that have current readings, 32 hex digits: they decide them."""
    hasher = hashlib.blake2b(digest_size=16)
    for name in sorted(current_runs(catalogue), key=int):
        hasher.update(f"{name} {catalogue.runs[name].digest}\n".encode())
    return hasher.hexdigest()


def _end(config: NightConfig, tools: NightTools, nights: NightDir, summary: NightSummary) -> None:
    save_summary(nights, summary)
    tools.tell(config, summary)
