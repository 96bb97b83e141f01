"""The whole job in one process and one thread, for tests that stop it at its system calls."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import deque
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

from batch_fakes import fake_tools, make_card, make_config
from vin_batch.batch import job, worker
from vin_batch.batch.job import failed_again, refused_again, run_job
from vin_batch.batch.pool import Delivery, Limits, Loss, Round
from vin_batch.batch.rundir import OUTPUT_NAMES
from vin_batch.config import RunConfig
from vin_batch.errors import ExitCode, VinBatchError
from vin_batch.export.readings_csv import write_readings_csv

CARDS = 5
BOXES = (1, 2)
"""Boxes of a card: two are enough, and every file costs system calls."""


class InlinePool:
    """Stands in for ``WorkerPool``: does a task when it is waited for."""

    def __init__(self, workers: int, limits: Limits) -> None:
        self._backlog: deque[worker.Task] = deque()

    def submit(self, task: worker.Task) -> None:
        self._backlog.append(task)

    def wait(self, timeout: float) -> Round:
        if not self._backlog:
            return Round()
        task = self._backlog.popleft()
        answer = worker.answer(task, lambda _: None)
        if isinstance(answer, worker.Failure):
            return Round(lost=[Loss(task.shard, answer.reason)])
        return Round(delivered=[Delivery(task.shard, answer, time.monotonic())])

    def stop_overdue(self) -> None: ...

    def renew(self) -> None: ...

    def pids(self) -> list[int]:
        return []

    def close(self) -> None: ...


def inline() -> AbstractContextManager[object]:
    """Within the block a job works in this process."""
    return patch.object(job, "WorkerPool", InlinePool)


def run_inline(config: RunConfig, retry: bool = False) -> int:
    """Run the job in this process; its exit code, 1 for an error that nobody foresaw."""
    tools = fake_tools(finishers=(write_readings_csv, write_others))
    try:
        with inline():
            return int(run_job(config, tools, failed_again if retry else refused_again).exit_code)
    except VinBatchError as error:
        print(f"{type(error).__name__}: {error.message}", file=sys.stderr)
        return int(error.exit_code)
    except Exception as error:
        print(f"defect: {error!r}", file=sys.stderr)
        return int(ExitCode.DEFECT)


def inline_config(base: Path, output: Path) -> RunConfig:
    """Three shards of two cards and less."""
    return make_config(base, output=output, workers=1, shard_size=2)


def write_others(run_dir: Path) -> None:
    """Stand-ins for the summary and the report."""
    for name in OUTPUT_NAMES[1:]:
        (run_dir / name).write_bytes(b"x")


def results(output: Path) -> dict[str, bytes]:
    """Name and bytes of every readings file and of the CSV."""
    files = [*sorted((output / "readings").iterdir()), output / "readings.csv"]
    return {path.name: path.read_bytes() for path in files if path.is_file()}


def left_overs(output: Path) -> list[str]:
    """Temporary files below a run directory."""
    return [name for _, _, names in os.walk(output) for name in names if ".tmp" in name]


def make_base(base: Path) -> Path:
    """An archive of tiny cards, a model, and an undisturbed run in ``base/undisturbed``."""
    for number in range(CARDS):
        make_card(base / "archive" / "box_00" / f"card_{number:04d}", number, BOXES)
    code = run_inline(inline_config(base, base / "undisturbed"))
    assert code == ExitCode.DONE, code
    return base


def half_done(base: Path) -> Path:
    """A run with one shard to read, torn readings, and files with new times."""
    spoiled = base / "half"
    if not spoiled.exists():
        shutil.copytree(base / "undisturbed", spoiled)
        (spoiled / "receipts" / "part-00001.json").unlink()
        (spoiled / "readings" / ".part-00001.parquet.tmp").write_bytes(b"torn")
        os.truncate(spoiled / "readings" / "part-00002.parquet", 700)
        for path in (base / "archive" / "box_00" / "card_0000").iterdir():
            os.utime(path, (1, 1))
    return spoiled


def repaired(base: Path) -> Path:
    """A complete run with a failed card whose file is whole again, ready for ``retry``."""
    spoiled = base / "failed"
    if not spoiled.exists():
        box = base / "archive" / "box_00" / "card_0003" / "02.png"
        whole = box.read_bytes()
        box.write_bytes(b"torn")
        code = run_inline(inline_config(base, spoiled))
        assert code == ExitCode.FINISHED_WITH_FAILURES, code
        box.write_bytes(whole)
    return spoiled
