"""The whole job through the command line, with the model that ships."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vin_batch
from batch_fakes import readings_bytes
from crash_tools import assert_gone, children_of, environment, wait_until
from vin_batch.batch.readings_schema import READINGS_SCHEMA
from vin_batch.classifier.model_card import default_model_directory

PROJECT = Path(__file__).parents[2]
SAMPLES = PROJECT / "sample_cards"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (default_model_directory() / "model.json").is_file(), reason="no default model yet"
    ),
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="no sample cards yet"),
]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "vin_batch", *map(str, arguments)]


def finish(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    done = finish("run", SAMPLES, "-o", run, "--shard-size", 5, "--device", "cpu")
    assert done.returncode in {0, 3}, done.stderr
    return run


def test_every_sample_card_has_its_row(undisturbed: Path) -> None:
    cards = {p.parent for p in SAMPLES.rglob("*") if p.parent != SAMPLES and p.is_file()}
    frame = vin_batch.read_run(undisturbed)
    assert set(frame["card_id"]) == {card.relative_to(SAMPLES).as_posix() for card in cards}
    assert list(frame.columns) == READINGS_SCHEMA.names
    assert all(len(chars) == 17 for chars in frame["chars"])
    with (undisturbed / "readings.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(frame)
    assert json.loads((undisturbed / "summary.json").read_bytes())
    assert (undisturbed / "report.html").stat().st_size > 0
    assert finish("verify", undisturbed).returncode in {0, 3}


def test_cards_read_from_python_agree_with_the_run(undisturbed: Path) -> None:
    frame = vin_batch.read_run(undisturbed).head(3)
    readings = vin_batch.read_cards([SAMPLES / card for card in frame["card_id"]])
    assert [reading.raw_vin for reading in readings] == list(frame["raw_vin"])
    assert [reading.status.value for reading in readings] == list(frame["status"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_stopped_run_is_finished_by_the_same_command(
    undisturbed: Path, tmp_path: Path, number: int
) -> None:
    arguments = ("run", SAMPLES, "-o", tmp_path / "run", "--shard-size", 5, "--device", "cpu")
    receipts = tmp_path / "run" / "receipts"
    with subprocess.Popen(
        command(*arguments, "--workers", 1), env=environment(), stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: process.poll() is not None or any(receipts.glob("part-*")))
        children = children_of(process.pid)
        process.send_signal(number)
        process.wait(timeout=60)
    assert_gone(children)
    assert finish(*arguments, "--workers", 2).returncode in {0, 3}
    assert readings_bytes(tmp_path / "run") == readings_bytes(undisturbed)
    assert finish("verify", tmp_path / "run").returncode in {0, 3}


def test_stop_while_the_model_loads(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("run", SAMPLES, "-o", tmp_path / "run"),
        env=environment(),
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until(lambda: len(children_of(process.pid)) >= 2)
        time.sleep(0.5)
        children = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert_gone(children)


def test_broken_file_repaired_and_retried(tmp_path: Path) -> None:
    card = next(p.parent for p in sorted(SAMPLES.rglob("*.png")))
    for name in ("card_a", "card_b"):
        shutil.copytree(card, tmp_path / "archive" / name)
    images = sorted((tmp_path / "archive" / "card_b").iterdir())
    whole = [path.read_bytes() for path in images]
    for path in images:
        path.write_bytes(b"torn")
    run = tmp_path / "run"
    done = finish("run", tmp_path / "archive", "-o", run)
    assert done.returncode == 3, done.stderr
    assert "retry" in done.stderr
    for path, data in zip(images, whole, strict=True):
        path.write_bytes(data)
    done = finish("retry", run)
    assert done.returncode == 0, done.stderr
    first, second = vin_batch.read_run(run)["raw_vin"]
    assert first == second
