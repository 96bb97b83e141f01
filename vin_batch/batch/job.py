"""The whole job: open or resume, work off the shards, write what a complete run leaves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from vin_batch.batch.answers import ClassifyingWorkers, OpenNetwork, WorkerInference
from vin_batch.batch.atomic import any_disk_error, disk_errors, file_mode
from vin_batch.batch.engine import Assignment, Engine, Methods
from vin_batch.batch.host import now
from vin_batch.batch.inference import settle_inference
from vin_batch.batch.ledger import (
    RunRecord,
    Tally,
    load_run,
    outputs_are_whole,
    readings_digest,
    save_run,
    tally,
    with_session,
)
from vin_batch.batch.loop import Reader, ShardLoop, ShardProgress, shards_in_flight
from vin_batch.batch.opening import OpenRun, open_run, prepare_directory, prepare_locked
from vin_batch.batch.pack import Prepare
from vin_batch.batch.plan import Selection
from vin_batch.batch.pool import Limits, WorkerPool
from vin_batch.batch.publish import Publisher
from vin_batch.batch.receipts import Receipt, iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.schedule import Schedule
from vin_batch.batch.score import Judge
from vin_batch.batch.second_opinion import SecondOpinion, SecondReader, load_second_reader
from vin_batch.batch.share import Share, share_of
from vin_batch.batch.signals import StopSignals
from vin_batch.classifier.artefact import require_artefact
from vin_batch.classifier.base import Classifier
from vin_batch.classifier.choice import LITERT, engine_name
from vin_batch.classifier.litert_classifier import open_litert, open_network
from vin_batch.classifier.matching import require_preprocessing
from vin_batch.classifier.model_card import (
    ModelCard,
    load_model_card,
    require_vin_classes,
    sha256_of,
)
from vin_batch.config import RunConfig
from vin_batch.errors import DiskError, ExitCode, ModelError, UsageError, VinBatchError
from vin_batch.records import BoxIssue, DecisionPolicy

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobTools:
    """What the job is done with; tests put others in.

    Attributes:
        open_classifier: Loads a model on ``auto``, ``cpu`` or ``gpu``.
        bind_judge: Makes the judge of log-probabilities.
        prepare: File bytes to pixels; must be importable by workers.
        progress: Makes the display from all cards and those already done.
        finishers: Write what is derived from a complete run; given the run directory.
        load_second_reader: Finds and checks the second reader of a model.
        engines: Those who can work in place of this machine's own processes, by the name that
            a configuration gives them.
        open_network: Loads a network for LiteRT in a worker; must be importable by workers.
        open_litert: Loads one in a process that workers send pixels to.
    """

    open_classifier: Callable[[ModelCard, str], Classifier]
    bind_judge: Callable[[DecisionPolicy], Judge]
    prepare: Prepare
    progress: Callable[[int, int], AbstractContextManager[ShardProgress]]
    finishers: tuple[Callable[[Path], object], ...] = ()
    load_second_reader: Callable[[ModelCard], SecondReader] = load_second_reader
    engines: Mapping[str, Callable[[RunConfig], Engine]] = field(default_factory=dict)
    open_network: OpenNetwork = open_network
    open_litert: Callable[[ModelCard, str], Classifier] = open_litert

    @property
    def methods(self) -> Methods:
        """How cards are read, for processes elsewhere."""
        return Methods(
            open_classifier=self.open_classifier,
            bind_judge=self.bind_judge,
            prepare=self.prepare,
            load_second_reader=self.load_second_reader,
            open_network=self.open_network,
        )


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a run stands after the job.

    Attributes:
        run: Its directory.
        record: Its ``run.json``.
        tally: Sums over all shards of its share.
        shards_worked: Shards read in this session.
        pending: Shards of other slices that have no receipt yet.
    """

    run: RunDir
    record: RunRecord
    tally: Tally
    shards_worked: int
    pending: int = 0

    @property
    def unreadable_folders(self) -> int:
        """Folders of the archive that could not be listed: their cards are missing."""
        return int(self.record.walk.get("unreadable_folders", 0))

    @property
    def exit_code(self) -> ExitCode:
        """``DONE``, or ``FINISHED_WITH_FAILURES`` where anything was lost.

        A second look that was not had is a loss, too: ``retry`` may get it.
        """
        failed = self.tally.statuses.get("failed", 0)
        lost = failed or self.tally.poisoned or self.unreadable_folders
        return ExitCode.FINISHED_WITH_FAILURES if lost else ExitCode.DONE


def refused_again(receipt: Receipt) -> bool:
    """Choose the finished shards that ``run`` reads again by itself.

    What the system refused to give, or an error that nobody foresaw, says nothing about the
    card: the disk may be back. Shards with cards that cost workers their lives are left
    to ``retry``.
    """
    refused = receipt.issues.get(BoxIssue.UNREADABLE_FILE.code, 0) or receipt.errors
    return bool(refused) and not receipt.is_poisoned


def failed_again(receipt: Receipt) -> bool:
    """Choose the finished shards that ``retry`` reads again."""
    return receipt.is_poisoned or receipt.failed_cards > 0


def run_job(
    config: RunConfig,
    tools: JobTools,
    again: Callable[[Receipt], bool] = refused_again,
    selection: Selection | None = None,
) -> JobOutcome:
    """Start or resume a run and finish it.

    Args:
        config: The settings.
        tools: Classifier, judge, preprocessing, progress and finishers.
        again: Chooses finished shards that are read again; their old readings stay until
            the new ones replace them.
        selection: The cards of a new run; None for all of the archive. A run that was begun
            keeps the cards of its plan.

    Returns:
        How the run stands: complete, or, after a slice, as far as the others are.

    Raises:
        VinBatchError: See its subclasses; everything finished so far is safe.
    """
    run = RunDir(config.output)
    with (
        any_disk_error(run.root),
        file_mode(config.permissions),
        StopSignals() as signals,
        _engine(config, tools) as engine,
    ):
        prepare_directory(run)
        share = share_of(config, signals.check)
        with share.lock():
            if engine is not None and not run.is_run():
                engine.connect()
                config = engine.settle(config)
            return _run_locked(share, config, (tools, engine), (again, selection), signals)


def _engine(config: RunConfig, tools: JobTools) -> AbstractContextManager[Engine | None]:
    if config.engine == "local":
        return nullcontext()
    if config.engine not in tools.engines:
        raise UsageError(f"this command does not work with the engine {config.engine!r}")
    return closing(tools.engines[config.engine](config))


def _run_locked(
    share: Share,
    config: RunConfig,
    means: tuple[JobTools, Engine | None],
    choice: tuple[Callable[[Receipt], bool], Selection | None],
    signals: StopSignals,
) -> JobOutcome:
    (tools, engine), run = means, share.run
    with share.common():
        prepare_locked(run, share.owns_temporary)
    again, selection = choice
    card = load_model_card(config.model)
    require_vin_classes(card)
    config = settle_inference(config, run, card)
    if config.inference == LITERT:
        tools = replace(tools, open_classifier=tools.open_litert)
    second = None if config.second_reader == "off" else tools.load_second_reader(card)
    repeated = frozenset(r.shard for r in iter_receipts(run) if share.holds(r.shard) and again(r))
    parameters = None if second is None else second.parameters
    opened = open_run(
        config, card, repeated, signals.check, parameters, selection=selection, share=share
    )
    mine = [shard for shard in range(opened.plan.shards) if share.holds(shard)]
    todo = [shard for shard in mine if shard in repeated or shard not in opened.done]
    if todo or not outputs_are_whole(run, opened.record):
        # From here on run.json does not vouch for derived files until they are made again.
        opened = replace(opened, record=replace(opened.record, outputs_digest="", outputs={}))
    try:
        with any_disk_error(run.root):
            if todo and engine is not None:
                progress = _progress(opened, tools, todo)
                engine.work(Assignment(opened, card, tools.methods, todo, signals, progress))
            elif todo:
                _work(opened, (card, second), tools, todo, signals)
            with share.common():
                return _finish(opened, tools, len(todo))
    except VinBatchError as error:
        with suppress(VinBatchError), share.common():
            _end_session(opened, error.exit_code)
        raise


def retry_config(
    output: Path, workers: int | None, device: str | None, engine: str | None = None
) -> RunConfig:
    """Settings of an existing run, for reading parts of it again; those not None win.

    Raises:
        UsageError: There is no run.
        DiskError: Its ``run.json`` is damaged.
    """
    from vin_batch.config import validated  # noqa: PLC0415

    values = {**load_run(RunDir(output)).config, "output": output, "slice": None}
    if engine is not None and engine != values["engine"]:
        values |= {"engine": engine, "workers": None}
    given = {"workers": workers, "device": device}
    return validated(values | {name: value for name, value in given.items() if value is not None})


def _work(
    opened: OpenRun,
    models: tuple[ModelCard, SecondReader | None],
    tools: JobTools,
    todo: list[int],
    signals: StopSignals,
) -> None:
    config, (card, second) = opened.config, models
    workers = min(config.workers, len(todo))
    limits = Limits(config.card_timeout, config.shard_timeout, config.worker_memory_limit)
    inference = _worker_inference(config, card, tools)
    pool = WorkerPool(workers, limits)
    loop = ShardLoop(
        opened=opened,
        schedule=Schedule(todo, width=shards_in_flight(workers)),
        pool=pool,
        prepare=tools.prepare,
        signals=signals,
        inference=inference,
    )
    try:
        # The workers read their first shards while the model loads.
        loop.fill()
        with signals.raising():
            classifier: Classifier = (
                tools.open_classifier(card, config.device)
                if loop.inference is None
                else ClassifyingWorkers(card)
            )
            judge = tools.bind_judge(card.policy)
            opinion = None if second is None else _opinion(second, config.second_reader, tools)
        # Another whole model may have taken its place between the first check and the loading.
        if load_model_card(config.model) != card:
            raise ModelError(
                f"the model in {config.model} was swapped while it was loaded",
                "Put the first model back; the same command then resumes.",
            )
        engine = engine_name(config.inference, classifier.device)
        logger.info("shards to read: %d, with %s", len(todo), engine)
        publisher = Publisher(opened.run, opened.record.run_id, card.model_id, classifier.device)
        with _progress(opened, tools, todo) as progress:
            loop.run(Reader(classifier, judge, publisher, progress, opinion, engine))
    finally:
        pool.close()


def _worker_inference(
    config: RunConfig, card: ModelCard, tools: JobTools
) -> WorkerInference | None:
    """How this machine's workers classify; None where they send pixels."""
    if config.inference != LITERT:
        return None
    require_preprocessing(card)
    return WorkerInference(require_artefact(card), tools.open_network)


def _progress(
    opened: OpenRun, tools: JobTools, todo: Collection[int]
) -> AbstractContextManager[ShardProgress]:
    plan, share, again = opened.plan, opened.share, set(todo)
    cards = plan.cards
    if share.part is not None:
        cards = sum(plan.rows(shard) for shard in range(plan.shards) if share.holds(shard))
    return tools.progress(cards, sum(n for shard, n in opened.done.items() if shard not in again))


def _opinion(second: SecondReader, mode: str, tools: JobTools) -> SecondOpinion:
    return SecondOpinion(second, mode, tools.bind_judge(second.parameters.policies[mode]))


def _finish(opened: OpenRun, tools: JobTools, worked: int) -> JobOutcome:
    run = opened.run
    result = tally(iter_receipts(run))
    if result.shards < opened.plan.shards and (mine := _own_tally(opened)) is not None:
        pending = opened.plan.shards - result.shards
        outcome = JobOutcome(run, opened.record, mine, worked, pending)
        return replace(outcome, record=_end_session(opened, outcome.exit_code))
    if (result.shards, result.cards) != (opened.plan.shards, opened.plan.cards):
        raise DiskError(
            f"{result.cards} of {opened.plan.cards} cards have a reading: receipts of finished "
            f"shards have become unreadable in {run.receipts_dir}",
            "Check the disk; the same command then reads what is missing again.",
        )
    outcome = JobOutcome(run, opened.record, result, worked)
    record = _end_session(opened, outcome.exit_code)
    digest = readings_digest(run)
    if record.outputs_digest != digest or not (
        opened.share.part is None or outputs_are_whole(run, record)
    ):
        if record.outputs_digest:
            record = replace(record, outputs_digest="", outputs={})
            save_run(run, record)
        for finish in tools.finishers:
            finish(run.root)
        with disk_errors("read", run.root):
            made = {path.name: sha256_of(path) for path in run.outputs}
        record = replace(record, outputs_digest=digest, outputs=made)
        save_run(run, record)
    return replace(outcome, record=record)


def _own_tally(opened: OpenRun) -> Tally | None:
    """Sums over the shards of a slice; None where they are not all there, or all is one's own."""
    share, plan = opened.share, opened.plan
    if share.part is None:
        return None
    result = tally(r for r in iter_receipts(opened.run) if share.holds(r.shard))
    shards = sum(share.holds(shard) for shard in range(plan.shards))
    return result if result.shards == shards else None


def _end_session(opened: OpenRun, code: ExitCode) -> RunRecord:
    seconds = round(time.monotonic() - opened.began, 3)
    record = with_session(
        opened.record, finished_at=now(), seconds=seconds, outcome=code.name.lower()
    )
    record = opened.share.merged(record)
    save_run(opened.run, record)
    return record
