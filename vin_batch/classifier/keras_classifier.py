"""The reference classifier, and the one for GPUs: a Keras model in a function of fixed shapes.

Bytes cross the bus, and the network's first layer scales them there. ``predict`` in a loop and
new shapes for every call are avoided: both cost more than the network itself.
"""

from __future__ import annotations

import logging
import zipfile
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.calibration import settle
from vin_batch.classifier.gpu import hold_gpu
from vin_batch.classifier.matching import require_preprocessing
from vin_batch.classifier.model_card import ModelCard
from vin_batch.classifier.quiet import lower_voice, without_greetings
from vin_batch.errors import LockedError, ModelError, NoGpuError, UsageError
from vin_batch.preprocess import IMAGE_SIDE

LOGGER = logging.getLogger(__name__)

CPU_BATCH: Final = 256
GPU_BATCHES: Final = (8_192, 2_048, 256)
"""Images of a call, largest first: whole batches, and smaller ones for what is left over."""
IN_FLIGHT: Final = 2
"""Batches that a GPU is given before the first answer is fetched: it computes one while the
next crosses the bus."""
DEVICES: Final = ("auto", "cpu", "gpu")


def open_classifier(card: ModelCard, device: str = "auto") -> KerasClassifier:
    """Load a model onto a device.

    Args:
        card: A checked model card.
        device: ``auto`` takes a GPU where there is one; ``gpu`` insists on it.

    Returns:
        The classifier, compiled and tried once.

    Raises:
        NoGpuError: ``gpu`` was demanded and TensorFlow sees none.
        LockedError: ``gpu`` was demanded and another process holds it.
        ModelError: The weights cannot be loaded or belong to another preprocessing.
        UsageError: The device is none of ``DEVICES``.
    """
    if device not in DEVICES:
        raise UsageError(f"unknown device {device!r}", f"Use one of {', '.join(DEVICES)}.")
    require_preprocessing(card)
    lower_voice(device)
    LOGGER.info("loading model %s on %s", card.model_id, device)
    with without_greetings():
        return _open(card, device)


def import_keras() -> None:
    """Import Keras, and TensorFlow with it, and keep their greetings out of the log."""
    lower_voice("auto")
    with without_greetings():
        import keras  # noqa: F401, PLC0415


def _open(card: ModelCard, device: str) -> KerasClassifier:
    import tensorflow as tf  # noqa: PLC0415 - two seconds that `status` must not pay

    gpus = tf.config.list_physical_devices("GPU") if device != "cpu" else []
    if device == "gpu" and not gpus:
        raise NoGpuError(
            "a GPU was demanded, but TensorFlow sees none",
            "Install the extra vin_batch[gpu] and a driver, or run with --device cpu.",
        )
    on_gpu = _claim(tf, _held(gpus[:1], device))
    return KerasClassifier(card, tf, GPU_BATCHES if on_gpu else (CPU_BATCH,), on_gpu=on_gpu)


def _held(gpus: list[Any], device: str) -> list[Any]:
    """The GPU, held against other processes; none where another holds it and ``auto`` may."""
    if not gpus:
        return []
    try:
        hold_gpu()
    except LockedError as error:
        if device == "gpu":
            raise
        LOGGER.warning("%s: this one computes on the processor", error.message)
        return []
    return gpus


def _claim(tf: Any, gpus: list[Any]) -> bool:
    """Show TensorFlow one GPU (memory as needed, full float32), or none.

    TensorFlow takes such settings before its first operation only: a process that has
    computed, as training has, keeps the devices that it has.

    Returns:
        Whether a GPU will compute.
    """
    try:
        tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        LOGGER.debug("devices stay as they are: %s", error)
    if gpus:
        tf.config.experimental.enable_tensor_float_32_execution(False)
    return bool(tf.config.list_logical_devices("GPU"))


class KerasClassifier:
    """See ``vin_batch.classifier.base.Classifier``.

    Args:
        card: A checked model card.
        tf: The module.
        batches: Images of a call, largest first. A shape is compiled when it first occurs,
            the smallest at once.
        on_gpu: Whether a GPU computes.
    """

    def __init__(
        self, card: ModelCard, tf: Any, batches: tuple[int, ...] = (CPU_BATCH,), *, on_gpu: bool
    ) -> None:
        self.card = card
        self._batches = batches
        self.device = _device_name(tf, on_gpu=on_gpu)
        self.network = _load(card)
        network = self.network
        scale, bias = 1.0 / card.temperature, np.array(card.class_bias, np.float32)

        def calibrated(pixels: Any) -> Any:
            logits = tf.cast(network(pixels[..., None], training=False), tf.float32)
            return tf.nn.log_softmax(logits * scale + bias, axis=-1)

        self._compiled = tf.function(calibrated, autograph=False)
        self._compiled(np.zeros((batches[-1], IMAGE_SIDE, IMAGE_SIDE), np.uint8))

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify ``uint8[m, 28, 28]``; see ``Classifier.log_probs``."""
        result = np.empty((len(pixels), len(self.card.classes)), np.float32)
        pending: deque[tuple[slice, Any]] = deque()
        for where, size in cut(len(pixels), self._batches):
            pending.append((where, self._compiled(_padded(pixels[where], size))))
            if len(pending) == IN_FLIGHT:
                _fetch(pending, result)
        while pending:
            _fetch(pending, result)
        return settle(result, self.card.tail)


def cut(count: int, batches: tuple[int, ...]) -> Iterator[tuple[slice, int]]:
    """Cut images into calls.

    Args:
        count: Number of images.
        batches: Images of a call, largest first.

    Yields:
        Which images, and the batch that they fill; but for the smallest batch, at least half.
    """
    start = 0
    while start < count:
        left = count - start
        size = next((size for size in batches if 2 * left >= size), batches[-1])
        yield slice(start, start + min(size, left)), size
        start += size


def _padded(part: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if len(part) == size:
        return part
    whole = np.zeros((size, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    whole[: len(part)] = part
    return whole


def _fetch(pending: deque[tuple[slice, Any]], result: NDArray[np.float32]) -> None:
    """Wait for the oldest answer; TensorFlow has gone on with the others meanwhile."""
    where, answer = pending.popleft()
    result[where] = answer.numpy()[: where.stop - where.start]


def _load(card: ModelCard) -> Any:
    import keras  # noqa: PLC0415

    try:
        network = keras.saving.load_model(card.weights, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"cannot load {card.weights}: {error}", "Reinstall the model, or retrain it."
        ) from error
    if network.output_shape[-1] != len(card.classes):
        raise ModelError(
            f"{card.weights} has {network.output_shape[-1]} outputs, the card names "
            f"{len(card.classes)} classes",
            "Reinstall the model, or retrain it.",
        )
    return network


def _device_name(tf: Any, *, on_gpu: bool) -> str:
    if not on_gpu:
        return "cpu"
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    return f"gpu ({details.get('device_name', 'unknown')})"
