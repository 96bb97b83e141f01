"""Who computes is settled without asking TensorFlow, and one process holds a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from batch_fakes import make_model
from crash_tools import environment
from vin_batch.classifier import choice, gpu
from vin_batch.classifier.artefact import find_artefact, read_artefact, require_artefact
from vin_batch.classifier.choice import choose_inference, engine_name
from vin_batch.classifier.model_card import ModelCard, load_model_card
from vin_batch.errors import ExitCode, LockedError, ModelError, UsageError

WEIGHTS = b"weights"


def card_with(directory: Path, **changes: object) -> ModelCard:
    """A model with an exported network of its own weights, unless changed."""
    directory.mkdir(parents=True)
    (directory / "network.tflite").write_bytes(b"network")
    entry = {
        "file": "network.tflite",
        "sha256": sha256(b"network").hexdigest(),
        "network_sha256": sha256(WEIGHTS).hexdigest(),
    }
    return load_model_card(make_model(directory, WEIGHTS, engines={"litert": entry | changes}))


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    return card_with(tmp_path / "model")


@pytest.mark.parametrize(
    ("inference", "device", "sees_gpu", "expected"),
    [
        ("auto", "auto", False, "litert"),
        ("auto", "auto", True, "tensorflow"),
        ("auto", "cpu", True, "litert"),
        ("auto", "gpu", False, "tensorflow"),
        ("tensorflow", "cpu", False, "tensorflow"),
        ("litert", "auto", True, "litert"),
    ],
)
def test_what_is_chosen(
    card: ModelCard,
    monkeypatch: pytest.MonkeyPatch,
    inference: str,
    device: str,
    sees_gpu: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(choice, "gpu_is_visible", lambda: sees_gpu)
    assert choose_inference(card, inference, device) == expected


def test_without_litert_or_a_network_for_it(
    card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "gpu_is_visible", lambda: False)
    other = card_with(tmp_path / "trained-on", network_sha256="0" * 64)
    assert choose_inference(other, "auto", "cpu") == "tensorflow"
    with pytest.raises(ModelError, match="no network exported") as caught:
        choose_inference(other, "litert", "cpu")
    assert "export-engine" in caught.value.advice
    monkeypatch.setattr(choice, "litert_is_installed", lambda: False)
    assert choose_inference(card, "auto", "cpu") == "tensorflow"
    with pytest.raises(ModelError, match="not installed") as caught:
        choose_inference(card, "litert", "cpu")
    assert "pip install 'vin_batch[cpu]'" in caught.value.advice


def test_a_gpu_and_litert_exclude_each_other(card: ModelCard) -> None:
    with pytest.raises(UsageError, match="a GPU is demanded"):
        choose_inference(card, "litert", "gpu")
    with pytest.raises(UsageError, match="unknown inference"):
        choose_inference(card, "onnx", "cpu")


def test_a_damaged_network_stops_at_once(card: ModelCard) -> None:
    artefact = require_artefact(card)
    assert read_artefact(artefact) == b"network"
    artefact.path.write_bytes(b"netwerk")
    for inference in ("auto", "litert"):
        with pytest.raises(ModelError, match="damaged or was swapped"):
            choose_inference(card, inference, "cpu")
    artefact.path.unlink()
    with pytest.raises(ModelError, match="No such file"):
        require_artefact(card)


@pytest.mark.parametrize("entry", [[], {"litert": 7}, {"litert": {"file": "x"}}])
def test_an_entry_without_sense_is_refused(tmp_path: Path, entry: object) -> None:
    with pytest.raises(ModelError, match="makes no sense"):
        find_artefact(load_model_card(make_model(tmp_path / "m", WEIGHTS, engines=entry)))


def test_a_network_lies_beside_its_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no name of a file"):
        find_artefact(card_with(tmp_path / "m", file="../elsewhere.tflite"))


def test_receipts_name_who_computed() -> None:
    assert engine_name("litert", "cpu").startswith("litert ")
    assert engine_name("litert", "cpu").endswith(" on cpu")
    assert engine_name("tensorflow", "gpu (x)").startswith("tensorflow 2.")


@pytest.mark.parametrize(
    ("names", "visible", "cuda", "expected"),
    [
        (["null", "nvidia0", "nvidiactl"], None, True, True),
        (["nvidia0"], "1", True, True),
        (["nvidia0"], "", True, False),
        (["nvidia0"], "-1", True, False),
        (["nvidia0"], None, False, False),
        (["nvidiactl", "nvidia-uvm", "null"], None, True, False),
        (["dxg"], None, True, True),
    ],
)
def test_a_gpu_is_seen_without_tensorflow(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    visible: str | None,
    cuda: bool,
    expected: bool,
) -> None:
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setattr(gpu, "DEVICES", tmp_path)
    monkeypatch.setattr(gpu, "_cuda_is_installed", lambda: cuda)
    if visible is None:
        monkeypatch.delenv(gpu.VISIBLE, raising=False)
    else:
        monkeypatch.setenv(gpu.VISIBLE, visible)
    assert gpu.gpu_is_visible() is expected


HOLD = """
import sys
from pathlib import Path
from vin_batch.classifier.gpu import hold_gpu
hold_gpu(Path(sys.argv[1]))
hold_gpu(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_one_process_holds_a_gpu_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(gpu.VISIBLE, "GPU-8932f937/x")
    monkeypatch.setattr(gpu, "_HELD", {})
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env={**environment(), gpu.VISIBLE: "GPU-8932f937/x"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=rf"process {other.pid}") as caught:
            gpu.hold_gpu(tmp_path)
        assert caught.value.exit_code is ExitCode.LOCKED
        monkeypatch.setenv(gpu.VISIBLE, "1")
        gpu.hold_gpu(tmp_path)
        monkeypatch.setenv(gpu.VISIBLE, "GPU-8932f937/x")
        other.stdin.close()
        other.wait(30)
    gpu.hold_gpu(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "vin_batch-gpu-1.lock",
        "vin_batch-gpu-GPU-8932f937_x.lock",
    ]
    assert json.loads((tmp_path / "vin_batch-gpu-1.lock").read_text()) > 0
