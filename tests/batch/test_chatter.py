"""What C code in workers writes to stderr stays out of the log, and explains a death."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import noisy
from batch_fakes import POISON, fake_tools, make_config
from crash_tools import environment, new_base
from vin_batch.batch import chatter
from vin_batch.batch.job import run_job

CHILD = """
import os, sys
from vin_batch.batch import chatter
chatter.forget()
chatter.catch()
for line in sys.stdin.buffer:
    if line == b"forget\\n":
        chatter.forget()
    else:
        os.write(2, line)
    print("done", flush=True)
os.abort()
"""


def test_words_stay_with_the_worker_and_outlive_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None

        def write(words: bytes) -> None:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(words + b"\n")
            child.stdin.flush()
            assert child.stdout.readline() == b"done\n"

        write(b"libpng error: of an earlier task")
        ear = chatter.listen(child.pid)
        assert ear is not None
        assert chatter.last_words(ear) == "libpng error: of an earlier task"
        write(b"forget")
        assert chatter.last_words(ear) == ""
        write(b"x" * 5000)
        write(b"free(): invalid pointer\n")
        child.stdin.close()
        child.wait(timeout=60)
        assert chatter.last_words(ear) == "free(): invalid pointer"
        assert child.stderr.read() == b""
    os.close(ear)


def test_other_processes_are_left_alone(tmp_path: Path) -> None:
    with (
        (tmp_path / "stderr").open("wb") as file,
        subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=file
        ) as child,
    ):
        assert chatter.listen(child.pid) is None
        child.kill()
    assert chatter.listen(child.pid) is None
    assert chatter.last_words(None) == ""


def test_forgetting_nothing_does_no_harm(tmp_path: Path) -> None:
    before = os.dup(2)
    try:
        with (tmp_path / "stderr").open("wb") as file:
            os.dup2(file.fileno(), 2)
            os.write(2, b"kept")
            chatter.forget()
    finally:
        os.dup2(before, 2)
        os.close(before)
    assert (tmp_path / "stderr").read_bytes() == b"kept"


def test_noise_of_workers_does_not_reach_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    base = new_base(tmp_path, 2)
    run_job(make_config(base, workers=1), fake_tools(prepare=noisy.prepare))
    assert capfd.readouterr().err == ""


def test_last_words_of_a_worker_explain_its_death(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = new_base(tmp_path, 1)
    box = next((base / "archive").rglob("05.png"))
    box.write_bytes(box.read_bytes() + POISON)
    config = make_config(base, workers=1)
    outcome = run_job(config, fake_tools(prepare=noisy.prepare))
    assert outcome.tally.statuses == {"failed": 1}
    lost = [record for record in caplog.records if "was lost" in record.message]
    assert all("invalid pointer of a worker" in record.message for record in lost)
    assert {record.__dict__["shard"] for record in lost} == {0}
    (failed,) = [r for r in caplog.records if r.message.startswith("card failed")]
    assert failed.__dict__["card_id"] == "box_00/card_0000"
    assert "17 boxes not_read" in failed.message
