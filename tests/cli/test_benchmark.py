"""The benchmark measures what it says, and its arithmetic says what it stands on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crash_tools import environment

PROJECT = Path(__file__).parents[2]
CARDS = 40
pytestmark = pytest.mark.timeout(400)


def benchmark(*arguments: object) -> subprocess.CompletedProcess[str]:
    script = PROJECT / "jobs" / "benchmark.py"
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        env=environment(), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], str, Path]:
    """What a small benchmark wrote and printed, and its folder."""
    base = tmp_path_factory.mktemp("benchmark")
    done = benchmark(
        "--cards", CARDS, "--pool", 12, "--format", "png", "--stages", "walk,pixels,run",
        "--repeat", 1, "--shard-size", 10, "--model", tiny_model, "--dir", base / "archives",
        "--json", base / "result.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads((base / "result.json").read_text("utf-8")), done.stdout, base


def test_every_loop_does_the_same_cards(measured: tuple[dict[str, Any], str, Path]) -> None:
    document, printed, _ = measured
    found = document["measured"]
    for name in (
        "png: read, 1 core",
        "png: read + decode, 1 core",
        "png: read + decode + leanest OpenCV, 1 core",
        "png: read + our preprocessing, 1 core",
        "png: pixels stage of the job, 1 core",
        "vin-batch run",
    ):
        assert found[name]["unit"] == "cards"
        assert {items for items, _, _ in found[name]["rounds"]} == {CARDS}
        assert f"\n{name} " in printed
    assert found["walk, ours"]["rounds"][0][0] == 17 * CARDS
    assert found["walk, bare os.scandir"]["rounds"][0][0] == 17 * CARDS


def test_the_whole_command_is_watched(measured: tuple[dict[str, Any], str, Path]) -> None:
    document, printed, _ = measured
    run = document["facts"]["vin-batch run"]
    assert 0 < run["first_shard"] <= run["wall"]
    assert run["cpu"] > 0
    assert run["slope"] is None, "four shards say nothing about growth"
    assert run["busy"]["bottleneck"]
    assert "first shard after" in printed


def test_targets_are_judged_by_what_was_found(
    measured: tuple[dict[str, Any], str, Path],
) -> None:
    document, printed, _ = measured
    for target in document["targets"]:
        if target["found"] is None:
            assert target["verdict"] == "not measured"
            assert target["words"] not in printed
            continue
        better = target["found"] >= target["wanted"]
        met = target["found"] <= target["wanted"] if target["at_most"] else better
        assert target["verdict"] == ("reached" if met else "not reached")
        assert target["words"] in printed


def test_an_archive_is_made_once(measured: tuple[dict[str, Any], str, Path]) -> None:
    document, _, base = measured
    (archive,) = (path for path in (base / "archives").iterdir() if path.is_dir())
    before = {path: path.stat().st_mtime_ns for path in archive.rglob("*.png")}
    assert len(before) == 17 * CARDS
    sizes = sum(path.stat().st_size for path in before)
    assert document["facts"]["bytes_per_card_png"] == pytest.approx(sizes / CARDS)
    arguments = ("--cards", CARDS, "--pool", 12, "--format", "png", "--stages", "walk")
    done = benchmark(*arguments, "--repeat", 1, "--dir", base / "archives")
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in archive.rglob("*.png")} == before


def test_the_plan_is_arithmetic_on_what_was_measured(
    measured: tuple[dict[str, Any], str, Path],
) -> None:
    document, _, base = measured
    cards = 10_000_000
    done = benchmark("--plan", cards, "--from", base / "result.json")
    assert done.returncode == 0, done.stderr
    assert f"{cards:,} cards, {17 * cards:,} files" in done.stdout
    hours = cards / document["facts"]["vin-batch run"]["steady"] / 3600
    assert f"{hours:,.1f} h on one such machine" in done.stdout
    lines = done.stdout.splitlines()
    assert all(re.search(r"\[.+\]$", line) for line in lines if line.startswith("  "))


def test_wrong_arguments_are_refused() -> None:
    assert benchmark("--stages", "walk,nonsense").returncode == 2
    assert benchmark("--plan", 1000).returncode == 2


@pytest.mark.slow
def test_networks_rules_and_scripts(tiny_model: Path, tmp_path: Path) -> None:
    done = benchmark(
        "--cards", 10, "--pool", 10, "--format", "jpg", "--stages", "classifier,rules,scripts",
        "--repeat", 1, "--model", tiny_model, "--seconds", 0.1, "--json", tmp_path / "result.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "result.json").read_text("utf-8"))["measured"]
    assert found["tensorflow, batch 256, 1 core"]["rounds"][0][0] == 170
    assert found["VIN rules"]["rounds"][0][0] == 10
    assert found["publishing (Parquet, receipt, fsync)"]["rounds"][0][0] == 10
    assert found["all images in one predict, our network"]["rounds"][0][0] == 170
    assert found["one predict per image, our network"]["rounds"][0][0] >= 20


def test_the_gpu_benchmark_works_without_a_gpu(tiny_model: Path, tmp_path: Path) -> None:
    weights = json.loads((tiny_model / "model.json").read_text("utf-8"))["weights"]
    images = np.random.default_rng(7).integers(0, 256, (100, 28, 28), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "result.json").write_text(
        json.dumps({"measured": {"png: pixels stage of the job, 1 core": {"cpu_seconds_each": 17}}})
    )
    done = subprocess.run(
        [
            sys.executable, str(PROJECT / "jobs" / "benchmark_gpu.py"), "--device", "cpu",
            "--seconds", "0.05", "--batches", "64", "--precisions", "float32,bfloat16",
            "--model", str(tiny_model / weights), "--images", str(tmp_path / "images.npy"),
            "--from", str(tmp_path / "result.json"), "--json", str(tmp_path / "gpu.json"),
        ],
        env=environment(), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert len(document["speeds"]) == 6
    assert all(speed["images"] % 64 == 0 < speed["per_second"] for speed in document["speeds"])
    assert document["agreement"]["float32"]["largest_change_of_probability"] == 0
    assert 0.9 < document["agreement"]["bfloat16"]["same_decision"] <= 1
    assert document["crops_per_core"] == 1
    assert "workers to keep it busy" in done.stdout
