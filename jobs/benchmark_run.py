"""The whole command, watched from outside: seconds to its first shard, and its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from vin_batch.batch.bottleneck import describe_load, load_as_dict
from vin_batch.batch.ledger import load_run, tally
from vin_batch.batch.receipts import Receipt, iter_receipts
from vin_batch.batch.rundir import RunDir

LOOK: Final = 0.05
"""Seconds between looks for the first receipt."""
WEIGH: Final = 1.0
"""Seconds between looks at memory, which cost some milliseconds each."""
WARM_SHARE: Final = 0.25
"""First shards that say nothing about growth: caches and arenas still fill."""
SLOPE_CARDS: Final = 10_000
LEAST_POINTS: Final = 8
"""Shards that a statement about growth wants."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What the command did.

    Attributes:
        cards: Cards that it read.
        wall: Seconds from its start to its end.
        cpu: Seconds of processors, its workers included.
        first_shard: Seconds from its start to the first receipt.
        steady: Cards per second between start of the loop and last receipt.
        peak_pss: Largest proportional memory of all its processes together, bytes.
        peak_rss: Their largest resident memory, pages shared by several counted for each.
        slope: Bytes by which the parent grew per 10,000 cards; None for too few shards.
        words: The bottleneck, as the command named it.
        busy: The same as shares.
        timings: Seconds by stage.
        output_bytes: Size of readings and receipts.
        engine: Who computed the network.
    """

    cards: int
    wall: float
    cpu: float
    first_shard: float
    steady: float
    peak_pss: int
    peak_rss: int
    slope: float | None
    words: str
    busy: dict[str, Any]
    timings: dict[str, float]
    output_bytes: int
    engine: str


def watch_run(archive: Path, run_dir: Path, arguments: Sequence[str]) -> Watched:
    """Read an archive with ``vin-batch run`` into a new run directory.

    Raises:
        RuntimeError: The command ended with another code than 0 or 3.
    """
    command = [sys.executable, "-m", "vin_batch", "run", str(archive), "-o", str(run_dir)]
    log = run_dir.with_suffix(".log")
    began = time.perf_counter()
    with log.open("wb") as stderr:
        process = subprocess.Popen([*command, "--no-progress", *arguments], stderr=stderr)
        first, pss, rss, cpu = _follow(process, run_dir, began)
    wall = time.perf_counter() - began
    if process.returncode not in {0, 3}:
        raise RuntimeError(f"vin-batch run ended with {process.returncode}: {log.read_text()}")
    return _report(RunDir(run_dir), wall, (first, pss, rss, cpu))


def _follow(
    process: subprocess.Popen[bytes], run_dir: Path, began: float
) -> tuple[float, int, int, float]:
    """First receipt, peak memory, and processor seconds, until the process ends."""
    receipts, first, pss, rss = run_dir / "receipts", 0.0, 0, 0
    weighed, before = began, _children_cpu()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK)
            return first or time.perf_counter() - began, pss, rss, _children_cpu() - before
        now = time.perf_counter()
        if not first and receipts.is_dir() and any(receipts.glob("part-*.json")):
            first = now - began
        if now - weighed >= WEIGH:
            weighed = now
            together = _memory(_family(process.pid))
            pss, rss = max(pss, together[0]), max(rss, together[1])


def _family(pid: int) -> list[psutil.Process]:
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(processes: Iterable[psutil.Process]) -> tuple[int, int]:
    pss = rss = 0
    for process in processes:
        with suppress(psutil.Error):
            found = process.memory_full_info()
            pss, rss = pss + found.pss, rss + found.rss
    return pss, rss


def _children_cpu() -> float:
    """Processor seconds of ended children and of their ended children."""
    times = os.times()
    return times.children_user + times.children_system


def _report(run: RunDir, wall: float, seen: tuple[float, int, int, float]) -> Watched:
    receipts = list(iter_receipts(run))
    sums = tally(receipts)
    cores = load_run(run).sessions[-1].get("cores")
    main = sum(sums.timings.get(s, 0.0) for s in ("idle", "classify", "decode", "write", "other"))
    files = (*run.readings_dir.iterdir(), *run.receipts_dir.iterdir())
    first, pss, rss, cpu = seen
    return Watched(
        cards=sums.cards,
        wall=wall,
        cpu=cpu,
        first_shard=first,
        steady=sums.cards / main if main else 0.0,
        peak_pss=pss,
        peak_rss=rss,
        slope=memory_slope(receipts),
        words=describe_load(sums.timings, cores),
        busy=load_as_dict(sums.timings, cores),
        timings=dict(sums.timings),
        output_bytes=sum(path.stat().st_size for path in files),
        engine=receipts[0].readers[0].engine if receipts and receipts[0].readers else "unknown",
    )


def memory_slope(receipts: Sequence[Receipt]) -> float | None:
    """Bytes by which the main process grew per 10,000 cards, by least squares.

    Args:
        receipts: Of one session; the first quarter by time is left out.
    """
    ordered = sorted(receipts, key=lambda receipt: (receipt.finished_at, receipt.shard))
    done, points = 0, []
    for receipt in ordered:
        done += receipt.cards
        points.append((done, receipt.rss_bytes))
    points = points[int(len(points) * WARM_SHARE) :]
    if len(points) < LEAST_POINTS:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return slope * SLOPE_CARDS
