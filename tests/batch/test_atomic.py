from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vin_batch.batch.atomic import atomic_file, sweep, temporaries, write_atomic
from vin_batch.errors import DiskError, ExitCode


def test_writes_whole_file(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"one")
    write_atomic(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a"]


def write_half(path: Path) -> None:
    with atomic_file(path) as file:
        file.write(b"half of the n")
        raise ZeroDivisionError


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOSPC, "space"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EIO, "disk"),
    ],
)
def test_every_step_reports_a_refusing_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, word: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    for owner, name in ((os, "fsync"), (Path, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refuse)
            with pytest.raises(DiskError) as caught:
                write_atomic(tmp_path / "a", b"x")
        assert caught.value.exit_code == ExitCode.DISK
        assert str(tmp_path / "a") in caught.value.message
        assert word in caught.value.advice
    assert os.listdir(tmp_path) == []


def test_missing_folder_is_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="No such file"):
        write_atomic(tmp_path / "nowhere" / "a", b"x")


def test_full_device() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(OSError, match="No space"), full.open("wb", buffering=0) as file:
        file.write(b"x")


def test_sweep_removes_only_left_overs(tmp_path: Path) -> None:
    for name in (".part-00000.parquet.tmp", ".run.json.tmp", "part-00000.parquet", ".keep"):
        (tmp_path / name).write_bytes(b"x")
    assert len(list(temporaries([tmp_path]))) == 2
    assert sweep([tmp_path, tmp_path / "nowhere"]) == 2
    assert sorted(os.listdir(tmp_path)) == [".keep", "part-00000.parquet"]
