"""What a model costs: parameters, multiply-adds, and how fast it is on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from vin_batch.classifier.base import Classifier
from vin_batch.classifier.keras_classifier import KerasClassifier
from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.synthesis.scan import ScanStyle, scan_box
from vin_batch.synthesis.writer import BoxShape, Writer
from vin_batch.vin.alphabet import ALPHABET

ROUNDS: Final = 3
"""The best of so many rounds counts: other programs only ever make it slower."""
IMAGES: Final = 8_192
"""Images of a round: 32 batches of the CPU, one of a GPU."""
CROPS: Final = 500
MILLION: Final = 1e6


@dataclass(frozen=True, slots=True)
class Cost:
    """What it takes to read a character.

    Attributes:
        parameters: Stored numbers of the network.
        multiply_adds: Of one character.
        weight_bytes: Size of the weights file.
        device: What the network ran on.
        network_rate: Characters per second through the network, measured here and now.
        preprocessing_rate: Crops per second through the preprocessing, on one core.
    """

    parameters: int
    multiply_adds: int
    weight_bytes: int
    device: str
    network_rate: float
    preprocessing_rate: float

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            **asdict(self),
            "network_rate": round(self.network_rate),
            "preprocessing_rate": round(self.preprocessing_rate),
        }

    def text(self) -> str:
        """A few lines."""
        return "\n".join(
            [
                "cost of a character",
                f"  parameters            {self.parameters:,}",
                f"  multiply-adds         {self.multiply_adds / MILLION:.2f} million",
                f"  weights file          {self.weight_bytes / MILLION:.2f} MB",
                f"  network               {self.network_rate:,.0f} characters/s "
                f"(measured here and now, on {self.device})",
                f"  preprocessing         {self.preprocessing_rate:,.0f} crops/s "
                "(measured here and now, on one core)",
            ]
        )


def measure_cost(classifier: KerasClassifier) -> Cost:
    """Count what a model computes and measure how fast it does so here."""
    from vin_batch.training.architectures import count_operations  # noqa: PLC0415

    counted = count_operations(classifier.network)
    return Cost(
        parameters=counted.parameters,
        multiply_adds=counted.multiply_adds,
        weight_bytes=classifier.card.weights.stat().st_size,
        device=classifier.device,
        network_rate=network_rate(classifier, IMAGES),
        preprocessing_rate=preprocessing_rate(CROPS),
    )


def network_rate(classifier: Classifier, images: int) -> float:
    """Characters per second through the network; what they show does not matter."""
    pixels = np.random.default_rng(0).integers(0, 256, (images, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    fastest = min(_seconds_of(lambda: classifier.log_probs(pixels)) for _ in range(ROUNDS))
    return images / fastest


def preprocessing_rate(crops: int) -> float:
    """Crops of level ``scan`` per second through the preprocessing."""
    rng = np.random.default_rng(0)
    writer, box = Writer.random("scan", rng), BoxShape(72, 64)
    drawn = [
        scan_box(
            writer.draw(str(rng.choice(list(ALPHABET))), box, rng),
            ScanStyle.random("scan", rng),
            rng,
        )
        for _ in range(crops)
    ]
    fastest = min(
        _seconds_of(lambda: [preprocess_image(crop) for crop in drawn]) for _ in range(ROUNDS)
    )
    return crops / fastest


def _seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
