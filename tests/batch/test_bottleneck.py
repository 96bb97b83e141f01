"""The bottleneck is named from seconds alone, in receipts, status, summary, report and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finished_run import make_run, reading
from vin_batch.batch.bottleneck import (
    MAIN_STAGES,
    Load,
    bottleneck_of,
    describe_load,
    load_of,
)
from vin_batch.batch.ledger import load_run, save_run
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.status import describe, read_status
from vin_batch.errors import ExitCode
from vin_batch.report.html import write_report
from vin_batch.report.summary import write_summary
from vin_batch.report.textfile import SessionFacts, session_metrics

STAGES = (
    "read", "preprocess", "queue", "idle", "classify", "decode", "write", "other",
    "worker_busy", "worker_idle", "worker_cpu", "main_cpu",
)  # fmt: skip
MAIN = {"idle": 3.0, "classify": 97.0, "decode": 0.0, "write": 0.0, "other": 0.0}
CLASSIFIER = {
    **MAIN, "worker_busy": 80.0, "worker_idle": 120.0, "worker_cpu": 80.0, "main_cpu": 60.0,
}  # fmt: skip
STUCK = {"worker_busy": 99.0, "worker_idle": 1.0, "worker_cpu": 20.0}
WAITING = {**MAIN, "idle": 70.0, "classify": 30.0}


def bottleneck(timings: Mapping[str, float], cores: int | None = 8) -> str | None:
    found = bottleneck_of(timings, load_of(timings, cores))
    return None if found is None else found.code


def test_shares_are_of_the_right_time() -> None:
    assert load_of(CLASSIFIER, 2) == Load(
        classifier=0.97, main=0.97, workers=0.4, cores=0.7, waits=0.0
    )


@pytest.mark.parametrize(
    ("timings", "cores", "code"),
    [
        (CLASSIFIER, 2, "classifier"),
        ({**MAIN, "decode": 98.0}, 2, "rules"),
        ({**MAIN, "write": 98.0}, 2, "output"),
        ({**MAIN, "other": 98.0}, 2, "main"),
        ({**WAITING, "worker_busy": 99.0, "worker_idle": 1.0, "worker_cpu": 90.0}, 8, "workers"),
        ({**WAITING, **STUCK, "read": 80.0, "preprocess": 19.0}, 8, "disk"),
        ({**WAITING, **STUCK, "read": 9.0, "preprocess": 90.0}, 8, "machine"),
        ({**WAITING, "worker_busy": 50.0, "worker_idle": 50.0, "worker_cpu": 50.0}, 8, "shards"),
        ({**WAITING, "worker_busy": 198.0, "worker_idle": 2.0, "worker_cpu": 190.0}, 2, "cores"),
        ({"read": 1.0, "preprocess": 2.0}, 2, None),
        ({}, None, None),
    ],
)
def test_the_bottleneck(timings: Mapping[str, float], cores: int | None, code: str | None) -> None:
    assert bottleneck(timings, cores) == code


def test_receipts_of_earlier_versions_give_what_they_can() -> None:
    """They know no worker's idle time and no processor time."""
    older = {"read": 20.0, "preprocess": 40.0, "queue": 1.0, **WAITING}
    assert load_of(older, None) == Load(0.3, 0.3, None, None, None)
    assert describe_load(older, None) == (
        "classifier busy 30%, main process 30%: more workers would help"
    )


def test_workers_that_classify_are_told_apart() -> None:
    timings = {
        **MAIN, "idle": 90.0, "classify": 0.0, "decode": 10.0, "read": 10.0, "preprocess": 50.0,
        "worker_classify": 39.0, "worker_busy": 100.0, "worker_cpu": 95.0, "main_cpu": 10.0,
    }  # fmt: skip
    assert load_of(timings, 2).classifier == 0.39
    assert describe_load(timings, 8) == (
        "main process busy 10%, workers (read 10%, preprocess 50%, classify 39%) 100%, "
        "8 cores 13%: more workers would help"
    )


@given(
    st.dictionaries(st.sampled_from(STAGES), st.floats(0, 1e9)),
    st.none() | st.integers(1, 1024),
)
def test_whatever_the_clocks_say_shares_are_shares(
    timings: dict[str, float], cores: int | None
) -> None:
    load = load_of(timings, cores)
    for share in (*load.as_dict().values(), load.waits):
        assert share is None or 0 <= share <= 1
    known = sum(timings.get(stage, 0.0) for stage in MAIN_STAGES) > 0
    assert (bottleneck_of(timings, load) is not None) == known
    assert bool(describe_load(timings, cores)) == known


def test_everything_that_tells_of_a_run_names_it(tmp_path: Path) -> None:
    run = busy_run(tmp_path / "run", CLASSIFIER, cores=2)
    words = "classifier busy 97%, main process 97%, workers 40%, 2 cores 70%: "
    status = read_status(run)
    assert words in describe(status)
    assert status.as_dict()["busy"]["bottleneck"] == "classifier"
    timings = write_summary(run.root)["timings"]
    assert timings["busy"] == status.as_dict()["busy"]
    assert timings["read_bytes"] == 0
    page = write_report(run.root).read_text("utf-8")
    assert words[1:] in page
    assert "more workers would not" in page
    facts = SessionFacts("a", ExitCode.DONE, 1.0, 1.0, status)
    busy = next(m for m in session_metrics(facts) if m.name == "vin_batch_run_busy_ratio")
    assert [(labels["part"], share) for labels, share in busy.samples] == [
        ("classifier", 0.97), ("main", 0.97), ("workers", 0.4), ("cores", 0.7),
    ]  # fmt: skip


def busy_run(root: Path, timings: Mapping[str, float], cores: int) -> RunDir:
    """A finished run of one shard with these seconds, and cores in its session."""
    from vin_batch.batch.receipts import load_receipt, save_receipt

    run = make_run(root, [[reading("a")]])
    receipt = load_receipt(run, 0)
    assert receipt is not None
    save_receipt(run, replace(receipt, timings=timings))
    record = load_run(run)
    sessions = ({**record.sessions[0], "cores": cores},)
    save_run(run, replace(record, sessions=sessions))
    return run
