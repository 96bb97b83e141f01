"""The networks that can be trained, by name, and what each costs.

Importing this module imports Keras.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import keras
from keras import layers

from vin_batch.errors import UsageError
from vin_batch.training.earlier_networks import (
    build_conv_dropout,
    build_fully_connected,
    build_three_conv_dense,
    build_two_conv_dense,
)
from vin_batch.training.network import build_network
from vin_batch.training.residual_networks import (
    build_depthwise_small,
    build_residual_small,
    build_residual_teacher,
)

Shape = tuple[int | None, ...]

DEFAULT_ARCHITECTURE: Final = "six_convolutions"
MILLION: Final = 1e6


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that can be trained.

    Attributes:
        name: What ``--arch`` takes and ``model.json`` records; also the Keras model's name.
        build: From the number of classes to an untrained model that takes
            ``uint8[n, 28, 28, 1]`` and gives ``float32[n, classes]`` logits.
        description: One line.
        provenance: Which system or family of systems it comes from.
    """

    name: str
    build: Callable[[int], keras.Model]
    description: str
    provenance: str


@dataclass(frozen=True, slots=True)
class Operations:
    """What a network costs.

    Attributes:
        parameters: All stored numbers, moving statistics included.
        multiply_adds: Multiplications with a weight for one image, each with its addition;
            biases, activations, pooling and normalisation are not counted.
    """

    parameters: int
    multiply_adds: int


_OURS: Final = "vin-batch"
_EARLIER: Final = "earlier system"

_KNOWN: Final = (
    Architecture(
        "six_convolutions",
        build_network,
        "three stages of two 3x3 convolutions with batch norm, dense 160",
        f"{_OURS}, shipped",
    ),
    Architecture(
        "residual_small",
        build_residual_small,
        "four residual blocks, most work at 14 and 7 pixels",
        f"{_OURS}, student",
    ),
    Architecture(
        "depthwise_small",
        build_depthwise_small,
        "five depthwise-separable blocks, fewest multiply-adds of ours",
        f"{_OURS}, student",
    ),
    Architecture(
        "residual_teacher",
        build_residual_teacher,
        "five wide residual blocks, to distil from",
        f"{_OURS}, teacher",
    ),
    Architecture(
        "three_conv_dense",
        build_three_conv_dense,
        "three convolutions with pooling, dense 64 and 128",
        f"{_EARLIER}: three convolutions",
    ),
    Architecture(
        "two_conv_dense",
        build_two_conv_dense,
        "two convolutions with pooling, dense 256 and 128",
        f"{_EARLIER}: two convolutions",
    ),
    Architecture(
        "fully_connected",
        build_fully_connected,
        "dense 512 and 256 on the flattened pixels",
        f"{_EARLIER}: fully connected",
    ),
    Architecture(
        "conv_dropout",
        build_conv_dropout,
        "two pairs of convolutions with pooling and dropout, dense 128",
        f"{_EARLIER}: convolutions with dropout",
    ),
)

ARCHITECTURES: Final[Mapping[str, Architecture]] = MappingProxyType(
    {architecture.name: architecture for architecture in _KNOWN}
)
"""By name, ours first."""


def architecture_named(name: str) -> Architecture:
    """Find an architecture.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in ARCHITECTURES:
        raise UsageError(
            f"no architecture is called {name}",
            f"Known are {', '.join(ARCHITECTURES)}; see vin-batch train --list-architectures.",
        )
    return ARCHITECTURES[name]


def count_operations(model: keras.Model) -> Operations:
    """Count what a network stores and computes for one image.

    Convolutions (plain, depthwise, separable) and dense layers count; all other layers count
    as free. A layer that is called several times is counted for each call, a model within the
    model for what it was built for.

    Args:
        model: A functional model whose shapes are known but for the batch.

    Raises:
        ValueError: The model is not functional, or a shape is unknown.
    """
    return Operations(int(model.count_params()), _multiply_adds(model))


def _multiply_adds(model: keras.Model) -> int:
    total = 0
    for layer, shape in _calls(model):
        inner = isinstance(layer, keras.Model)
        total += _multiply_adds(layer) if inner else _layer_cost(layer, shape)
    return total


def _calls(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, Shape]]:
    """Every call of a layer in the graph, with the shape of its first input."""
    for entry in model.get_config()["layers"]:
        if "inbound_nodes" not in entry:
            raise ValueError(f"{model.name} is not a functional model")
        layer = model.get_layer(entry["name"])
        for node in entry["inbound_nodes"]:
            yield layer, _first_shape(node["args"])


def _first_shape(arguments: Any) -> Shape:  # noqa: ANN401 - nested lists as Keras wrote them
    while not isinstance(arguments, dict):
        arguments = arguments[0]
    return tuple(arguments["config"]["shape"])


def _layer_cost(layer: keras.layers.Layer, inputs: Shape) -> int:
    """Multiply-adds of one call; kernels are applied once per output position."""
    if isinstance(layer, layers.SeparableConv2D):
        weights = _size(layer.depthwise_kernel) + _size(layer.pointwise_kernel)
    elif isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
        weights = _size(layer.kernel)
    else:
        return 0
    outputs: Shape = tuple(layer.compute_output_shape(inputs))
    channels_first = getattr(layer, "data_format", "channels_last") == "channels_first"
    positions = outputs[2:] if channels_first else outputs[1:-1]
    if None in positions:
        raise ValueError(f"{layer.name} has an output of unknown size: {outputs}")
    return weights * math.prod(side for side in positions if side is not None)


def _size(kernel: keras.Variable) -> int:
    return math.prod(int(side) for side in kernel.shape)


def architecture_table(classes: int) -> str:
    """List all architectures with their costs, as text for the terminal.

    Args:
        classes: Number of outputs to count with.

    Returns:
        One line per architecture under a heading, aligned; no newline at the end. All
        networks are built to be counted, which takes a few seconds.
    """
    rows = [("name", "parameters", "multiply-adds", "from", "description")]
    for architecture in ARCHITECTURES.values():
        cost = count_operations(architecture.build(classes))
        rows.append(
            (
                architecture.name,
                f"{cost.parameters:,}",
                f"{cost.multiply_adds / MILLION:.2f} M",
                architecture.provenance,
                architecture.description,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  "
        f"{row[3]:<{widths[3]}}  {row[4]}"
        for row in rows
    )
