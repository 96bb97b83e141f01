"""The reference classifier: a Keras model in one compiled function of a fixed shape.

This is the only room that imports TensorFlow. ``predict`` in a loop and changing shapes
are avoided: both cost more than the network itself.
"""

from __future__ import annotations

import logging
import zipfile
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.model_card import ModelCard
from vin_batch.classifier.quiet import lower_voice, without_greetings
from vin_batch.classifier.tail import stretch_tail
from vin_batch.errors import ModelError, NoGpuError, UsageError
from vin_batch.preprocess import IMAGE_SIDE, PREPROCESSING

LOGGER = logging.getLogger(__name__)

CPU_BATCH: Final = 256
GPU_BATCH: Final = 8_192
LOG_PROB_STEP: Final = 1 / 512
"""Log-probabilities are rounded to this step: last-bit differences of an arithmetic unit
must not reach the readings."""
FLOOR: Final = -20.0
"""Smallest log-probability: no network knows that a character is impossible."""
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
        ModelError: The weights cannot be loaded or belong to another preprocessing.
        UsageError: The device is none of ``DEVICES``.
    """
    if device not in DEVICES:
        raise UsageError(f"unknown device {device!r}", f"Use one of {', '.join(DEVICES)}.")
    if card.preprocessing != PREPROCESSING:
        raise ModelError(
            f"model {card.name} was trained through another preprocessing: "
            f"{card.preprocessing} instead of {PREPROCESSING}",
            "Retrain it with this version, or use the version that made it.",
        )
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
    return KerasClassifier(card, tf, on_gpu=_claim(tf, gpus[:1]))


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
    """See ``vin_batch.classifier.base.Classifier``."""

    def __init__(self, card: ModelCard, tf: Any, *, on_gpu: bool) -> None:
        import keras  # noqa: PLC0415

        self.card = card
        self._batch = GPU_BATCH if on_gpu else CPU_BATCH
        self.device = _device_name(tf, on_gpu=on_gpu)
        try:
            model = keras.saving.load_model(card.weights, compile=False, safe_mode=True)
        except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
            raise ModelError(
                f"cannot load {card.weights}: {error}", "Reinstall the model, or retrain it."
            ) from error
        if model.output_shape[-1] != len(card.classes):
            raise ModelError(
                f"{card.weights} has {model.output_shape[-1]} outputs, the card names "
                f"{len(card.classes)} classes",
                "Reinstall the model, or retrain it.",
            )
        self.network = model
        scale, bias = 1.0 / card.temperature, np.array(card.class_bias, np.float32)

        def calibrated(pixels: Any) -> Any:
            logits = tf.cast(model(pixels[..., None], training=False), tf.float32)
            return tf.nn.log_softmax(logits * scale + bias, axis=-1)

        shape = tf.TensorSpec((self._batch, IMAGE_SIDE, IMAGE_SIDE), tf.uint8)
        self._compiled = tf.function(calibrated, input_signature=[shape], autograph=False)
        self._compiled(np.zeros((self._batch, IMAGE_SIDE, IMAGE_SIDE), np.uint8))

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify ``uint8[m, 28, 28]``; see ``Classifier.log_probs``."""
        count = len(pixels)
        result = np.empty((count, len(self.card.classes)), np.float32)
        for start in range(0, count, self._batch):
            part = pixels[start : start + self._batch]
            filled = len(part)
            if filled < self._batch:
                padded = np.zeros((self._batch, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
                padded[:filled] = part
                part = padded
            result[start : start + filled] = self._compiled(part).numpy()[:filled]
        result = np.maximum(stretch_tail(result, self.card.tail), FLOOR)
        np.rint(result / LOG_PROB_STEP, out=result)
        return result * np.float32(LOG_PROB_STEP)


def _device_name(tf: Any, *, on_gpu: bool) -> str:
    if not on_gpu:
        return "cpu"
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    return f"gpu ({details.get('device_name', 'unknown')})"
