"""A clock that is set back, and files from the future, change no reading and no duration."""

from __future__ import annotations

import itertools
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch_fakes import fake_tools, make_archive, make_config, readings_bytes
from vin_batch.batch import job, opening, publish
from vin_batch.batch.job import run_job
from vin_batch.errors import ExitCode
from vin_batch.report.summary import write_summary

CARDS = 6


def test_a_run_whose_clock_goes_backwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_archive(tmp_path / "archive", CARDS)
    run_job(make_config(tmp_path, output=tmp_path / "undisturbed"), fake_tools())
    moments = (datetime(2026, 3, 1, tzinfo=UTC) - timedelta(hours=n) for n in itertools.count())
    for module in (job, opening, publish):
        monkeypatch.setattr(module, "now", lambda: next(moments).isoformat(timespec="seconds"))
    ticks = itertools.count(2e9, -3600)
    monkeypatch.setattr(time, "time", lambda: next(ticks))
    outcome = run_job(make_config(tmp_path), fake_tools())
    assert readings_bytes(tmp_path / "run") == readings_bytes(tmp_path / "undisturbed")
    (session,) = outcome.record.sessions
    assert session["finished_at"] < session["started_at"]
    assert session["seconds"] >= 0
    summary = write_summary(tmp_path / "run")
    assert summary["sessions"]["seconds"] == round(session["seconds"], 1)
    assert all(seconds >= 0 for seconds in summary["timings"]["seconds"].values())


def test_files_from_the_future_and_from_before_1970(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archive", CARDS)
    run_job(make_config(tmp_path, output=tmp_path / "undisturbed"), fake_tools())
    for number, path in enumerate(sorted(archive.rglob("*.png"))):
        when = 4_102_444_800 if number % 2 else -3600
        os.utime(path, (when, when))
    assert run_job(make_config(tmp_path), fake_tools()).exit_code is ExitCode.DONE
    assert run_job(make_config(tmp_path), fake_tools()).shards_worked == 0
    assert readings_bytes(tmp_path / "run") == readings_bytes(tmp_path / "undisturbed")
