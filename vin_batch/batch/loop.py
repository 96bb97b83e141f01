"""The loop that turns shards into readings: workers in front, one classifier behind."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from vin_batch.batch import faults
from vin_batch.batch.answers import WorkerInference
from vin_batch.batch.changes import Changes
from vin_batch.batch.effort import MainTime
from vin_batch.batch.isolation import PATIENCE, Patience
from vin_batch.batch.news import tell_errors, tell_failed
from vin_batch.batch.opening import OpenRun
from vin_batch.batch.pack import Prepare, ShardResult, ShardTask
from vin_batch.batch.pool import Delivery, Loss, Round
from vin_batch.batch.publish import Evidence, Publisher, pack_evidence
from vin_batch.batch.receipts import ReaderPart, Receipt, ShardState
from vin_batch.batch.schedule import Schedule
from vin_batch.batch.score import Judge, Scored, score
from vin_batch.batch.second_look import LookResult
from vin_batch.batch.second_opinion import FirstReading, SecondOpinion
from vin_batch.batch.signals import StopSignals
from vin_batch.batch.suspect import Suspect
from vin_batch.batch.worker import Task
from vin_batch.classifier.base import Classifier
from vin_batch.errors import ModelError
from vin_batch.records import CardPack, Reading
from vin_batch.vin.alphabet import VIN_LENGTH

logger = logging.getLogger(__name__)

POLL: Final = 0.2
"""Seconds between looks at signals while nothing happens."""

SILENCE: Final = 300.0
"""Seconds without a finished shard after which the log says so."""

SPARE_SHARDS: Final = 2
"""Least number of shards in flight beyond one per worker: enough that neither side waits for
the other, few enough that memory does not grow with the archive."""
WORKERS_PER_SPARE: Final = 4
"""Of many workers several end together, and each needs a shard that waits for it: a simulation
of 16 workers and a main process that is busy for nine tenths of its time gives 93 % of the
ideal rate with two spare shards, 97 % with four and a refill after every shard."""


class Workers(Protocol):
    """What the loop asks of those who read; ``pool.WorkerPool``."""

    def submit(self, task: Task) -> None:
        """Queue a task; a shard has one at a time."""
        ...

    def wait(self, timeout: float) -> Round:
        """What happened, at the latest after ``timeout`` seconds."""
        ...

    def renew(self) -> None:
        """Let the next task be read by a fresh process."""
        ...


def shards_in_flight(workers: int) -> int:
    """Most shards that are read, waiting or being judged at a time."""
    return workers + max(SPARE_SHARDS, workers // WORKERS_PER_SPARE)


class ShardProgress(Protocol):
    """What the loop tells the progress display."""

    def shard_done(self, counts: Mapping[str, int], cards: int) -> None:
        """A shard was published: its cards by status, and their number."""
        ...


@dataclass(frozen=True, slots=True)
class Reader:
    """Everything that turns pixels into published readings.

    Attributes:
        classifier: Pixels to log-probabilities; not asked where the workers did that.
        judge: Log-probabilities to readings.
        publisher: Readings to files.
        progress: Told of every shard.
        opinion: Asks a second reader, where there is one.
        engine: Who computes the network, for receipts; the device where that is not known.
    """

    classifier: Classifier
    judge: Judge
    publisher: Publisher
    progress: ShardProgress
    opinion: SecondOpinion | None = None
    engine: str = ""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A shard between its first reading and its second look."""

    first: FirstReading
    evidence: Evidence


@dataclass(slots=True)
class ShardLoop:
    """Works off the shards of an open run.

    Attributes:
        opened: The run.
        schedule: The shards, and what becomes of suspects.
        pool: The workers.
        prepare: File bytes to pixels, in the workers.
        signals: Asked often.
        patience: What the losses of a suspect may cost.
        main_time: Where the time of this process goes.
        inference: How workers classify; None where they send pixels.
    """

    opened: OpenRun
    schedule: Schedule
    pool: Workers
    prepare: Prepare
    signals: StopSignals
    patience: int = PATIENCE
    main_time: MainTime = field(default_factory=MainTime)
    inference: WorkerInference | None = None
    _idle: float = 0.0
    _write: float = 0.0
    _suspect: Suspect | None = None
    _waiting: dict[int, _Waiting] = field(default_factory=dict)
    _last_news: float = field(default_factory=time.monotonic)

    def fill(self) -> None:
        """Give the workers as many shards as may be in flight."""
        while (turn := self.schedule.next()) is not None:
            task = ShardTask(
                root=self.opened.root,
                shard=turn.shard,
                cards=self.opened.plan.load(turn.shard),
                prepare=self.prepare,
                keep_changed=self.opened.config.changes == "card",
                inference=self.inference,
            )
            if turn.alone:
                self._suspect = Suspect(task, Patience(self.patience))
                self._submit_next_part(self._suspect)
            else:
                self.pool.submit(task)

    def run(self, reader: Reader) -> None:
        """Publish every shard of the schedule.

        Raises:
            InterruptedRunError: A signal came.
            ChangedUnderRunError: A card's folder is not as the plan says.
        ModelError: A worker cannot use the model.
            DiskError: The system refused to write.
            VinBatchError: Workers cannot start.
        """
        self.main_time.start()
        while not self.schedule.done:
            self.signals.check()
            self.fill()
            waited = time.perf_counter()
            news = self.pool.wait(POLL)
            waited = time.perf_counter() - waited
            self._idle += waited
            self.main_time.account(waited)
            self._take(news, reader)
            self._break_silence(bool(news.delivered))

    def _take(self, news: Round, reader: Reader) -> None:
        for delivery in news.delivered:
            self.signals.check()
            if isinstance(delivery.result, ShardResult) and delivery.result.pack is None:
                _raise_refused(delivery.result)
            if self._suspect is None:
                self._use(delivery, reader)
            else:
                self._suspect.keep(delivery.result)
                self._go_on(self._suspect, reader)
            self.fill()
        for loss in news.lost:
            self.signals.check()
            self._lose(loss, reader)

    def _use(self, delivery: Delivery, reader: Reader) -> None:
        if isinstance(delivery.result, LookResult):
            self._look(delivery, delivery.result, reader)
        else:
            self._read(delivery, delivery.result, reader)

    def _go_on(self, suspect: Suspect, reader: Reader) -> None:
        """Read the next part of a suspect, or use what its parts are together."""
        if not self._submit_next_part(suspect):
            whole = Delivery(suspect.whole.shard, suspect.result(), time.monotonic())
            self._use(whole, reader)

    def _submit_next_part(self, suspect: Suspect) -> bool:
        task = suspect.next_task()
        if task is not None:
            faults.point("suspect:part")
            self.pool.renew()
            self.pool.submit(task)
        return task is not None

    def _read(self, delivery: Delivery, result: ShardResult, reader: Reader) -> None:
        shard = delivery.shard
        queued = time.monotonic() - delivery.ready_at
        assert result.pack is not None
        tell_errors(shard, result.errors, result.pack.card_ids, logging.ERROR)
        scored = score(result.pack, reader.classifier, reader.judge, self.signals.check)
        timings = {
            "queue": queued,
            "idle": self._idle,
            "classify": scored.classify_seconds,
            "decode": scored.decode_seconds,
            "worker_busy": delivery.effort.busy,
            "worker_idle": delivery.effort.idle,
            "worker_cpu": delivery.effort.cpu,
        }
        if result.pack.log_probs is not None:
            timings["worker_classify"] = result.pack.classify_seconds
        self.main_time.account(scored.classify_seconds + scored.decode_seconds)
        strikes = self.schedule.strikes[shard]
        evidence = pack_evidence(result.pack, timings, result.rss_bytes, strikes, result.errors)
        if evidence.state is ShardState.DONE:
            part = _first_part(result.pack, scored, reader)
            evidence = replace(evidence, readers=(part,))
        self._idle = 0.0
        if reader.opinion is None or not self._ask(result.pack, scored, evidence, reader):
            self._publish(shard, scored.readings, evidence, reader)

    def _ask(self, pack: CardPack, scored: Scored, evidence: Evidence, reader: Reader) -> bool:
        """Send the cards that need it to the second reader; False where none does."""
        assert reader.opinion is not None
        first = reader.opinion.doubts(pack, scored.readings, scored.log_probs)
        if not first.rows.size:
            return False
        self._waiting[pack.shard] = _Waiting(first, evidence)
        cards = self.opened.plan.load(pack.shard)
        task = reader.opinion.task(first, pack, cards, self.opened.root)
        if self._suspect is None:
            self.pool.submit(task)
        else:
            self._suspect.begin_second_look(task)
            self._submit_next_part(self._suspect)
        return True

    def _look(self, delivery: Delivery, look: LookResult, reader: Reader) -> None:
        assert reader.opinion is not None
        shard, effort = delivery.shard, delivery.effort
        waiting = self._waiting.pop(shard)
        card_ids = [card.card_id for card in self.opened.plan.load(shard)]
        tell_errors(shard, look.errors, card_ids, logging.WARNING)
        began = time.perf_counter()
        readings = reader.opinion.readings(waiting.first, look, self.signals.check)
        before, timings = waiting.evidence, dict(waiting.evidence.timings)
        timings["second_look"] = look.seconds
        for name in ("busy", "idle", "cpu"):
            timings[f"worker_{name}"] += getattr(effort, name)
        judging = time.perf_counter() - began
        timings["decode"] += judging
        self.main_time.account(judging)
        evidence = replace(
            before,
            timings=timings,
            worker_rss_bytes=max(before.worker_rss_bytes, look.rss_bytes),
            strikes=self.schedule.strikes[shard],
            errors=before.errors + look.errors,
            readers=(*before.readers, reader.opinion.part(look)),
        )
        self._publish(shard, readings, evidence, reader)

    def _publish(
        self, shard: int, readings: list[Reading], evidence: Evidence, reader: Reader
    ) -> None:
        if self._suspect is not None:
            evidence = self._suspect.testify(evidence)
        cards = self.opened.plan.load(shard)
        # No receipt can hold how long it took to write: the next one does.
        timings = {**evidence.timings, **self.main_time.rest(), "write": self._write}
        began = time.perf_counter()
        receipt = reader.publisher.publish(
            shard, cards, readings, replace(evidence, timings=timings)
        )
        published = time.perf_counter() - began
        self._write = published - (receipt.timings["write"] - self._write)
        self.main_time.account(published)
        self._suspect = None
        self.schedule.finished(shard)
        tell_failed(shard, readings)
        _tell(reader, receipt)

    def _lose(self, loss: Loss, reader: Reader) -> None:
        logger.warning("a shard was lost: %s", loss.cause, extra={"shard": loss.shard})
        if not self.schedule.lost(loss.shard):
            # It is read again from the start: what waits for a second look is kept for the
            # shards in flight only.
            self._waiting.pop(loss.shard, None)
            return
        assert self._suspect is not None
        self._suspect.lost(loss)
        self._go_on(self._suspect, reader)

    def _break_silence(self, news: bool) -> None:
        now = time.monotonic()
        if news:
            self._last_news = now
        elif now - self._last_news > SILENCE:
            self._last_news = now
            logger.warning("no shard finished for %g seconds", SILENCE)


def _first_part(pack: CardPack, scored: Scored, reader: Reader) -> ReaderPart:
    """What the receipt says about the first reader."""
    cards = len(pack.card_ids)
    return ReaderPart(
        name=reader.classifier.card.name,
        sha256=reader.classifier.card.sha256,
        engine=reader.engine or reader.classifier.device,
        cards=cards,
        boxes=cards * VIN_LENGTH - int((pack.issues != 0).sum()),
        seconds=round(pack.classify_seconds + scored.classify_seconds, 4),
    )


def _raise_refused(result: ShardResult) -> None:
    if result.refusal is not None:
        raise ModelError(*result.refusal)
    changes = Changes()
    for card_id in result.changed:
        changes.note("with other files", card_id)
    changes.raise_if_any()


def _tell(reader: Reader, receipt: Receipt) -> None:
    logger.debug("shard done: %s", dict(receipt.statuses), extra={"shard": receipt.shard})
    reader.progress.shard_done(receipt.statuses, receipt.cards)
