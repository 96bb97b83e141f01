"""Real cards, read with trouble: the log stays whole lines and holds no VIN."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import vin_batch
from crash_tools import environment, wait_until
from vin_batch.classifier.model_card import default_model_directory
from vin_batch.synthesis.folders import Order, write_archive

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (default_model_directory() / "model.json").is_file(), reason="no default model yet"
    ),
]

CARDS = 6
VIN_LIKE = re.compile(r"(?<![0-9A-Za-z])(?=\w*[0-9])(?=\w*[A-Z])[0-9A-HJ-NPR-Z]{17}(?![0-9A-Za-z])")
"""Seventeen capitals and digits on their own, as any VIN, right or wrong, is written."""
STABLE = ("time", "level", "logger", "message")


def broken(suffix: str) -> bytes:
    """An image about which libpng or libjpeg complains on stderr."""
    pixels = np.random.default_rng(1).integers(0, 255, (60, 50), dtype=np.uint8)
    data = bytearray(cv2.imencode(suffix, pixels)[1].tobytes())
    data[len(data) // 2 : len(data) // 2 + 20] = b"\xff\xd9" * 10
    return bytes(data)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six whole cards, and three that are broken, one of them in a folder named by a VIN."""
    root = tmp_path_factory.mktemp("cards") / "archive"
    write_archive(Order(CARDS, 5, "clean", "png"), root)
    whole = sorted(root.glob("box_*/card_*"))[0]
    for name in ("torn", "corrupt\nname", vins(root)[0]):
        shutil.copytree(whole, root / "broken" / name)
    for path in (root / "broken" / "torn").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    for number, path in enumerate(sorted((root / "broken" / "corrupt\nname").iterdir())):
        path.with_suffix(".jpg" if number % 2 else ".png").write_bytes(
            broken(".jpg" if number % 2 else ".png")
        )
        if number % 2:
            path.unlink()
    for path in (root / "broken" / vins(root)[0]).iterdir():
        path.write_bytes(b"")
    return root


def vins(archive: Path) -> list[str]:
    with (archive / "truth.csv").open(encoding="utf-8", newline="") as file:
        return [row["vin"] for row in csv.DictReader(file)]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "vin_batch", *map(str, arguments)]


def finish(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def events(words: str) -> list[dict[str, Any]]:
    """Every line is an object with the stable keys first."""
    found = [json.loads(line) for line in words.splitlines()]
    assert found
    for event in found:
        assert tuple(event)[:4] == STABLE
        assert event["level"] in {"INFO", "WARNING", "ERROR"}
    return found


def assert_private(words: str, secrets: set[str]) -> None:
    assert not VIN_LIKE.findall(words)
    assert not [vin for vin in secrets if vin in words]


def metrics(file: Path) -> dict[str, float]:
    families = text_string_to_metric_families(file.read_text(encoding="utf-8"))
    return {
        sample.name + sample.labels.get("status", ""): sample.value
        for family in families
        for sample in family.samples
    }


def test_nothing_in_the_log_tells_what_stands_on_a_card(archive: Path, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "vin.prom"
    arguments = (
        "run", archive, "-o", run, "--shard-size", 2, "--workers", 1, "--device", "cpu",
        "--textfile", file,
    )  # fmt: skip
    said = []
    with subprocess.Popen(
        command(*arguments, "--log-format", "json"),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: process.poll() is not None or (run / "run.json").exists())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=300) == 143
        said.append(process.stderr.read() if process.stderr else "")
    assert metrics(file)["vin_batch_last_run_exit_code"] == 143
    assert metrics(file)["vin_batch_last_run_finished"] == 0
    assert events(said[0])[-1]["exit_code"] == 143

    code, words = finish(*arguments, "--log-format", "json")
    assert code == 3, words
    said.append(words)
    frame = vin_batch.read_run(run)
    found = events(words)
    run_id = json.loads((run / "run.json").read_bytes())["run_id"]
    assert {event.get("run_id") for event in found[1:]} == {run_id}
    failed = [event for event in found if "card_id" in event]
    assert {event["card_id"] for event in failed} == {
        "broken/torn", "broken/corrupt\\nname", "broken/[VIN]",
    }  # fmt: skip
    assert all(event["level"] == "WARNING" and "shard" in event for event in failed)
    assert metrics(file)["vin_batch_run_cardsfailed"] == 3
    assert (
        metrics(file)["vin_batch_run_cardsreview"] + metrics(file)["vin_batch_run_cardsaccepted"]
        == (frame["status"].isin(["review", "accepted"])).sum()
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o644

    (archive / "box_000" / "card_000001" / "18.png").write_bytes(b"")
    code, words = finish(*arguments)
    assert code == 4
    said.append(words)
    assert "ERROR" in words.splitlines()[-1]
    assert all(re.match(r"\S+\+00:00 [A-Z]+ ", line) for line in words.splitlines())

    offered = {each["vin"] for row in frame["alternatives"] for each in row}
    read = set(frame["raw_vin"]) | set(frame["vin"].dropna()) | offered
    assert len(read) > CARDS
    for words in said:
        assert_private(words, read | set(vins(archive)))
