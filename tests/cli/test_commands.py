"""The commands of a run, in a process of their own, without a model to load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from batch_fakes import fake_tools, make_archive, make_config, make_model
from crash_tools import environment
from vin_batch.batch.job import run_job
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import ExitCode

GUARD = """
import sys

class Guard:
    heavy = {heavy}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.heavy:
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, Guard())
sys.argv[0] = "vin-batch"
from vin_batch.cli import main
sys.exit(main())
"""


HEAVY = ("tensorflow", "keras", "pandas", "cv2")
SLOW = (*HEAVY, "numpy", "pyarrow")


def vin_batch(
    *arguments: object, without: tuple[str, ...] = HEAVY
) -> subprocess.CompletedProcess[str]:
    """The command line, with heavy imports forbidden."""
    return subprocess.run(
        [sys.executable, "-c", GUARD.format(heavy=without), *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("commands")
    make_archive(base / "archive", 6)
    run_job(make_config(base), fake_tools())
    return base


def test_help_is_light_and_names_exit_codes() -> None:
    done = vin_batch("--help", without=SLOW)
    assert done.returncode == 0, done.stderr
    assert "exit codes" in done.stdout
    done = vin_batch("run", "--help")
    assert done.returncode == 0
    assert "--shard-size" in done.stdout


def test_status_is_light_and_prints_to_stdout(finished: Path) -> None:
    done = vin_batch("status", finished / "run", without=SLOW)
    assert done.returncode == 0, done.stderr
    assert "6 of 6 (100.0%)" in done.stdout
    assert done.stderr == ""
    machine = json.loads(vin_batch("status", finished / "run", "--json").stdout)
    assert (machine["state"], machine["cards_done"]) == ("complete", 6)


def test_verify_is_light(finished: Path) -> None:
    done = vin_batch("verify", finished / "run")
    assert done.returncode == 0, done.stderr
    assert "complete and whole" in done.stderr
    receipt = RunDir(finished / "run").receipt(1)
    whole = receipt.read_bytes()
    receipt.write_bytes(b"{")
    try:
        done = vin_batch("verify", finished / "run")
    finally:
        receipt.write_bytes(whole)
    assert done.returncode == ExitCode.DISK
    assert "damage: receipt part-00001.json is damaged" in done.stdout
    assert "advice: " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["status", "{base}/nowhere"], ExitCode.USAGE, "holds no run"),
        (["verify", "{base}/archive"], ExitCode.USAGE, "holds no run"),
        (["retry", "{base}/nowhere"], ExitCode.USAGE, "holds no run"),
        (["run"], ExitCode.USAGE, "archive is not given"),
        (["run", "a", "-o", "{base}/x", "--workers", "0"], ExitCode.USAGE, "workers"),
        (["run", "a", "-o", "{base}/x", "--workers", "two"], ExitCode.USAGE, "two"),
        (["run", "a", "-o", "{base}/x", "--engine", "dask"], ExitCode.USAGE, "dask"),
        (["run", "a", "-o", "{base}/x", "--device", "tpu"], ExitCode.USAGE, "tpu"),
        (["run", "a", "-o", "{base}/x", "--config", "{base}/no"], ExitCode.USAGE, "cannot read"),
    ],
)
def test_wrong_use_is_exit_two_with_words(
    finished: Path, arguments: list[str], code: int, words: str
) -> None:
    done = vin_batch(*(argument.format(base=finished) for argument in arguments))
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (finished / "x").exists()


def run_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vin_batch", "run", *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_run_that_cannot_begin(finished: Path, tmp_path: Path) -> None:
    model = ["--model", finished / "model"]
    done = run_command(tmp_path / "nowhere", "-o", tmp_path / "run", *model)
    assert done.returncode == ExitCode.ARCHIVE
    done = run_command(finished / "archive", "-o", tmp_path / "run", "--model", tmp_path)
    assert done.returncode == ExitCode.MODEL
    digits = make_model(tmp_path / "digits", classes="0123456789")
    done = run_command(finished / "archive", "-o", tmp_path / "run", "--model", digits)
    assert done.returncode == ExitCode.MODEL
    (tmp_path / "file").write_bytes(b"")
    done = run_command(finished / "archive", "-o", tmp_path / "file", *model)
    assert done.returncode == ExitCode.DISK


def test_finished_run_is_left_alone_without_tensorflow(finished: Path) -> None:
    done = run_command(
        finished / "archive", "-o", finished / "run", "--shard-size", 4, "--model",
        finished / "model",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stderr
    assert done.stdout == ""
    done = run_command(finished / "archive", "-o", finished / "run", "--model", finished / "model")
    assert done.returncode == ExitCode.CHANGED_UNDER_RUN
    assert "shard_size was 4, is 1000" in done.stderr
