"""Disks that refuse: exit 7 with advice, nothing torn, and the same command finishes."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from batch_fakes import fake_tools, make_config, readings_bytes
from crash_inline import inline
from crash_tools import PATIENCE, command, environment, new_base
from vin_batch.batch.job import run_job
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.verify import Severity, verify_run
from vin_batch.errors import ArchiveError, DiskError, ExitCode


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


MOUNTED = """
mount -t tmpfs -o size={size} tmpfs "$1" || exit 77
shift
{then}
"""


def in_small_file_system(
    place: Path, then: str, size: str = "48k"
) -> subprocess.CompletedProcess[str]:
    """Run shell lines with a tmpfs of a few kB mounted at a place that only they see."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", MOUNTED.format(size=size, then=then), "sh", str(place)],
        env=environment(), capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    return done


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_a_small_disk_runs_full_and_gets_room(base: Path) -> None:
    """A real file system answers with ENOSPC; room is made; the same command finishes."""
    place, kept = base / "small", base / "kept"
    run = " ".join(command(base, output=place / "run", workers=1))
    then = (
        f"dd if=/dev/zero of={place}/ballast bs=1k count=24 2>/dev/null\n"
        f"{run}; echo first $?\nrm {place}/ballast\nmount -o remount,size=10m {place}\n"
        f"find {place} -name '*.tmp'\n{run}; echo then $?\ncp -r {place}/run {kept}"
    )
    done = in_small_file_system(place, then)
    assert done.stdout == "first 7\nthen 0\n", done.stdout + done.stderr
    assert "No space left on device" in done.stderr
    assert readings_bytes(kept) == readings_bytes(base / "undisturbed")
    assert list(verify_run(RunDir(kept))) == []


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_a_disk_becomes_read_only_and_writable_again(base: Path) -> None:
    """As a kernel does that has seen an error; before the run has begun, and in its middle."""
    place, kept = base / "fickle", base / "kept after read-only"
    run = " ".join(command(base, output=place / "run", workers=1))
    then = (
        f"mount -o remount,ro {place}\n{run}; echo first $?\nmount -o remount,rw {place}\n"
        f"VIN_BATCH_CRASH_AT=publish:done:2 {run}; echo then $?\nmount -o remount,ro {place}\n"
        f"{run}; echo again $?\nmount -o remount,rw {place}\n{run}; echo last $?\n"
        f"cp -r {place}/run '{kept}'"
    )
    done = in_small_file_system(place, then, size="10m")
    assert done.stdout == "first 7\nthen 137\nagain 7\nlast 0\n", done.stdout + done.stderr
    assert done.stderr.count("Read-only file system") >= 2
    assert readings_bytes(kept) == readings_bytes(base / "undisturbed")


def test_crops_that_the_disk_does_not_give(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards fail for now; the same command reads their shards again, and no others."""
    output, read = base / "refused", os.read
    refused = 0

    def refuse(descriptor: int, size: int) -> bytes:
        nonlocal refused
        if "card_0004" in os.fspath(Path(f"/proc/self/fd/{descriptor}").readlink()):
            refused += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, size)

    with inline(), monkeypatch.context() as patch:
        patch.setattr(os, "read", refuse)
        outcome = run_job(make_config(base, output=output), fake_tools())
        assert (outcome.exit_code, outcome.tally.statuses["failed"]) == (3, 1)
        assert run_job(make_config(base, output=output), fake_tools()).shards_worked == 1
    assert refused > 17
    outcome = run_job(make_config(base, output=output), fake_tools())
    assert (outcome.exit_code, outcome.shards_worked) == (ExitCode.DONE, 1)
    assert readings_bytes(output) == readings_bytes(base / "undisturbed")
    assert run_job(make_config(base, output=output), fake_tools()).shards_worked == 0


def test_a_plan_is_not_frozen_while_the_archive_fails(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that drops during the walk must not leave a plan without its cards."""
    output, scandir = base / "dropped", os.scandir

    def refuse(folder: int | Path) -> object:
        opened = f"/proc/self/fd/{folder}" if isinstance(folder, int) else folder
        if b"box_01" in os.path.realpath(os.fsencode(opened)):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return scandir(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        with pytest.raises(ArchiveError, match="could not be listed") as caught:
            run_job(make_config(base, output=output), fake_tools())
    assert caught.value.exit_code == ExitCode.ARCHIVE
    assert not (output / "run.json").exists()
    assert run_job(make_config(base, output=output), fake_tools()).exit_code == ExitCode.DONE
    assert readings_bytes(output) == readings_bytes(base / "undisturbed")
