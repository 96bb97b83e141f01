"""The network: six convolutions and a small head, written for any Keras 3 backend.

Input is raw ``uint8``; scaling is part of the graph, so that only bytes cross the bus.
"""

from __future__ import annotations

from typing import Any, Final

import keras
from keras import layers

from vin_batch.preprocess import IMAGE_SIDE

WIDTHS: Final = (32, 64, 128)
"""Channels of the three stages, at 28, 14 and 7 pixels."""
HEAD_UNITS: Final = 160
DROPOUT: Final = 0.3
NORM_MOMENTUM: Final = 0.97


def build_network(classes: int) -> keras.Model:
    """Build the untrained network.

    Args:
        classes: Number of outputs.

    Returns:
        A model from ``[n, 28, 28, 1]`` grey values (0 to 255) to ``float32[n, classes]``
        logits.
    """
    inputs = keras.Input((IMAGE_SIDE, IMAGE_SIDE, 1), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 255)(inputs)
    for stage, width in enumerate(WIDTHS):
        x = _convolve(x, width, f"stage{stage}_a")
        x = _convolve(x, width, f"stage{stage}_b")
        x = layers.MaxPooling2D(2, padding="same", name=f"stage{stage}_pool")(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(DROPOUT)(x)
    x = layers.Dense(HEAD_UNITS, use_bias=False, name="head")(x)
    x = layers.BatchNormalization(momentum=NORM_MOMENTUM, name="head_norm")(x)
    x = layers.ReLU(name="head_relu")(x)
    x = layers.Dropout(DROPOUT)(x)
    logits = layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name="six_convolutions")


def _convolve(x: Any, width: int, name: str) -> Any:
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=NORM_MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
