"""Stand-ins for model, rules and preprocessing, and archives of tiny cards, for batch tests.

Nothing here imports TensorFlow. The answers depend on the pixels alone, so byte comparison
of readings proves something.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.batch.atomic import write_atomic
from vin_batch.batch.job import JobTools
from vin_batch.batch.ledger import readings_digest
from vin_batch.batch.rundir import RunDir
from vin_batch.classifier.model_card import ModelCard
from vin_batch.config import RunConfig, load_config
from vin_batch.records import (
    BoxIssue,
    CharReading,
    CheckDigitState,
    DecisionPolicy,
    Reading,
    Status,
)
from vin_batch.vin.alphabet import ALPHABET

POISON = b"kill the worker"
HANG = b"hang the worker"
RAISE = b"raise in the worker"
SEGFAULT = b"read where there is nothing"
QUIT = b"leave without a word"
HOG = b"take 2 GiB"
SCARCE = b"find no memory"


def prepare(data: bytes) -> tuple[NDArray[np.uint8], BoxIssue]:
    """Decode without any cleverness; files that say so kill, hang or raise."""
    if POISON in data:
        os.kill(os.getpid(), signal.SIGKILL)
    if HANG in data:
        time.sleep(600)
    if RAISE in data:
        raise RuntimeError("a defect")
    if SEGFAULT in data:
        ctypes.string_at(0)
    if QUIT in data:
        os._exit(7)
    if SCARCE in data or (HOG in data and np.empty(2**31, np.uint8).size == 0):
        raise MemoryError("a pretence")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        return np.zeros((28, 28), np.uint8), BoxIssue.UNDECODABLE
    return np.asarray(cv2.resize(image, (28, 28)), dtype=np.uint8), BoxIssue.NONE


@dataclass
class FakeClassifier:
    card: ModelCard
    device: str = "fake"
    pause: float = 0.0
    weights: NDArray[np.float64] = field(
        default_factory=lambda: np.random.default_rng(7).normal(size=(784, 33))
    )

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        time.sleep(self.pause)
        logits = pixels.reshape(len(pixels), -1) / 255.0 @ self.weights
        return (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)


def open_fake(card: ModelCard, device: str) -> FakeClassifier:
    time.sleep(float(os.environ.get("FAKE_LOAD", "0")))
    return FakeClassifier(card, pause=float(os.environ.get("FAKE_PAUSE", "0")))


def judge(
    card_ids: Sequence[str],
    log_probs: NDArray[np.float32],
    issues: NDArray[np.uint8],
    extra_boxes: NDArray[np.int32],
) -> list[Reading]:
    return [_reading(card_id, log_probs[row], issues[row]) for row, card_id in enumerate(card_ids)]


def bind_fake(policy: DecisionPolicy) -> object:
    return judge


def _reading(card_id: str, log_probs: NDArray[np.float32], issues: NDArray[np.uint8]) -> Reading:
    chars = []
    for index in range(17):
        issue = BoxIssue(int(issues[index]))
        best = int(log_probs[index].argmax())
        char = "?" if issue else ALPHABET[best]
        prob = 0.0 if issue else float(np.exp(log_probs[index, best]))
        code = issue.code if issue else None
        chars.append(CharReading(index + 1, char, prob, None, 0.0, code))
    vin = "".join(char.char for char in chars)
    lost = (BoxIssue.NOT_READ, BoxIssue.CHANGED_WHILE_READING)
    failed = any(BoxIssue(int(i)).is_file_failure or i in lost for i in issues)
    return Reading(
        card_id=card_id,
        status=Status.FAILED if failed else Status.REVIEW,
        vin=None if "?" in vin else vin,
        raw_vin=vin,
        confidence=min(char.prob for char in chars),
        check_digit=CheckDigitState.NOT_APPLICABLE,
        changed=(),
        reasons=("file_failure",) if failed else ("low_confidence",),
        chars=tuple(chars),
        alternatives=(),
        wmi=None,
        maker=None,
        country=None,
        model_years=(),
    )


@dataclass
class Recorder:
    """A progress display that only remembers."""

    total: int = 0
    before: int = 0
    cards: int = 0

    def shard_done(self, counts: Mapping[str, int], cards: int) -> None:
        assert sum(counts.values()) == cards
        self.cards += cards


@contextmanager
def silent_progress(total: int, before: int) -> Iterator[Recorder]:
    yield Recorder(total, before)


def write_outputs(run_dir: Path) -> None:
    """Derived files that say from which readings they were made."""
    digest = readings_digest(RunDir(run_dir))
    for path in RunDir(run_dir).outputs:
        write_atomic(path, digest.encode(), "outputs")


def fake_tools(**changes: object) -> JobTools:
    values: dict[str, object] = {
        "open_classifier": open_fake,
        "bind_judge": bind_fake,
        "prepare": prepare,
        "progress": silent_progress,
        "finishers": (write_outputs,),
    }
    return JobTools(**(values | changes))  # type: ignore[arg-type]


def make_model(directory: Path, weights: bytes = b"weights", **changes: object) -> Path:
    """A model directory that passes every check that needs no TensorFlow."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "weights.bin").write_bytes(weights)
    card: dict[str, object] = {
        "schema": 1,
        "name": "fake",
        "weights": "weights.bin",
        "sha256": sha256(weights).hexdigest(),
        "classes": ALPHABET,
        "preprocessing": {},
        "temperature": 1.0,
        "policy": {"slope": 1.0, "intercept": 0.0, "accept_confidence": 0.999},
    }
    (directory / "model.json").write_text(json.dumps(card | changes))
    return directory


def box_png(seed: int) -> bytes:
    """A tiny grey image that no other seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


def make_card(folder: Path, seed: int, boxes: Sequence[int] = range(1, 18)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for box in boxes:
        (folder / f"{box:02d}.png").write_bytes(box_png(seed * 100 + box))
    return folder


def make_archive(root: Path, cards: int) -> Path:
    """An archive of ``cards`` cards in nested folders."""
    for number in range(cards):
        make_card(root / f"box_{number // 5:02d}" / f"card_{number:04d}", number)
    return root


def make_config(base: Path, **flags: object) -> RunConfig:
    """Settings for ``base/archive``, ``base/run`` and ``base/model``, with tiny shards."""
    if not (base / "model").exists():
        make_model(base / "model")
    values: dict[str, object] = {
        "archive": base / "archive",
        "output": base / "run",
        "model": base / "model",
        "workers": 2,
        "shard_size": 4,
    }
    return load_config(None, values | flags)


def readings_bytes(run: Path) -> dict[str, bytes]:
    """Name and bytes of every readings file."""
    return {path.name: path.read_bytes() for path in sorted((run / "readings").iterdir())}


def refuse_to_start(connection: object, parent: int, mark: object, memory_limit: object) -> None:
    """A worker that ends before it is ready."""
    os._exit(3)
