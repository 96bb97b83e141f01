"""Who worked and who waited: added up by clocks that the test turns."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_fakes import fake_tools, make_archive, make_config
from vin_batch.batch.effort import Effort, MainTime, TimeSheet, cpu_seconds
from vin_batch.batch.job import run_job
from vin_batch.batch.receipts import Receipt, iter_receipts, receipt_from_json, receipt_to_json
from vin_batch.batch.rundir import RunDir

MAIN = ("idle", "classify", "decode", "write", "other")


@dataclass
class Clock:
    """Seconds that pass only where a test says so; the processor works half of them."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    def cpu(self, pid: int = 0) -> float:
        return self.now / 2


def test_a_time_sheet_tells_busy_from_idle() -> None:
    clock = Clock()
    sheet = TimeSheet(1, clock, clock.cpu)
    clock.now += 50  # starting
    sheet.free()
    clock.now += 3
    sheet.begin()
    clock.now += 8
    assert sheet.end() == Effort(busy=8, idle=3, cpu=5.5)
    clock.now += 1
    sheet.begin()
    clock.now += 2
    assert sheet.end() == Effort(busy=2, idle=1, cpu=1.5)


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9), st.booleans()), max_size=20))
def test_the_main_process_accounts_for_every_second(steps: list[tuple[float, float, bool]]) -> None:
    clock = Clock()
    main = MainTime(clock, clock.cpu)
    began, accounted, rest = clock.now, 0.0, 0.0
    for stage, between, receipt in steps:
        clock.now += stage + between
        main.account(stage)
        accounted += stage
        rest += main.rest()["other"] if receipt else 0.0
    rest += main.rest()["other"]
    assert accounted + rest == pytest.approx(clock.now - began)


def test_processor_time_of_a_process() -> None:
    before = cpu_seconds(os.getpid())
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert before + 0.03 <= cpu_seconds(os.getpid()) <= time.process_time() + 0.02
    assert cpu_seconds(2**30) == 0.0


def test_receipts_say_who_worked_and_how_much_was_read(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archive", 10)
    config = make_config(tmp_path)
    began = time.perf_counter()
    run_job(config, fake_tools())
    lasted = time.perf_counter() - began
    receipts = list(iter_receipts(RunDir(config.output)))
    assert len(receipts) == 3
    for receipt in receipts:
        timings = receipt.timings
        assert timings["worker_busy"] >= timings["read"] + timings["preprocess"] - 1e-3
        assert min(timings.values()) >= 0
    assert sum(r.timings[stage] for r in receipts for stage in MAIN) <= lasted
    bytes_on_disk = sum(path.stat().st_size for path in archive.rglob("*.png"))
    assert sum(receipt.read_bytes for receipt in receipts) == bytes_on_disk


def test_receipts_without_these_figures_are_still_good(tmp_path: Path) -> None:
    make_archive(tmp_path / "archive", 1)
    config = make_config(tmp_path)
    run_job(config, fake_tools())
    receipt = next(iter_receipts(RunDir(config.output)))
    assert older(receipt).read_bytes == 0


def older(receipt: Receipt) -> Receipt:
    """The receipt as an earlier version would have written and this one reads it."""
    from vin_batch.batch.sealed import open_sealed, sealed_json

    document = open_sealed(receipt_to_json(replace(receipt, timings={"read": 1.0})))
    del document["read_bytes"]
    return receipt_from_json(sealed_json(document))
