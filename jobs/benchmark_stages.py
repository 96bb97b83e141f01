"""The stages of the job, alone: pixels, VIN rules, publishing, status."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from benchmark_loops import Cost, timed
from numpy.typing import NDArray

from vin_batch.archive import ArchiveRoot, open_archive, walk
from vin_batch.batch.pack import ShardResult, ShardTask, pack_shard
from vin_batch.batch.pool import Limits, WorkerPool
from vin_batch.batch.publish import Publisher, pack_evidence
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.score import bind_judge
from vin_batch.classifier.model_card import ModelCard
from vin_batch.preprocess import preprocess_bytes
from vin_batch.records import CardPack, CardRef, Reading

PATIENCE = 600.0
"""Seconds that a worker may take."""
ROUNDS_PER_WORKER = 2
"""Shards per worker in a measurement: one that ends early takes another."""


def first_cards(root: Path, count: int) -> tuple[ArchiveRoot, tuple[CardRef, ...]]:
    """The first cards of an archive, as a plan would have them."""
    archive = open_archive(root)
    return archive, tuple(islice(walk(archive), count))


def pack_cards(root: Path, count: int) -> CardPack:
    """Pixels of the first cards, made in this process by what a worker runs."""
    archive, cards = first_cards(root, count)
    pack = pack_shard(ShardTask(archive, 0, cards, preprocess_bytes)).pack
    assert pack is not None, "the archive changed under the benchmark"
    return pack


class PixelsStage:
    """The worker pool of the job, packing shards for nobody.

    Args:
        workers: How many.
        root: The archive.
        cards: How many of its cards are packed.
    """

    def __init__(self, workers: int, root: Path, cards: int) -> None:
        self._workers = workers
        self._archive, self._cards = first_cards(root, cards)
        self._pool = WorkerPool(workers, Limits(PATIENCE, PATIENCE))

    def run(self, cards: int | None = None) -> Cost:
        """Pack all cards, or the first few for each worker, and throw the pixels away."""
        chosen = self._cards if cards is None else self._cards[:cards] * self._workers
        size = -(-len(chosen) // (self._workers * ROUNDS_PER_WORKER))
        starts = range(0, len(chosen), size)
        began = time.perf_counter()
        for shard, start in enumerate(starts):
            part = chosen[start : start + size]
            self._pool.submit(ShardTask(self._archive, shard, part, preprocess_bytes))
        left, cpu = len(starts), 0.0
        while left:
            news = self._pool.wait(1.0)
            if news.lost:
                raise RuntimeError(f"a worker was lost: {news.lost[0].cause}")
            for delivery in news.delivered:
                assert isinstance(delivery.result, ShardResult)
                left, cpu = left - 1, cpu + delivery.effort.cpu
        return Cost(len(chosen), time.perf_counter() - began, cpu)

    def close(self) -> None:
        """End the workers."""
        self._pool.close()


def judge_cards(
    card: ModelCard, pack: CardPack, log_probs: NDArray[np.float32], rounds: int
) -> tuple[list[Cost], list[Reading]]:
    """Cost of the VIN rules, and what they make of the cards.

    Args:
        card: The model, for its policy.
        pack: ``n`` cards.
        log_probs: ``float32[n, 17, 33]``.
        rounds: How often, once more to warm up.
    """
    judge = bind_judge(card.policy)
    readings: list[Reading] = []

    def work() -> int:
        readings[:] = judge(pack.card_ids, log_probs, pack.issues, pack.extra_boxes)
        return len(readings)

    costs = [timed(work) for _ in range(rounds + 1)][1:]
    return costs, readings


def publish_cards(
    pack: CardPack, readings: Sequence[Reading], folder: Path, rounds: int
) -> list[Cost]:
    """Cost of readings file and receipt, fsync and all, on the disk that ``folder`` is on."""
    refs = [CardRef(card_id, None, "0" * 16) for card_id in pack.card_ids]
    evidence = pack_evidence(pack, {}, 0, 0, ())
    with tempfile.TemporaryDirectory(dir=folder) as name:
        run = RunDir(Path(name))
        run.readings_dir.mkdir()
        run.receipts_dir.mkdir()
        publisher = Publisher(run, "b" * 32, "benchmark", "cpu")

        def work() -> int:
            return publisher.publish(0, refs, readings, evidence).cards

        return [timed(work) for _ in range(rounds + 1)][1:]


def status_cost(run_dir: Path) -> Cost:
    """Cost of ``vin-batch status`` as a command."""
    return command_cost(1, "status", str(run_dir))


def command_cost(items: int, *arguments: str) -> Cost:
    """Cost of a ``vin-batch`` command and its children, for so many items."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "vin_batch", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(items, time.perf_counter() - began, cpu)
