"""What the job asks of those who work its shards off, where that is not this machine alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vin_batch.batch.answers import OpenNetwork
from vin_batch.batch.loop import ShardProgress
from vin_batch.batch.opening import OpenRun
from vin_batch.batch.pack import Prepare
from vin_batch.batch.score import Judge
from vin_batch.batch.second_opinion import SecondReader
from vin_batch.batch.signals import StopSignals
from vin_batch.classifier.base import Classifier
from vin_batch.classifier.model_card import ModelCard
from vin_batch.config import RunConfig
from vin_batch.records import DecisionPolicy


@dataclass(frozen=True, slots=True)
class Methods:
    """How cards are read; functions that a process on another machine can import.

    Attributes:
        open_classifier: Loads a model on ``cpu`` or ``gpu``.
        bind_judge: Makes the judge of log-probabilities.
        prepare: File bytes to pixels.
        load_second_reader: Finds and checks the second reader of a model.
        open_network: Loads a network for LiteRT.
    """

    open_classifier: Callable[[ModelCard, str], Classifier]
    bind_judge: Callable[[DecisionPolicy], Judge]
    prepare: Prepare
    load_second_reader: Callable[[ModelCard], SecondReader]
    open_network: OpenNetwork


@dataclass(frozen=True, slots=True)
class Assignment:
    """Work for an engine.

    Attributes:
        opened: The run.
        card: The model.
        methods: How cards are read.
        todo: Shards, in order; each must have a receipt in the end.
        signals: Asked often.
        progress: Told of every shard that is done.
    """

    opened: OpenRun
    card: ModelCard
    methods: Methods
    todo: Sequence[int]
    signals: StopSignals
    progress: AbstractContextManager[ShardProgress]


class Engine(Protocol):
    """Works off the shards of a run; the ledger on disk says what came of it."""

    def connect(self) -> None:
        """Make sure, before anything expensive, that there is somebody to work.

        Raises:
            VinBatchError: There is nobody.
        """
        ...

    def settle(self, config: RunConfig) -> RunConfig:
        """Settings of a new run, where they depend on who works and were left open."""
        ...

    def work(self, assignment: Assignment) -> None:
        """Publish every shard of the assignment.

        Raises:
            InterruptedRunError: A signal came.
            VinBatchError: Something stands in the way of all shards.
        """
        ...

    def close(self) -> None:
        """Stop whatever still works."""
        ...
