"""A second reader through the command line, with the model that ships and the real extra."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import vin_batch
from batch_fakes import make_archive, make_model, readings_bytes
from crash_tools import assert_gone, children_of, environment, wait_until
from second_fakes import add_second_reader, write_parameters
from vin_batch.classifier.model_card import default_model_directory, sha256_of
from vin_batch.cli import main
from vin_batch.errors import ExitCode
from vin_batch.second_reader import recogniser

SAMPLES = Path(__file__).parents[2] / "sample_cards"

needs_extra = pytest.mark.skipif(
    find_spec("rapidocr") is None or find_spec("onnxruntime") is None,
    reason="the extra [second-reader] is not installed",
)
needs_model = pytest.mark.skipif(
    not (default_model_directory() / "model.json").is_file() or not SAMPLES.is_dir(),
    reason="no default model or no sample cards",
)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "vin_batch", *map(str, arguments)]


def finish(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model with a plainly calibrated second reader."""
    copy = tmp_path_factory.mktemp("models") / "default"
    shutil.copytree(default_model_directory(), copy)
    write_parameters(copy, sha256_of(recogniser.find_recogniser()))
    return copy


@pytest.mark.slow
@needs_extra
@needs_model
def test_run_with_a_second_reader_resumes_to_the_same_bytes(model: Path, tmp_path: Path) -> None:
    common = ("--model", model, "--device", "cpu", "--shard-size", 4, "--second-reader", "review")
    done = finish("run", SAMPLES, "-o", tmp_path / "whole", *common, "--workers", 2)
    assert done.returncode in {0, 3}, done.stderr
    receipts = [json.loads(p.read_text()) for p in (tmp_path / "whole" / "receipts").iterdir()]
    looked = sum(part["cards"] for receipt in receipts for part in receipt["readers"][1:])
    frame = vin_batch.read_run(tmp_path / "whole")
    marked = frame["reasons"].map(lambda reasons: "second_reader" in reasons)
    assert 0 < looked == marked.sum() < len(frame)
    assert {part["engine"].split()[0] for r in receipts for part in r["readers"][1:]} == {
        "onnxruntime"
    }
    interrupted = tmp_path / "interrupted"
    with subprocess.Popen(
        command("run", SAMPLES, "-o", interrupted, *common, "--workers", 1),
        env=environment(), stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        receipts_dir = interrupted / "receipts"
        wait_until(lambda: process.poll() is not None or any(receipts_dir.glob("part-*")))
        children = children_of(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    assert_gone(children)
    assert finish("run", SAMPLES, "-o", interrupted, *common).returncode in {0, 3}
    assert readings_bytes(interrupted) == readings_bytes(tmp_path / "whole")
    assert finish("verify", interrupted).returncode in {0, 3}


@needs_extra
def test_other_weights_than_calibrated_end_with_the_code_of_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = add_second_reader(make_model(tmp_path / "model"))
    make_archive(tmp_path / "archive", 1)
    arguments = ["run", tmp_path / "archive", "-o", tmp_path / "run", "--model", model]
    code = main([*map(str, arguments), "--second-reader", "all"])
    assert code == ExitCode.MODEL
    assert "belongs to other weights" in capsys.readouterr().err


def test_missing_extra_ends_with_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recogniser, "PACKAGE", "no_such_package")
    model = add_second_reader(make_model(tmp_path / "model"))
    make_archive(tmp_path / "archive", 1)
    arguments = ["run", tmp_path / "archive", "-o", tmp_path / "run", "--model", model]
    code = main([*map(str, arguments), "--second-reader", "review"])
    assert code == ExitCode.MODEL
    told = capsys.readouterr().err
    assert "the second reader needs no_such_package" in told
    assert "pip install 'vin_batch[second-reader]'" in told
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("value", ["both", ""])
def test_unknown_values_are_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["run", "archive", "-o", "run", "--second-reader", value])
    assert code == ExitCode.USAGE
    assert "Available: off, review, all" in capsys.readouterr().err
