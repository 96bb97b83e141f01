"""Permissions: what the job makes is closed to others, whatever the caller's umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from batch_fakes import fake_tools, make_archive, make_config
from crash_tools import command, environment, new_base
from finished_run import make_run, reading
from vin_batch.batch.atomic import atomic_file, file_mode, make_folder, write_atomic
from vin_batch.batch.faults import KILLED, VARIABLE
from vin_batch.batch.job import run_job
from vin_batch.batch.ledger import load_run, mode_of, save_run
from vin_batch.cli import main
from vin_batch.errors import DiskError
from vin_batch.export.readings_csv import write_readings_csv
from vin_batch.report.html import write_report
from vin_batch.report.summary import write_summary

UMASKS = (0o000, 0o022, 0o077)


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield int(request.param)
    os.umask(before)


def modes(root: Path) -> dict[str, int]:
    """Permissions of a folder and of everything below it."""
    paths = [root, *root.rglob("*")]
    return {path.relative_to(root).as_posix(): permissions(path) for path in paths}


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mode", "folder"), [("0640", 0o750), ("0600", 0o700)])
def test_a_run_is_closed(tmp_path: Path, umask: int, mode: str, folder: int) -> None:
    make_archive(tmp_path / "archive", 1)
    output = tmp_path / "new" / "deep" / "run"
    config = make_config(tmp_path, output=output, file_mode=mode, workers=1)
    finishers = (write_readings_csv, write_summary, write_report)
    run_job(config, fake_tools(finishers=finishers))
    found = modes(tmp_path / "new")
    assert len(found) == 13
    for name, permission in found.items():
        is_file = (tmp_path / "new" / name).is_file()
        assert permission == (int(mode, 8) if is_file else folder) & ~umask, name


@pytest.mark.parametrize("point", ["plan:written:1", "readings:written:1", "run_json:synced:2"])
def test_unfinished_files_are_closed_too(tmp_path: Path, point: str) -> None:
    import subprocess

    base = new_base(tmp_path, 1)
    done = subprocess.run(
        command(base, workers=1),
        env=environment(**{VARIABLE: point}),
        check=False,
        timeout=60,
        preexec_fn=partial(os.umask, 0),
    )
    assert done.returncode == KILLED
    left = list((base / "run").rglob(".*.tmp"))
    assert left
    assert {permissions(path) for path in (base / "run").rglob("*") if path.is_file()} == {0o640}


def test_a_file_is_closed_before_anything_is_in_it(tmp_path: Path, umask: int) -> None:
    with atomic_file(tmp_path / "a"):
        (temporary,) = tmp_path.iterdir()
        assert permissions(temporary) == 0o640 & ~umask


def test_what_a_dead_writer_left_open_does_not_stay_open(tmp_path: Path) -> None:
    stale = tmp_path / ".a.tmp"
    stale.write_bytes(b"half")
    stale.chmod(0o666)
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o644)
    write_atomic(tmp_path / "a", b"new")
    assert modes(tmp_path).keys() == {".", "a"}
    assert permissions(tmp_path / "a") == 0o640


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"theirs")
    (tmp_path / ".a.tmp").symlink_to(tmp_path / "victim")
    write_atomic(tmp_path / "a", b"ours")
    assert (tmp_path / "victim").read_bytes() == b"theirs"
    assert (tmp_path / "a").read_bytes() == b"ours"
    assert not (tmp_path / "a").is_symlink()


def test_metrics_can_be_read_by_their_collector(tmp_path: Path, umask: int) -> None:
    write_atomic(tmp_path / "a", b"", public_mode=0o644)
    assert permissions(tmp_path / "a") == 0o644
    write_atomic(tmp_path / "b", b"")
    assert permissions(tmp_path / "b") == 0o640 & ~umask


def test_exports_elsewhere_are_closed(tmp_path: Path, umask: int) -> None:
    run = make_run(tmp_path / "run", [[reading("a")]])
    write_readings_csv(run.root, tmp_path / "out.csv")
    assert permissions(tmp_path / "out.csv") == 0o640 & ~umask


@pytest.mark.parametrize(("configured", "mode"), [({}, 0o640), ({"file_mode": "0600"}, 0o600)])
def test_exports_are_as_closed_as_their_run(
    tmp_path: Path, umask: int, configured: dict[str, str], mode: int
) -> None:
    run = make_run(tmp_path / "run", [[reading("a")]])
    save_run(run, replace(load_run(run), config=configured))
    assert mode_of(run) == mode
    out = tmp_path / "out"
    make_folder(out)
    for target in ("csv", "package"):
        assert main(["export", str(run.root), "--to", target, "-o", str(out / target)]) == 0
    assert main(["export", str(run.root), "--to", f"sqlite:{out / 'sqlite'}"]) == 0
    found = modes(out)
    assert {"csv", "package", "sqlite"} < found.keys()
    assert len(found) > 5
    for name, permission in found.items():
        wanted = mode if (out / name).is_file() else mode | (mode & 0o444) >> 2
        assert name == "." or permission == wanted & ~umask, name
    assert os.umask(umask) == umask, "the command must not keep its own umask"


def test_folders_that_exist_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2770)
    with file_mode(0o600):
        make_folder(tmp_path / "shared" / "run")
    assert permissions(tmp_path / "shared") == 0o2770
    assert permissions(tmp_path / "shared" / "run") & 0o777 == 0o700


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(DiskError, match="create"):
            make_folder(path)
