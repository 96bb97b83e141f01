"""Disks that refuse: exit 7 with advice, nothing torn, and the same command finishes."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from batch_fakes import fake_tools, make_config, readings_bytes
from crash_tools import PATIENCE, command, environment, new_base
from vin_batch.batch.job import run_job
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.verify import Severity, verify_run
from vin_batch.errors import DiskError, ExitCode


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = new_base(tmp_path_factory.mktemp("disk"), 10)
    run_job(make_config(base, output=base / "undisturbed"), fake_tools())
    return base


@pytest.mark.parametrize("limit", [500, 3000, 6000])
def test_file_size_limit(base: Path, limit: int) -> None:
    output = base / f"limit_{limit}"
    biggest = max(map(len, readings_bytes(base / "undisturbed").values()))
    assert limit < biggest, "the limit would not be felt"
    done = subprocess.run(
        command(base, output=output, workers=1),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == ExitCode.DISK, done.stderr
    assert "File too large" in done.stderr
    if (output / "run.json").exists():
        assert not [f for f in verify_run(RunDir(output)) if f.severity is Severity.DAMAGE]
    assert not [name for _, _, names in os.walk(output) for name in names if ".tmp" in name]
    assert run_job(make_config(base, output=output), fake_tools()).exit_code == ExitCode.DONE
    assert readings_bytes(output) == readings_bytes(base / "undisturbed")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(base: Path) -> None:
    (base / "locked").mkdir(mode=0o500)
    with pytest.raises(DiskError):
        run_job(make_config(base, output=base / "locked" / "run"), fake_tools())


def test_full_file_system(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = base / "full"
    fsync = os.fsync
    calls = 0

    def full_after_a_while(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 9:
            raise OSError(28, os.strerror(28))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_after_a_while)
        with pytest.raises(DiskError, match="No space left") as caught:
            run_job(make_config(base, output=output), fake_tools())
    assert "Free some space" in caught.value.advice
    assert not [name for _, _, names in os.walk(output) for name in names if ".tmp" in name]
    assert run_job(make_config(base, output=output), fake_tools()).exit_code == ExitCode.DONE
    assert readings_bytes(output) == readings_bytes(base / "undisturbed")
