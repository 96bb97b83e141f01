"""Reading with LiteRT through the command line: TensorFlow is not even imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batch_fakes import readings_bytes
from crash_tools import environment
from vin_batch.classifier.artefact import find_artefact
from vin_batch.classifier.litert_classifier import litert_is_installed
from vin_batch.classifier.model_card import default_model_directory, load_model_card

SAMPLES = Path(__file__).parents[2] / "sample_cards"
CARDS = 5

pytestmark = [
    pytest.mark.skipif(not litert_is_installed(), reason="vin_batch[cpu] is not here"),
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="no sample cards"),
    pytest.mark.skipif(
        find_artefact(load_model_card(default_model_directory())) is None,
        reason="the default model has no exported network",
    ),
]


@pytest.fixture
def forbidding(tmp_path: Path) -> dict[str, str]:
    """An environment in which importing TensorFlow or Keras fails, in workers too."""
    folder = tmp_path / "forbidden"
    folder.mkdir()
    for name in ("tensorflow", "keras"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')\n")
    found = environment()
    found["PYTHONPATH"] = os.pathsep.join((str(folder), found["PYTHONPATH"]))
    return found


def run(environ: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vin_batch", *map(str, arguments)]
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, timeout=110
    )


def test_a_run_imports_no_tensorflow_and_workers_do_not_show(
    tmp_path: Path, forbidding: dict[str, str]
) -> None:
    common = ("--device", "cpu", "--limit", CARDS, "--shard-size", 2)
    for name, workers in (("one", 1), ("two", 2)):
        done = run(forbidding, "run", SAMPLES, "-o", tmp_path / name, *common, "--workers", workers)
        assert done.returncode in {0, 3}, done.stderr
        assert "was imported" not in done.stderr
    assert readings_bytes(tmp_path / "one") == readings_bytes(tmp_path / "two")
    assert (
        json.loads((tmp_path / "one" / "run.json").read_bytes())["config"]["inference"] == "litert"
    )
    (receipt,) = json.loads((tmp_path / "one" / "receipts" / "part-00000.json").read_bytes())[
        "readers"
    ]
    assert receipt["engine"].startswith("litert ")
    with_tensorflow = run(
        forbidding, "run", SAMPLES, "-o", tmp_path / "three", *common, "--inference", "tensorflow"
    )
    assert "tensorflow was imported" in with_tensorflow.stderr, "the trap does not work"


def test_single_characters_need_no_tensorflow(forbidding: dict[str, str]) -> None:
    card = next(path.parent for path in sorted(SAMPLES.rglob("*.png")))
    done = run(forbidding, "read", card, "--device", "cpu", "--format", "ascii-char")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 17


def test_litert_on_a_gpu_is_a_contradiction(tmp_path: Path, forbidding: dict[str, str]) -> None:
    flags = ("--device", "gpu", "--inference", "litert")
    done = run(forbidding, "run", SAMPLES, "-o", tmp_path / "run", *flags)
    assert done.returncode == 2
    assert "not both" in done.stderr
