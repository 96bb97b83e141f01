"""Kills the publishing of one shard before and after every single system call that it makes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from crash_inline import left_overs
from crash_tracer import Call, Kill, trace
from finished_run import MODEL_ID, RUN_ID, make_run, reading
from vin_batch.batch.atomic import sweep
from vin_batch.batch.ledger import is_valid
from vin_batch.batch.publish import Evidence, Publisher
from vin_batch.batch.readings_schema import readings_to_table, serialise
from vin_batch.batch.receipts import ShardState, receipt_from_json
from vin_batch.batch.rundir import RunDir
from vin_batch.records import CardRef

OLD = [reading("box/a"), reading("box/b")]
NEW = [replace(each, confidence=0.9) for each in OLD]
KILLED = -9


class Countdown:
    """Kills at the ``number``-th stop."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, _: Call) -> Kill | None:
        self.number -= 1
        return None if self.number else Kill()


def publish(run: RunDir) -> int:
    cards = [CardRef(each.card_id, None, "0" * 16) for each in NEW]
    Publisher(run, RUN_ID, MODEL_ID, "CPU").publish(0, cards, NEW, Evidence(ShardState.DONE))
    return 0


def kill_publishing(base: Path, start: str) -> Iterator[str | None]:
    """Kill at every stop of a first publishing (``fresh``) or one that replaces another.

    Yields:
        For every death, what was wrong after it, or None.
    """
    template = base / "template"
    make_run(template, [OLD], unfinished={0} if start == "fresh" else set())
    code, number = KILLED, 0
    while code == KILLED:
        number += 1
        output = base / "run"
        shutil.copytree(template, output)
        run = RunDir(output)
        code = trace(partial(publish, run), Countdown(number), exits=True)
        problem = torn(run, start) or unfinished(run)
        if code not in {KILLED, 0}:
            problem = f"ended with {code}"
        yield problem and f"killed at stop {number}: {problem}"
        shutil.rmtree(output)


def torn(run: RunDir, start: str) -> str | None:
    """What no death may leave: half a file, or a receipt before its readings."""
    old, new = (serialise(readings_to_table(each, MODEL_ID, RUN_ID)) for each in (OLD, NEW))
    readings = run.readings(0).read_bytes() if run.readings(0).exists() else None
    if readings not in ({None, new} if start == "fresh" else {old, new}):
        return "readings are torn"
    if not run.receipt(0).exists():
        return None if start == "fresh" else "the old receipt is gone"
    receipt = receipt_from_json(run.receipt(0).read_bytes())
    if receipt.readings_sha256 == sha256(new).hexdigest():
        return None if is_valid(run, receipt, RUN_ID, len(NEW)) else "a receipt without readings"
    return None if start != "fresh" else "a receipt of other readings"


def unfinished(run: RunDir) -> str | None:
    """Publishing again gives the whole shard; otherwise what is wrong."""
    sweep((run.readings_dir, run.receipts_dir))
    publish(run)
    receipt = receipt_from_json(run.receipt(0).read_bytes())
    if not is_valid(run, receipt, RUN_ID, len(NEW)):
        return "publishing again does not finish the shard"
    if run.readings(0).read_bytes() != serialise(readings_to_table(NEW, MODEL_ID, RUN_ID)):
        return "publishing again gives other bytes"
    return f"left {left_overs(run.root)}" if left_overs(run.root) else None
