"""A run on a Ray cluster: what ``loop`` and ``pool`` are to a run on one machine."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from vin_batch._version import __version__
from vin_batch.archive import ListingChangedError, stamp_card
from vin_batch.batch.atomic import TMP_SUFFIX, current_mode, write_atomic
from vin_batch.batch.engine import Assignment
from vin_batch.batch.host import versions
from vin_batch.batch.loop import POLL, SILENCE, ShardProgress
from vin_batch.batch.plan import shard_digest
from vin_batch.batch.receipts import Receipt
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.schedule import Schedule
from vin_batch.classifier.choice import AUTO, LITERT, TENSORFLOW
from vin_batch.cluster.confirm import Confirmation
from vin_batch.cluster.crew import Crew
from vin_batch.cluster.desk import Desk
from vin_batch.cluster.incidents import REST, Incidents
from vin_batch.cluster.messages import Finished, Lost, Order, Outcome, Recipe, Refused, Remark
from vin_batch.cluster.session import RaySession
from vin_batch.config import RunConfig
from vin_batch.errors import NoGpuError, VinBatchError
from vin_batch.records import CardRef

logger = logging.getLogger(__name__)

FORGIVEN: Final = 2
"""Incidents in which a shard was lost with its node or process that are nobody's fault; after
the next one it runs alone: something in it may take the node along."""
LONE_INCIDENTS: Final = 3
"""Such incidents of a shard that runs alone, after which its cards are given up unread."""
MAX_LANDMARKS: Final = 100
"""Cards that the driver tries before it believes that it sees none as the plan has it."""


class RayEngine:
    """Works off shards on a Ray cluster.

    Args:
        config: The settings.

    Raises:
        UsageError: Ray is not installed.
    """

    def __init__(self, config: RunConfig) -> None:
        self._session = RaySession(config)

    def connect(self) -> None:
        """Find the cluster.

        Raises:
            NoClusterError: There is none.
        """
        self._session.connect()

    def close(self) -> None:
        """Leave the cluster; what still runs there for this run is killed."""
        self._session.close()

    def settle(self, config: RunConfig) -> RunConfig:
        """Let TensorFlow compute where the cluster has GPUs, if nothing else is demanded."""
        gpus = config.device != "cpu" and any(node.gpus for node in self._session.nodes())
        return (
            replace(config, inference=TENSORFLOW) if gpus and config.inference == AUTO else config
        )

    def work(self, assignment: Assignment) -> None:
        """Publish every shard of the assignment; see ``Engine``.

        Raises:
            InterruptedRunError: A signal came.
            NoGpuError: A GPU was demanded, and the cluster has none.
            VinBatchError: A node is not fit, or something stands in the way of all shards.
        """
        self.connect()
        ray, config = self._session.ray, assignment.opened.config
        device = self._device(config)
        with _token(assignment.opened.run) as token:
            recipe = ray.put(_recipe(assignment, token, device))
            crew = Crew(
                session=self._session,
                recipe=recipe,
                desk=None if config.inference == LITERT else Desk(ray, recipe, device),
                shard_timeout=config.shard_timeout,
                most=config.workers,
            )
            try:
                # What lasts long here holds nothing that need be kept.
                with assignment.signals.raising():
                    crew.census()
                    crew.inspect()
                logger.info(
                    "shards to read: %d, with %s on %d cores of %d nodes",
                    len(assignment.todo), config.inference, crew.cores, len(crew.nodes),
                )  # fmt: skip
                with assignment.progress as progress:
                    _Driver(assignment, crew, progress).run()
            finally:
                crew.cancel()

    def _device(self, config: RunConfig) -> str:
        gpus = sum(node.gpus for node in self._session.nodes())
        if config.device == "gpu" and not gpus:
            raise NoGpuError(
                "a GPU was demanded, and the Ray cluster has none",
                "Start Ray with --num-gpus on nodes that have them, or use --device auto.",
            )
        computes_elsewhere = config.device == "cpu" or config.inference == LITERT
        return "cpu" if computes_elsewhere or not gpus else "gpu"


@dataclass(slots=True)
class _Driver:
    """The loop: orders out, outcomes in, and what becomes of shards that were lost."""

    assignment: Assignment
    crew: Crew
    progress: ShardProgress
    schedule: Schedule = field(init=False)
    confirmation: Confirmation = field(init=False)
    _displaced: Incidents = field(default_factory=Incidents)
    _lone: Incidents = field(default_factory=Incidents)
    _resting: dict[int, float] = field(default_factory=dict)
    _orders: int = 0
    _last_news: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.schedule = Schedule(self.assignment.todo, width=0)
        self.confirmation = Confirmation(self.assignment.opened)

    def run(self) -> None:
        """Work until every shard has a receipt."""
        signals = self.assignment.signals
        while not self.schedule.done:
            signals.check()
            self.crew.census()
            self._rouse()
            self._fill()
            for outcome in self.crew.wait(POLL):
                signals.check()
                self._take(outcome)
            for receipt in self.confirmation.collect():
                self._done(receipt)
            self._break_silence()

    def _rouse(self) -> None:
        now = time.monotonic()
        for shard in [each for each, until in self._resting.items() if until <= now]:
            del self._resting[shard]
            self.schedule.displaced(shard)

    def _fill(self) -> None:
        self.schedule.width = self.crew.width
        while self.crew.is_ready and (turn := self.schedule.next()) is not None:
            shard = turn.shard
            self.confirmation.expect(shard)
            self._orders += 1
            self.crew.submit(
                Order(
                    shard=shard,
                    plan_digest=shard_digest(self.assignment.opened.plan.load(shard)),
                    is_alone=turn.alone,
                    gives_up=self._lone.of(shard) >= LONE_INCIDENTS,
                    strikes=self.schedule.strikes[shard],
                    turn=self._orders,
                    servers=self.crew.servers,
                )
            )

    def _take(self, outcome: Outcome) -> None:
        if isinstance(outcome, Refused):
            raise outcome.error()
        _repeat(outcome.remarks)
        if isinstance(outcome, Finished):
            self.confirmation.add(outcome)
        elif (receipt := self.confirmation.found(outcome.shard)) is not None:
            # The node has gone after its work was done.
            self._done(receipt)
        else:
            self._lose(outcome)

    def _done(self, receipt: Receipt) -> None:
        self.schedule.finished(receipt.shard)
        self._last_news = time.monotonic()
        logger.debug("shard done: %s", dict(receipt.statuses), extra={"shard": receipt.shard})
        self.progress.shard_done(receipt.statuses, receipt.cards)

    def _lose(self, loss: Lost) -> None:
        shard, now = loss.shard, time.monotonic()
        logger.warning("a shard was lost: %s", loss.cause, extra={"shard": shard})
        if self.schedule.is_alone:
            if self._lone.note(shard, now) > 2 * LONE_INCIDENTS:
                raise VinBatchError(
                    f"shard {shard} cannot even be given up: {loss.cause}",
                    "See Ray's logs on the nodes; the same command resumes.",
                )
            self._resting[shard] = now + REST
        elif loss.is_displaced and self._displaced.note(shard, now) <= FORGIVEN:
            self._resting[shard] = now + REST
        else:
            self.schedule.lost(shard)

    def _break_silence(self) -> None:
        if time.monotonic() - self._last_news > SILENCE:
            self._last_news = time.monotonic()
            logger.warning("no shard finished for %g seconds", SILENCE)


def _recipe(assignment: Assignment, token: str, device: str) -> Recipe:
    opened = assignment.opened
    return Recipe(
        token=token,
        run=opened.run,
        config=opened.config,
        record=opened.record,
        root=opened.root,
        card=assignment.card,
        methods=assignment.methods,
        device=device,
        version=__version__,
        libraries=versions(),
        landmark=_landmark(assignment),
        permissions=current_mode(),
    )


def _landmark(assignment: Assignment) -> CardRef | None:
    """A card that this machine sees as the plan has it: every node must see it, too."""
    opened = assignment.opened
    for card in opened.plan.load(assignment.todo[0])[:MAX_LANDMARKS]:
        with suppress(ListingChangedError, OSError):
            stamp_card(opened.root, card)
            return card
    return None


@contextmanager
def _token(run: RunDir) -> Iterator[str]:
    """A file in the run directory that only those can see who share it."""
    name = f".cluster-{secrets.token_hex(8)}{TMP_SUFFIX}"
    write_atomic(run.root / name, name.encode("ascii"))
    try:
        yield name
    finally:
        with suppress(OSError):
            (run.root / name).unlink(missing_ok=True)


def _repeat(remarks: tuple[Remark, ...]) -> None:
    """Log here what a node would have logged."""
    for remark in remarks:
        logging.getLogger(remark.logger).log(
            remark.level, "%s", remark.message, extra=dict(remark.about)
        )
