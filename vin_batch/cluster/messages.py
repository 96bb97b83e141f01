"""What travels between the driver and the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vin_batch.archive import ArchiveRoot
from vin_batch.batch.engine import Methods
from vin_batch.batch.ledger import RunRecord
from vin_batch.batch.rundir import RunDir
from vin_batch.classifier.model_card import ModelCard
from vin_batch.config import RunConfig
from vin_batch.errors import VinBatchError
from vin_batch.records import CardRef


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a node needs to know about a run; the same for all its shards.

    Attributes:
        token: Name of a file that the driver wrote into the run directory; it holds its name.
        run: The run directory.
        config: Settings of this session.
        record: Its ``run.json``.
        root: The archive.
        card: The model.
        methods: How cards are read.
        device: ``cpu`` or ``gpu``.
        version: Of this package, on the driver.
        libraries: Versions of others there.
        landmark: A card that the driver sees as the plan has it; None where it sees none.
        permissions: Of new files.
    """

    token: str
    run: RunDir
    config: RunConfig
    record: RunRecord
    root: ArchiveRoot
    card: ModelCard
    methods: Methods
    device: str
    version: str
    libraries: Mapping[str, str]
    landmark: CardRef | None
    permissions: int


@dataclass(frozen=True, slots=True)
class Order:
    """One shard that a node is to read and publish.

    Attributes:
        shard: Number in the plan.
        plan_digest: Digest of its rows in the plan.
        is_alone: It was lost before, and nothing else runs meanwhile.
        gives_up: It took its node or its worker along too often: publish it unread.
        strikes: How often it was lost.
        turn: Counts orders, so that several models are used in turn.
        servers: Processes that hold the model, with the ids of their nodes.
    """

    shard: int
    plan_digest: str
    is_alone: bool
    gives_up: bool
    strikes: int
    turn: int
    servers: tuple[Server, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """A process that holds the model.

    Attributes:
        node: Id of its node.
        place: Id of the node that it had to be on; None where any would do.
        actor: Its handle.
        device: What it runs on, in words.
    """

    node: str
    place: str | None
    actor: Any
    device: str


@dataclass(frozen=True, slots=True)
class Remark:
    """A line that a node would have logged."""

    logger: str
    level: int
    message: str
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """A node published a shard.

    Attributes:
        shard: Number in the plan.
        receipt_sha256: Digest of the receipt's bytes.
        host: Where.
        remarks: What it had to say.
    """

    shard: int
    receipt_sha256: str
    host: str
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """A node could not finish a shard.

    Attributes:
        shard: Number in the plan.
        cause: What happened, for people.
        is_displaced: It says nothing about the cards: a node or a model has gone.
        remarks: What it had to say.
    """

    shard: int
    cause: str
    is_displaced: bool
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A node found something that stands in the way of every shard.

    Attributes:
        kind: What the driver raises.
        message: What is wrong, with the name of the host.
        advice: What to do.
    """

    kind: type[VinBatchError]
    message: str
    advice: str

    def error(self) -> VinBatchError:
        """The same as an exception."""
        return self.kind(self.message, self.advice)


Outcome = Finished | Lost | Refused


def refusal(error: VinBatchError, host: str) -> Refused:
    """What a node found, as a message that names it."""
    return Refused(type(error), f"node {host}: {error.message}", error.advice)
