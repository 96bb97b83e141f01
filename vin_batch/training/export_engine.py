"""Exports a network for LiteRT: 8-bit weights per channel, 8-bit activations, bytes in.

Ranges of activations are taken from representative images (post-training quantisation: Jacob et
al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018). What comes out must decide as the reference does before it is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.batch.atomic import write_atomic
from vin_batch.classifier.artefact import ENGINES, LITERT, Artefact
from vin_batch.classifier.calibration import calibration_of
from vin_batch.classifier.keras_classifier import open_classifier
from vin_batch.classifier.litert_classifier import LitertNetwork, litert_version
from vin_batch.classifier.model_card import ModelCard
from vin_batch.classifier.quiet import without_greetings
from vin_batch.errors import ModelError
from vin_batch.preprocess import IMAGE_SIDE
from vin_batch.training.cards import CardSet
from vin_batch.training.engines import Agreement, compare_engines
from vin_batch.training.publish import update_card
from vin_batch.vin.decoder import Decoder

FILE_NAME: Final = "network-int8.tflite"
BATCH: Final = 64
"""Images of a call: fewer cost more each, more do not fit the processor's caches (measured)."""
REPRESENTATIVE: Final = 1_024
"""Images that show the ranges of activations."""


@dataclass(frozen=True, slots=True)
class Exported:
    """An exported network that decides as the reference does.

    Attributes:
        data: Bytes of the ``.tflite`` file.
        agreement: With the reference, by level of the scan.
    """

    data: bytes
    agreement: dict[str, Agreement]


@dataclass(frozen=True, slots=True)
class _Trial:
    card: ModelCard
    network: LitertNetwork
    device: str = "cpu"

    def log_probs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.network.log_probs(pixels)


def export_litert(
    card: ModelCard, pixels: NDArray[np.uint8], cards: Mapping[str, CardSet]
) -> Exported:
    """Quantise a network and compare it with the reference.

    Args:
        card: The model.
        pixels: ``uint8[m, 28, 28]``, representative images.
        cards: Cards with known VINs to compare on, by level of the scan.

    Raises:
        ModelError: LiteRT is not installed, or what came out decides otherwise.
    """
    reference = open_classifier(card, "cpu")
    with TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        with without_greetings():
            _convert(reference.network, pixels, path)
        data = path.read_bytes()
        artefact = Artefact(path, sha256(data).hexdigest(), calibration_of(card))
        trial = _Trial(card, LitertNetwork(artefact))
    decoder = Decoder()
    found = {
        level: compare_engines(reference, trial, each, decoder) for level, each in cards.items()
    }
    problems = [f"level {level}: {p}" for level, each in found.items() for p in each.problems()]
    if problems:
        raise ModelError(
            f"the exported network does not decide as the reference does: {'; '.join(problems)}",
            "Nothing was published. Show more varied images with --data, or read with TensorFlow.",
        )
    return Exported(data, found)


def publish_exported(
    card: ModelCard, exported: Exported, source: str, record: Mapping[str, Any]
) -> None:
    """Put an exported network beside the weights and name it in ``model.json``.

    The file goes first: until the card names it, nobody looks at it.

    Args:
        card: The model.
        exported: Its network.
        source: Where the representative images and the cards come from.
        record: Command, version, revision and date.

    Raises:
        DiskError: The model directory cannot be written.
    """
    write_atomic(card.directory / FILE_NAME, exported.data, public_mode=0o644)
    entry = {
        "file": FILE_NAME,
        "sha256": sha256(exported.data).hexdigest(),
        "network_sha256": card.sha256,
        "quantisation": "int8 weights per channel, int8 activations, uint8 input",
        "representative_images": REPRESENTATIVE,
        "source": source,
        "litert": litert_version(),
        "made": dict(record),
        "agreement": {level: each.as_json() for level, each in exported.agreement.items()},
    }
    update_card(card.directory, **{ENGINES: {**card.details.get(ENGINES, {}), LITERT: entry}})


def _convert(network: Any, pixels: NDArray[np.uint8], path: Path) -> None:  # noqa: ANN401 - Keras
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    shape = (IMAGE_SIDE, IMAGE_SIDE, 1)
    # A network that takes floats is one that the converter can give bytes: their scale is 1.
    inputs = keras.Input(shape, dtype="float32", name="pixels")
    floating = keras.models.clone_model(network, input_tensors=inputs)
    floating.set_weights(network.get_weights())
    floating.export(
        path,
        format="litert",
        verbose=False,
        input_signature=[keras.InputSpec(shape=(BATCH, *shape), dtype="float32")],
        experimental_enable_resource_variables=False,
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=lambda: _batches(pixels),
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
        inference_input_type=tf.uint8,
    )


def _batches(pixels: NDArray[np.uint8]) -> Iterator[list[NDArray[np.float32]]]:
    """Whole batches of representative images; the first holds the whole range of a byte."""
    rng = np.random.default_rng(0)
    count = -(-max(REPRESENTATIVE, BATCH) // BATCH) * BATCH
    chosen = pixels[rng.choice(len(pixels), count, replace=len(pixels) < count)]
    chosen[0, 0, 0] = 255
    for start in range(0, count, BATCH):
        yield [chosen[start : start + BATCH, :, :, None].astype(np.float32)]
