"""Several processes on one run directory, each with a slice of the shards."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_fakes import fake_tools, make_archive, make_config, readings_bytes
from crash_tools import PATIENCE, TESTS, environment, new_base, receipts, wait_until
from vin_batch.batch.job import JobOutcome, run_job
from vin_batch.batch.ledger import load_run
from vin_batch.batch.lock import hold, hold_slice, is_held
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.share import look_afresh
from vin_batch.batch.verify import verify_run
from vin_batch.errors import ExitCode, LockedError, UsageError
from vin_batch.slices import MAX_SLICES, Slice, parse_slice


@st.composite
def cuts(draw: st.DrawFn) -> list[Slice]:
    of = draw(st.integers(1, 50))
    return [parse_slice(f"{number}/{of}") for number in range(1, of + 1)]


@given(cuts(), st.integers(0, 500))
def test_every_shard_belongs_to_exactly_one_slice(slices: list[Slice], shards: int) -> None:
    held = [[shard for shard in range(shards) if part.holds(shard)] for part in slices]
    assert sorted(chain.from_iterable(held)) == list(range(shards))
    assert max(map(len, held)) - min(map(len, held)) <= 1, "and none has much more to do"


@given(st.integers(1, MAX_SLICES), st.integers(1, MAX_SLICES))
def test_slices_are_read_as_they_are_written(number: int, of: int) -> None:
    if number <= of:
        assert parse_slice(str(Slice(number, of))) == Slice(number, of)
    else:
        with pytest.raises(UsageError):
            parse_slice(f"{number}/{of}")


@pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "1/0", "+1/2", "1/2/3", "01/2", "1/10001"])
def test_other_texts_are_no_slices(text: str) -> None:
    with pytest.raises(UsageError):
        parse_slice(text)


def work(base: Path, part: str | None, **tools: object) -> JobOutcome:
    return run_job(make_config(base, slice=part, workers=1), fake_tools(**tools))


def test_slices_one_after_another_finish_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All within one second: neither times nor process numbers tell these sessions apart.
    monkeypatch.setattr("vin_batch.batch.opening.now", lambda: "2026-11-20T12:00:00+00:00")
    make_archive(tmp_path / "archive", 20)
    run = RunDir(tmp_path / "run")
    first = work(tmp_path, "1/2")
    assert (first.shards_worked, first.pending, first.exit_code) == (3, 2, ExitCode.DONE)
    assert first.tally.cards == 12, "of its own"
    assert not any(path.exists() for path in run.outputs)
    second = work(tmp_path, "2/2")
    assert (second.shards_worked, second.pending, second.tally.cards) == (2, 0, 20)
    made = [path.stat().st_mtime_ns for path in run.outputs]
    assert list(verify_run(run)) == []
    for part in ("1/2", "2/2", None):
        again = work(tmp_path, part)
        assert (again.shards_worked, again.pending) == (0, 0)
    assert [path.stat().st_mtime_ns for path in run.outputs] == made, "outputs are made once"
    sessions = load_run(run).sessions
    assert [session["slice"] for session in sessions] == ["1/2", "2/2", "1/2", "2/2", None]
    assert {session["outcome"] for session in sessions} == {"done"}


def test_a_plain_run_finishes_what_slices_left(tmp_path: Path) -> None:
    make_archive(tmp_path / "archive", 20)
    work(tmp_path, "3/4")
    outcome = work(tmp_path, None)
    assert (outcome.shards_worked, outcome.exit_code) == (4, ExitCode.DONE)
    run_job(make_config(tmp_path, output=tmp_path / "whole"), fake_tools())
    assert readings_bytes(tmp_path / "run") == readings_bytes(tmp_path / "whole")


def test_a_slice_sweeps_and_checks_its_own_shards_only(tmp_path: Path) -> None:
    make_archive(tmp_path / "archive", 20)
    work(tmp_path, "1/2")
    run = RunDir(tmp_path / "run")
    others = run.readings_dir / ".part-00000.parquet.0123456789abcdef.tmp"
    own = run.readings_dir / ".part-00001.parquet.0123456789abcdef.tmp"
    for path in (others, own):
        path.write_bytes(b"half")
    run.receipt(2).write_bytes(b"torn")
    outcome = work(tmp_path, "2/2")
    assert others.exists(), "its writer may live"
    assert not own.exists()
    assert run.receipt(2).read_bytes() == b"torn", "somebody else's"
    assert outcome.pending == 1


def start(base: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    driver = [sys.executable, str(TESTS / "crash_driver.py"), str(base), "workers=1", *arguments]
    return subprocess.Popen(driver, env=environment(**variables), stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def test_three_slices_at_once_one_killed(tmp_path: Path) -> None:
    base = new_base(tmp_path, 40)
    slices = {number: start(base, f"slice={number}/3", FAKE_PAUSE="0.2") for number in (1, 2, 3)}
    wait_until(lambda: receipts(base) >= 3)
    slices[2].kill()
    slices[2].communicate()
    assert end(slices[1])[0] == end(slices[3])[0] == ExitCode.DONE
    run = RunDir(base / "run")
    if not run.outputs[0].exists():
        assert end(start(base, "slice=2/3"))[0] == ExitCode.DONE
    assert all(path.exists() for path in run.outputs)
    assert list(verify_run(run)) == []
    run_job(make_config(base, output=base / "whole"), fake_tools())
    assert readings_bytes(base / "run") == readings_bytes(base / "whole")
    assert len({load_run(run).run_id, load_run(RunDir(base / "whole")).run_id}) == 1


def test_who_excludes_whom(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with hold_slice(lock, Slice(1, 3)):
        assert is_held(lock)
        with hold_slice(lock, Slice(2, 3)):
            with pytest.raises(LockedError, match="slices 1/3, 2/3"), hold(lock):
                pass
            with pytest.raises(LockedError, match="pid "), hold_slice(lock, Slice(1, 3)):
                pass
            with pytest.raises(LockedError, match="otherwise"), hold_slice(lock, Slice(1, 2)):
                pass
    assert not is_held(lock)
    with hold(lock), pytest.raises(LockedError, match="pid "), hold_slice(lock, Slice(3, 3)):
        pass
    with hold_slice(lock, Slice(1, 2)):
        pass


def test_looking_afresh_leaves_nothing_behind(tmp_path: Path) -> None:
    look_afresh(tmp_path)
    look_afresh(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []
