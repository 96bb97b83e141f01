"""Pixels to readings: the classifier, then the VIN rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.base import Classifier
from vin_batch.errors import ModelError
from vin_batch.records import CardPack, DecisionPolicy, Reading
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH

CARDS_PER_CALL: Final = 256
"""Cards per call of a classifier on a processor: 4,352 images, a multiple of every usual batch
size, and seconds on two cores, so that a stop request is heard soon."""
GPU_CARDS_PER_CALL: Final = 4_096
"""Such cards on a GPU: 69,632 images, so that one batch crosses the bus while another computes."""


class Judge(Protocol):
    """Turns log-probabilities into readings; ``vin.verdict.judge`` with its tables bound."""

    def __call__(
        self,
        card_ids: Sequence[str],
        log_probs: NDArray[np.float32],
        issues: NDArray[np.uint8],
        extra_boxes: NDArray[np.int32],
    ) -> list[Reading]:
        """Judge ``n`` cards; see ``vin.verdict.judge``."""
        ...


@dataclass(frozen=True, slots=True)
class Scored:
    """What the first reader made of a shard, in plan order, and the seconds that it took.

    Attributes:
        readings: One per card.
        log_probs: ``float32[n, 17, 33]``, what they were judged by.
        classify_seconds: From pixels to log-probabilities, in this process.
        decode_seconds: From there to readings.
    """

    readings: list[Reading]
    log_probs: NDArray[np.float32]
    classify_seconds: float
    decode_seconds: float


def score(
    pack: CardPack, classifier: Classifier, judge: Judge, check: Callable[[], None]
) -> Scored:
    """Read the cards of a shard.

    Args:
        pack: Their pixels, or what a worker's classifier made of them.
        classifier: Pixels to log-probabilities; not asked where a worker did that.
        judge: Log-probabilities to readings.
        check: Called between groups of cards; may raise to stop.

    Returns:
        One reading per card, and the log-probabilities behind it.

    Raises:
        ModelError: The classifier's answer has a wrong shape or is not a number.
    """
    readings: list[Reading] = []
    every = np.empty((len(pack.card_ids), VIN_LENGTH, len(ALPHABET)), np.float32)
    classify = decode = 0.0
    size = cards_per_call(classifier)
    for start in range(0, len(pack.card_ids), size):
        check()
        part = slice(start, start + size)
        began = time.perf_counter()
        log_probs = every[part] = _log_probs(pack, part, classifier)
        classified = time.perf_counter()
        readings += judge(pack.card_ids[part], log_probs, pack.issues[part], pack.extra_boxes[part])
        classify += classified - began
        decode += time.perf_counter() - classified
    if [reading.card_id for reading in readings] != list(pack.card_ids):
        raise AssertionError(f"shard {pack.shard}: readings do not match its cards")
    return Scored(readings, every, classify, decode)


def cards_per_call(classifier: Classifier) -> int:
    """How many cards a classifier is given at a time."""
    return GPU_CARDS_PER_CALL if classifier.device.startswith("gpu") else CARDS_PER_CALL


def _log_probs(pack: CardPack, part: slice, classifier: Classifier) -> NDArray[np.float32]:
    if pack.log_probs is not None:
        return pack.log_probs[part]
    return _classify(pack.pixels[part], classifier)


def _classify(pixels: NDArray[np.uint8], classifier: Classifier) -> NDArray[np.float32]:
    cards = len(pixels)
    flat = classifier.log_probs(pixels.reshape(-1, *pixels.shape[2:]))
    if flat.shape != (cards * VIN_LENGTH, len(ALPHABET)) or not np.isfinite(flat.sum()):
        raise ModelError(
            f"model {classifier.card.name} gave {flat.shape} answers, or numbers that are none",
            "Evaluate the model, or use another one with --model.",
        )
    return flat.reshape(cards, VIN_LENGTH, len(ALPHABET))


def bind_judge(policy: DecisionPolicy) -> Judge:
    """Load the VIN tables once and bind them and the policy to the judge."""
    from vin_batch.vin.decoder import Decoder  # noqa: PLC0415 - tables load while workers start
    from vin_batch.vin.verdict import judge  # noqa: PLC0415

    decoder = Decoder()

    def bound(
        card_ids: Sequence[str],
        log_probs: NDArray[np.float32],
        issues: NDArray[np.uint8],
        extra_boxes: NDArray[np.int32],
    ) -> list[Reading]:
        return judge(card_ids, log_probs, issues, extra_boxes, policy, decoder)

    return bound
