"""A shard that was lost once: read alone, part by part, until every card is read or blamed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from vin_batch.batch.isolation import Isolation, Patience
from vin_batch.batch.pack import ShardResult, ShardTask
from vin_batch.batch.parts import cut_look_task, cut_pack_task, join_looks, join_packs
from vin_batch.batch.pool import Loss
from vin_batch.batch.publish import Evidence
from vin_batch.batch.receipts import Blame, Stage
from vin_batch.batch.second_look import LookResult, LookTask
from vin_batch.batch.worker import Result, Task

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Inquiry:
    """One stage of a suspect: the whole task, and how far it is."""

    task: Task
    isolation: Isolation
    packs: list[tuple[range, ShardResult]] = field(default_factory=list)
    looks: list[tuple[range, LookResult]] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        return Stage.SECOND_LOOK if isinstance(self.task, LookTask) else Stage.READ

    def ids(self, rows: Sequence[int]) -> list[str]:
        return [self.task.cards[row].card_id for row in rows]


@dataclass(slots=True)
class Suspect:
    """Works off one shard that runs alone.

    Args:
        whole: The task that the shard was lost with.
        patience: What its losses may cost.

    Attributes:
        blames: Cards that killed their worker in a task of their own.
        given_up: Cards that were neither read nor blamed when the patience was gone.
    """

    whole: ShardTask
    patience: Patience = field(default_factory=Patience)
    blames: list[Blame] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    _inquiry: _Inquiry = field(init=False)

    def __post_init__(self) -> None:
        self._begin(self.whole)

    def begin_second_look(self, task: LookTask) -> None:
        """Go on to the second stage; the first is over."""
        self._begin(task)

    def _begin(self, task: Task) -> None:
        self._inquiry = _Inquiry(task, Isolation(len(task.cards), self.patience))

    def next_task(self) -> Task | None:
        """The part to run now; None when the stage is over."""
        task, part = self._inquiry.task, self._inquiry.isolation.part
        if part is None:
            return None
        if isinstance(task, LookTask):
            return cut_look_task(task, part)
        return cut_pack_task(task, part)

    def keep(self, result: Result) -> None:
        """The part was read."""
        inquiry = self._inquiry
        part = inquiry.isolation.part
        assert part is not None
        if isinstance(result, LookResult):
            inquiry.looks.append((part, result))
        else:
            inquiry.packs.append((part, result))
        inquiry.isolation.read()

    def lost(self, loss: Loss) -> None:
        """The worker that had the part died, hung or gave up."""
        inquiry = self._inquiry
        isolation, part = inquiry.isolation, inquiry.isolation.part
        assert part is not None
        blamed = len(isolation.blamed)
        isolation.lost(None if loss.row is None else part.start + loss.row, loss.timed_out)
        for card_id in inquiry.ids(isolation.blamed[blamed:]):
            where = {"shard": self.whole.shard, "card_id": card_id}
            logger.error("card cost its worker (%s): %s", inquiry.stage, loss.cause, extra=where)
            self.blames.append(Blame(card_id, inquiry.stage, loss.cause))
        if isolation.given_up:
            given_up = inquiry.ids(isolation.given_up)
            logger.error(
                "%d cards are given up after too many losses (%s), %r to %r",
                len(given_up), inquiry.stage, given_up[0], given_up[-1],
                extra={"shard": self.whole.shard},
            )  # fmt: skip
            self.given_up += given_up

    def result(self) -> Result:
        """What the parts of the finished stage are together."""
        inquiry = self._inquiry
        if isinstance(inquiry.task, LookTask):
            return join_looks(inquiry.task, inquiry.looks)
        return join_packs(inquiry.task, inquiry.packs)

    def testify(self, evidence: Evidence) -> Evidence:
        """Add what became of the suspect to the evidence of its shard."""
        return replace(
            evidence,
            errors=(*self._remarks(), *evidence.errors),
            blamed=tuple(self.blames),
            given_up=len(self.given_up),
        )

    def _remarks(self) -> tuple[str, ...]:
        """What the receipt says in words about cards that were not read, or not again."""
        remarks = [f"{blame.card_id}: {blame.cause} ({blame.stage})" for blame in self.blames]
        if self.given_up:
            first, last = self.given_up[0], self.given_up[-1]
            count = len(self.given_up)
            remarks.append(f"{count} cards from {first} to {last}: given up, too many losses")
        return tuple(remark[:500] for remark in remarks)
