"""Our networks with shortcuts: a small one, a depthwise-separable one, and a teacher.

All take raw ``uint8`` and give logits. Residual blocks follow He et al. 2015 (arXiv:1512.03385,
basic block, projection shortcut where the shape changes); the last normalisation of a block
starts at zero, so that each block starts as its shortcut (Goyal et al. 2017,
arXiv:1706.02677, section 5.1). Depthwise-separable convolutions follow Howard et al. 2017
(arXiv:1704.04861).
"""

from __future__ import annotations

from typing import Final

import keras
from keras import layers

from vin_batch.preprocess import IMAGE_SIDE
from vin_batch.training.network import NORM_MOMENTUM

Stage = tuple[int, int]
"""Channels, and how many blocks."""

SMALL_STEM: Final = 24
SMALL_STAGES: Final[tuple[Stage, ...]] = ((48, 2), (96, 2))
"""At 14 and 7 pixels: as many multiply-adds as the six convolutions spend at 28, 14 and 7."""
DEPTHWISE_STEM: Final = 48
DEPTHWISE_STAGES: Final[tuple[Stage, ...]] = ((96, 2), (192, 3))
TEACHER_STEM: Final = 64
TEACHER_STAGES: Final[tuple[Stage, ...]] = ((64, 1), (128, 2), (256, 2))
"""At 28, 14 and 7 pixels."""
SMALL_DROPOUT: Final = 0.2
TEACHER_DROPOUT: Final = 0.3


def build_residual_small(classes: int) -> keras.Model:
    """A stem at 28 pixels, two residual blocks at 14 and two at 7.

    Args:
        classes: Number of outputs.

    Returns:
        A model from ``uint8[n, 28, 28, 1]`` grey values to ``float32[n, classes]`` logits.
    """
    inputs, x = _stem(SMALL_STEM)
    for stage, (channels, blocks) in enumerate(SMALL_STAGES):
        for block in range(blocks):
            x = _residual_block(x, channels, 2 if block == 0 else 1, f"stage{stage}_block{block}")
    return keras.Model(inputs, _head(x, classes, SMALL_DROPOUT), name="residual_small")


def build_depthwise_small(classes: int) -> keras.Model:
    """A stem at 28 pixels, two depthwise-separable blocks at 14 and three at 7.

    Args:
        classes: Number of outputs.

    Returns:
        A model from ``uint8[n, 28, 28, 1]`` grey values to ``float32[n, classes]`` logits.
    """
    inputs, x = _stem(DEPTHWISE_STEM)
    for stage, (channels, blocks) in enumerate(DEPTHWISE_STAGES):
        for block in range(blocks):
            x = _depthwise_block(x, channels, 2 if block == 0 else 1, f"stage{stage}_block{block}")
    return keras.Model(inputs, _head(x, classes, SMALL_DROPOUT), name="depthwise_small")


def build_residual_teacher(classes: int) -> keras.Model:
    """Five wide residual blocks, for distillation: too slow to ship.

    Args:
        classes: Number of outputs.

    Returns:
        A model from ``uint8[n, 28, 28, 1]`` grey values to ``float32[n, classes]`` logits.
    """
    inputs, x = _stem(TEACHER_STEM)
    for stage, (channels, blocks) in enumerate(TEACHER_STAGES):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 0 else 1
            x = _residual_block(x, channels, stride, f"stage{stage}_block{block}")
    return keras.Model(inputs, _head(x, classes, TEACHER_DROPOUT), name="residual_teacher")


def _stem(channels: int) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    inputs = keras.Input((IMAGE_SIDE, IMAGE_SIDE, 1), dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 255, name="scaled")(inputs)
    x = _normalise(_convolve(x, channels, 3, 1, "stem"), "stem_norm")
    return inputs, layers.ReLU(name="stem_relu")(x)


def _residual_block(
    x: keras.KerasTensor, channels: int, stride: int, name: str
) -> keras.KerasTensor:
    shortcut = x
    if stride != 1 or x.shape[-1] != channels:
        shortcut = _convolve(x, channels, 1, stride, f"{name}_shortcut")
        shortcut = _normalise(shortcut, f"{name}_shortcut_norm")
    x = _normalise(_convolve(x, channels, 3, stride, f"{name}_a"), f"{name}_a_norm")
    x = layers.ReLU(name=f"{name}_a_relu")(x)
    x = _normalise(_convolve(x, channels, 3, 1, f"{name}_b"), f"{name}_b_norm", start=0.0)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_sum")([shortcut, x]))


def _depthwise_block(
    x: keras.KerasTensor, channels: int, stride: int, name: str
) -> keras.KerasTensor:
    shortcut = x
    x = layers.DepthwiseConv2D(
        3, strides=stride, padding="same", use_bias=False,
        depthwise_initializer="he_normal", name=f"{name}_depthwise",
    )(x)  # fmt: skip
    x = layers.ReLU(name=f"{name}_depthwise_relu")(_normalise(x, f"{name}_depthwise_norm"))
    x = _normalise(_convolve(x, channels, 1, 1, f"{name}_pointwise"), f"{name}_pointwise_norm")
    x = layers.ReLU(name=f"{name}_relu")(x)
    if shortcut.shape == x.shape:
        x = layers.Add(name=f"{name}_sum")([shortcut, x])
    return x


def _head(x: keras.KerasTensor, classes: int, dropout: float) -> keras.KerasTensor:
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(classes, dtype="float32", name="logits")(x)


def _convolve(
    x: keras.KerasTensor, channels: int, side: int, stride: int, name: str
) -> keras.KerasTensor:
    return layers.Conv2D(
        channels, side, strides=stride, padding="same", use_bias=False,
        kernel_initializer="he_normal", name=name,
    )(x)  # fmt: skip


def _normalise(x: keras.KerasTensor, name: str, start: float = 1.0) -> keras.KerasTensor:
    gamma = keras.initializers.Constant(start)
    return layers.BatchNormalization(
        momentum=NORM_MOMENTUM, gamma_initializer=gamma, name=name
    )(x)  # fmt: skip
