"""Networks of the earlier single-image systems, to be trained and compared under our data.

What is known of each family is its kinds of layers and the widths of its dense layers. Where
implementations of a family differ (filters, padding, strength of dropout), the most common
choice of introductory convolutional networks stands: 3x3 kernels, 32 filters that double with
each pooling, ReLU. The earlier systems ended in softmax; these end in logits, as all
networks here do, because calibration needs them: ``softmax(logits)`` is what they gave.
"""

from __future__ import annotations

from typing import Final

import keras
from keras import layers

from vin_batch.preprocess import IMAGE_SIDE

FIRST_FILTERS: Final = 32
CONV_DROPOUT_DENSE: Final = 128
FULLY_CONNECTED_UNITS: Final = (512, 256)
DROPOUT_AFTER_POOLING: Final = 0.25
DROPOUT_BEFORE_LOGITS: Final = 0.5


def build_three_conv_dense(classes: int) -> keras.Model:
    """Three convolutions, each pooled, then dense layers of 64 and 128 units.

    Args:
        classes: Number of outputs.

    Returns:
        A model from ``uint8[n, 28, 28, 1]`` grey values to ``float32[n, classes]`` logits.
    """
    inputs, x = _scaled_pixels()
    for number in range(3):
        x = _convolve(x, FIRST_FILTERS * 2**number, f"conv{number}")
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="dense0")(x)
    x = layers.Dense(128, activation="relu", name="dense1")(x)
    return keras.Model(inputs, _logits(x, classes), name="three_conv_dense")


def build_two_conv_dense(classes: int) -> keras.Model:
    """Two convolutions, each pooled, then dense layers of 256 and 128 units.

    Args:
        classes: Number of outputs.

    Returns:
        A model from ``uint8[n, 28, 28, 1]`` grey values to ``float32[n, classes]`` logits.
    """
    inputs, x = _scaled_pixels()
    for number in range(2):
        x = _convolve(x, FIRST_FILTERS * 2**number, f"conv{number}")
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(256, activation="relu", name="dense0")(x)
    x = layers.Dense(128, activation="relu", name="dense1")(x)
    return keras.Model(inputs, _logits(x, classes), name="two_conv_dense")


def build_fully_connected(classes: int) -> keras.Model:
    """Dense layers on the flattened pixels, no convolution.

    Args:
        classes: Number of outputs.

    Returns:
        A model from ``uint8[n, 28, 28, 1]`` grey values to ``float32[n, classes]`` logits.
    """
    inputs, x = _scaled_pixels()
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(FULLY_CONNECTED_UNITS):
        x = layers.Dense(units, activation="relu", name=f"dense{number}")(x)
    return keras.Model(inputs, _logits(x, classes), name="fully_connected")


def build_conv_dropout(classes: int) -> keras.Model:
    """Two pairs of convolutions, each pooled and thinned by dropout, and one dense layer.

    Args:
        classes: Number of outputs.

    Returns:
        A model from ``uint8[n, 28, 28, 1]`` grey values to ``float32[n, classes]`` logits.
    """
    inputs, x = _scaled_pixels()
    for number in range(2):
        filters = FIRST_FILTERS * 2**number
        x = _convolve(x, filters, f"conv{number}_a")
        x = _convolve(x, filters, f"conv{number}_b")
        x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
        x = layers.Dropout(DROPOUT_AFTER_POOLING, name=f"pool{number}_dropout")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(CONV_DROPOUT_DENSE, activation="relu", name="dense0")(x)
    x = layers.Dropout(DROPOUT_BEFORE_LOGITS, name="dense0_dropout")(x)
    return keras.Model(inputs, _logits(x, classes), name="conv_dropout")


def _scaled_pixels() -> tuple[keras.KerasTensor, keras.KerasTensor]:
    inputs = keras.Input((IMAGE_SIDE, IMAGE_SIDE, 1), dtype="uint8", name="pixels")
    return inputs, layers.Rescaling(1 / 255, name="scaled")(inputs)


def _convolve(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    return layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)(x)


def _logits(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    return layers.Dense(classes, dtype="float32", name="logits")(x)
