"""The classifier for processors: the same network in 8-bit integers, computed by LiteRT.

It loads in a tenth of a second, takes some 35 MB and never imports TensorFlow, so that every
worker process holds one of its own. Integers make its answers the same in whatever batch.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.artefact import ADVICE, Artefact, read_artefact, require_artefact
from vin_batch.classifier.calibration import calibrate_logits
from vin_batch.classifier.matching import require_preprocessing
from vin_batch.classifier.model_card import ModelCard
from vin_batch.classifier.quiet import without_greetings
from vin_batch.errors import ModelError

PACKAGE: Final = "ai_edge_litert"
DISTRIBUTION: Final = "ai-edge-litert"
INSTALL: Final = "Install it: pip install 'vin_batch[cpu]'; or give --inference tensorflow."


def litert_is_installed() -> bool:
    """Whether the extra ``cpu`` is there; imports nothing."""
    return find_spec(PACKAGE) is not None


def litert_version() -> str:
    """Version of LiteRT, or ``absent``."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "absent"


class LitertNetwork:
    """An exported network, ready to compute.

    Args:
        artefact: What to load.
        threads: Processor threads; answers do not depend on their number.

    Raises:
        ModelError: LiteRT is not installed, or the file is not such a network.
    """

    def __init__(self, artefact: Artefact, threads: int = 1) -> None:
        from vin_batch.preprocess import IMAGE_SIDE  # noqa: PLC0415 - loads OpenCV

        self._calibration = artefact.calibration
        classes = len(artefact.calibration.class_bias)
        with without_greetings():
            self._interpreter = _load(artefact, threads)
        [given] = self._interpreter.get_input_details()
        [asked] = self._interpreter.get_output_details()
        self._batch = int(given["shape"][0])
        takes, gives = given["shape"].tolist(), asked["shape"].tolist()
        wanted = [self._batch, IMAGE_SIDE, IMAGE_SIDE, 1], [self._batch, classes]
        if (takes, gives) != wanted or given["dtype"] is not np.uint8:
            raise ModelError(
                f"{artefact.path} takes {takes} and gives {gives}, which does not fit "
                f"{classes} classes",
                ADVICE,
            )
        self._input, self._output = given["index"], asked["index"]

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify ``uint8[m, 28, 28]``; see ``Classifier.log_probs``."""
        count, batch = len(pixels), self._batch
        logits = np.empty((count, len(self._calibration.class_bias)), np.float32)
        for start in range(0, count, batch):
            part = pixels[start : start + batch]
            filled = len(part)
            if filled < batch:
                part = np.pad(part, ((0, batch - filled), (0, 0), (0, 0)))
            self._interpreter.set_tensor(self._input, part[..., None])
            self._interpreter.invoke()
            logits[start : start + filled] = self._interpreter.get_tensor(self._output)[:filled]
        return calibrate_logits(logits, self._calibration)


class LitertClassifier:
    """See ``vin_batch.classifier.base.Classifier``."""

    def __init__(self, card: ModelCard, threads: int) -> None:
        self.card = card
        self.device = "cpu"
        self._network = LitertNetwork(require_artefact(card), threads)

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify ``uint8[m, 28, 28]``; see ``Classifier.log_probs``."""
        return self._network.log_probs(pixels)


def open_litert(card: ModelCard, device: str = "cpu", threads: int = 1) -> LitertClassifier:
    """Load the exported network of a model into this process.

    Args:
        card: A checked model card.
        device: Whatever was asked for: it computes on the processor.
        threads: Processor threads.

    Raises:
        ModelError: There is none, it is damaged, belongs to another preprocessing, or LiteRT is
            not installed.
    """
    del device
    require_preprocessing(card)
    return LitertClassifier(card, threads)


@lru_cache(maxsize=1)
def open_network(artefact: Artefact) -> LitertNetwork:
    """Load an exported network for this worker, once for all its tasks.

    Raises:
        ModelError: See ``LitertNetwork``.
    """
    return LitertNetwork(artefact)


def _load(artefact: Artefact, threads: int) -> Any:  # noqa: ANN401 - an extra has no types here
    try:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ModelError(f"LiteRT cannot be used: {error}", INSTALL) from error
    try:
        interpreter = Interpreter(model_content=read_artefact(artefact), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"cannot load {artefact.path}: {error}", ADVICE) from error
    return interpreter
