"""A node at work on one shard: read, classify, judge, publish; only a small record goes back.

Files are decoded in a process of its own beside the one that Ray started, with the marks,
limits and last words of a local run: what kills a decoder costs Ray no worker, and a card is
blamed by the same rules.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from vin_batch.batch.about import FIELDS, about
from vin_batch.batch.answers import ClassifyingWorkers, WorkerInference
from vin_batch.batch.atomic import any_disk_error, file_mode
from vin_batch.batch.host import host_name
from vin_batch.batch.isolation import PATIENCE
from vin_batch.batch.ledger import is_valid, load_run
from vin_batch.batch.loop import Reader, ShardLoop, Workers
from vin_batch.batch.opening import OpenRun
from vin_batch.batch.plan import Plan, shard_digest
from vin_batch.batch.pool import Limits, Loss, Round, WorkerPool
from vin_batch.batch.publish import Evidence, Publisher
from vin_batch.batch.receipts import Receipt, load_receipt
from vin_batch.batch.schedule import Schedule
from vin_batch.batch.second_opinion import SecondOpinion
from vin_batch.batch.share import Share
from vin_batch.batch.signals import StopSignals
from vin_batch.batch.worker import Task
from vin_batch.classifier.artefact import require_artefact
from vin_batch.classifier.base import Classifier
from vin_batch.classifier.choice import LITERT, engine_name, require_litert
from vin_batch.classifier.matching import require_preprocessing
from vin_batch.cluster.inspection import SHARED, inspect, local_model
from vin_batch.cluster.messages import (
    Finished,
    Lost,
    Order,
    Outcome,
    Recipe,
    Refused,
    Remark,
    refusal,
)
from vin_batch.cluster.model_server import RemoteClassifier, choose
from vin_batch.errors import DiskError, ModelError, VinBatchError
from vin_batch.records import CardRef, Reading

MAX_REMARKS: Final = 60
"""Lines of one shard that are passed on; a local run logs about 30 at most."""

_benches: dict[str, Bench] = {}


def read_shard(recipe: Recipe, order: Order) -> Outcome:
    """Read and publish one shard; the task that runs on nodes."""
    remarks: list[Remark] = []
    with _heard(remarks), about(run_id=recipe.record.run_id), file_mode(recipe.permissions):
        try:
            with any_disk_error(recipe.run.root):
                bench = _bench(recipe)
                digest = bench.read(order)
        except _GoneError as gone:
            return Lost(order.shard, gone.loss.cause, False, tuple(remarks))
        except VinBatchError as error:
            _discard()
            return inspect(recipe) or refusal(error, host_name())
        except Exception as error:
            _discard()
            if _is_of_ray(error):
                cause = f"the process that holds its model has gone ({type(error).__name__})"
                return Lost(order.shard, cause, True, tuple(remarks))
            raise
    return Finished(order.shard, digest, host_name(), tuple(remarks))


def inspect_node(recipe: Recipe) -> Refused | None:
    """Check a node; the first task that runs there."""
    with file_mode(recipe.permissions):
        return inspect(recipe)


class _GoneError(Exception):
    """The worker beside this process died, hung or gave up."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.cause)
        self.loss = loss


@dataclass(slots=True)
class _OneTry:
    """Workers whose first loss ends the matter: the driver decides what comes then."""

    pool: WorkerPool

    def submit(self, task: Task) -> None:
        self.pool.submit(task)

    def wait(self, timeout: float) -> Round:
        news = self.pool.wait(timeout)
        if news.lost:
            raise _GoneError(news.lost[0])
        return news

    def renew(self) -> None:
        self.pool.renew()


@dataclass(slots=True)
class _Nobody:
    """Workers that lose whatever they are given."""

    cause: str
    _lost: list[Loss] = field(default_factory=list)

    def submit(self, task: Task) -> None:
        self._lost.append(Loss(task.shard, self.cause))

    def wait(self, timeout: float) -> Round:
        news, self._lost = Round(lost=self._lost), []
        return news

    def renew(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class _LatePublisher(Publisher):
    """Publishes unless somebody else did meanwhile.

    A node that was believed dead may come back and finish what another node has read in its
    place. Both read the same files, but the later of them may be the one whose mounts are ill.
    """

    before: Receipt | None = None

    def publish(
        self, shard: int, cards: Sequence[CardRef], readings: Sequence[Reading], evidence: Evidence
    ) -> Receipt:
        if load_run(self.run).run_id != self.run_id:
            raise DiskError(f"{self.run.root} holds another run by now", SHARED)
        present = load_receipt(self.run, shard)
        if (
            present is not None
            and present != self.before
            and is_valid(self.run, present, self.run_id, len(cards))
        ):
            return present
        return Publisher.publish(self, shard, cards, readings, evidence)


class _Nothing:
    """A display for nobody."""

    def shard_done(self, counts: Mapping[str, int], cards: int) -> None:
        """Nobody looks."""


class Bench:
    """What a process on a node keeps from shard to shard: a worker, the rules, the plan.

    Args:
        recipe: The run.

    Raises:
        VinBatchError: This machine is not fit for it.
    """

    def __init__(self, recipe: Recipe) -> None:
        problem = inspect(recipe)
        if problem is not None:
            raise problem.error()
        config, methods = recipe.config, recipe.methods
        self._recipe = recipe
        self._opened = OpenRun(
            run=recipe.run,
            config=config,
            record=recipe.record,
            plan=Plan(recipe.run),
            root=recipe.root,
            done={},
            share=Share(recipe.run, None, lambda: None),
        )
        self._inference = _inference(recipe)
        self._judge = methods.bind_judge(recipe.card.policy)
        self._opinion = _opinion(recipe)
        limits = Limits(config.card_timeout, config.shard_timeout, config.worker_memory_limit)
        self._pool = WorkerPool(1, limits)

    def close(self) -> None:
        """Kill the worker."""
        self._pool.close()

    def read(self, order: Order) -> str:
        """Read and publish a shard.

        Returns:
            Digest of its receipt.

        Raises:
            _GoneError: The worker was lost with the shard for the first time.
            VinBatchError: Something stands in the way of every shard.
        """
        run, shard = self._recipe.run, order.shard
        if shard_digest(self._opened.plan.load(shard)) != order.plan_digest:
            raise DiskError(f"{run.plan} is not the plan that the driver sees", SHARED)
        schedule = Schedule([] if order.is_alone else [shard], 1, [shard] if order.is_alone else [])
        schedule.strikes[shard] = order.strikes
        loop = ShardLoop(
            opened=self._opened,
            schedule=schedule,
            pool=self._workers(order),
            prepare=self._recipe.methods.prepare,
            signals=StopSignals(),
            inference=self._inference,
            patience=1 if order.gives_up else PATIENCE,
        )
        loop.run(self._reader(order))
        return hashlib.sha256(run.receipt(shard).read_bytes()).hexdigest()

    def _workers(self, order: Order) -> Workers:
        if order.gives_up:
            return _Nobody("it took its node or its worker along too often")
        return self._pool if order.is_alone else _OneTry(self._pool)

    def _reader(self, order: Order) -> Reader:
        recipe = self._recipe
        classifier: Classifier = (
            RemoteClassifier(recipe.card, choose(order.servers, recipe.device, order.turn))
            if self._inference is None
            else ClassifyingWorkers(recipe.card)
        )
        publisher = _LatePublisher(
            recipe.run,
            recipe.record.run_id,
            recipe.card.model_id,
            classifier.device,
            load_receipt(recipe.run, order.shard),
        )
        engine = engine_name(recipe.config.inference, classifier.device)
        return Reader(classifier, self._judge, publisher, _Nothing(), self._opinion, engine)


def _inference(recipe: Recipe) -> WorkerInference | None:
    """How the worker classifies; None where another process holds the model."""
    if recipe.config.inference != LITERT:
        return None
    card = local_model(recipe)
    require_preprocessing(card)
    require_litert(card, recipe.device)
    return WorkerInference(require_artefact(card), recipe.methods.open_network)


def _opinion(recipe: Recipe) -> SecondOpinion | None:
    if recipe.config.second_reader == "off":
        return None
    second = recipe.methods.load_second_reader(recipe.card)
    expected = recipe.record.fingerprint
    found = {
        "second_reader.weights_sha256": second.parameters.weights_sha256,
        "second_reader.parameters_sha256": second.parameters.sha256,
    }
    if any(expected.get(name) != value for name, value in found.items()):
        raise ModelError(
            "its second reader is another than the driver's",
            "Install the same version of the package and of rapidocr on every node.",
        )
    mode = recipe.config.second_reader
    return SecondOpinion(second, mode, recipe.methods.bind_judge(second.parameters.policies[mode]))


def _bench(recipe: Recipe) -> Bench:
    """The bench of this process, which works for one run at a time."""
    if recipe.token not in _benches:
        _discard()
        _benches[recipe.token] = Bench(recipe)
    return _benches[recipe.token]


def _discard() -> None:
    while _benches:
        _benches.popitem()[1].close()


def _is_of_ray(error: Exception) -> bool:
    from ray.exceptions import RayError, RayTaskError  # noqa: PLC0415

    return isinstance(error, RayError) and not isinstance(error, RayTaskError)


class _Collector(logging.Handler):
    def __init__(self, remarks: list[Remark]) -> None:
        super().__init__(logging.WARNING)
        self._remarks = remarks

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._remarks) < MAX_REMARKS:
            fields: dict[str, Any] = {
                name: record.__dict__[name] for name in FIELDS if name in record.__dict__
            }
            self._remarks.append(Remark(record.name, record.levelno, record.getMessage(), fields))


@contextmanager
def _heard(remarks: list[Remark]) -> Iterator[None]:
    """Keep what this package logs within the block, instead of showing it on the node."""
    logger, collector = logging.getLogger("vin_batch"), _Collector(remarks)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(collector)
    try:
        yield
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagate
