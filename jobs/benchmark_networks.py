"""The classifier alone, and the earlier scripts, in a process of their own.

``benchmark.py`` starts this program, so that TensorFlow is in no other process of it. The
earlier scripts are those that recognise one image per call, or all images in one call: read,
scale to 28x28, ``model.predict``. What a script does before its first image is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import cv2
import numpy as np
from benchmark_loops import Cost, files_of, timed
from numpy.typing import NDArray

from vin_batch.classifier.base import Classifier
from vin_batch.classifier.model_card import ModelCard, load_model_card
from vin_batch.errors import VinBatchError

BATCHES: Final = (64, 256, 1024)
REFERENCE_BATCH: Final = 256
SIDE: Final = 28
LEAST_IMAGES: Final = 20
"""Images that a one-by-one script reads, however slow it is."""

Images = NDArray[np.uint8]


def main() -> int:
    """Measure what the arguments say; JSON on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("classifier", "scripts"))
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, help="uint8[m, 28, 28], .npy")
    parser.add_argument("--log-probs", type=Path, help="write the reference answers here, .npy")
    parser.add_argument("--folders", type=Path, help="file that names card folders, one a line")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="for a one-by-one script")
    parser.add_argument("--cores", type=int, help="how many this process may use")
    args = parser.parse_args()
    if args.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    found = measure_classifier(args) if args.what == "classifier" else measure_scripts(args)
    sys.stdout.flush()
    json.dump({name: [asdict(cost) for cost in costs] for name, costs in found.items()}, sys.stdout)
    return 0


def measure_classifier(args: argparse.Namespace) -> dict[str, list[Cost]]:
    """Costs per image by engine and batch, rounds interleaved."""
    images = np.load(args.images, allow_pickle=False)
    card = load_model_card(args.model)
    ways = dict(_ways(card, images))
    if args.log_probs:
        from vin_batch.classifier.keras_classifier import open_classifier  # noqa: PLC0415

        np.save(args.log_probs, open_classifier(card, "cpu").log_probs(images))
    for way in ways.values():
        way()
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, way in ways.items():
            costs[name].append(timed(way))
    return costs


def _ways(card: ModelCard, images: Images) -> Iterator[tuple[str, Callable[[], int]]]:
    from vin_batch.classifier import keras_classifier  # noqa: PLC0415 - TensorFlow

    for batch in BATCHES:
        with patch.object(keras_classifier, "CPU_BATCH", batch):
            classifier = keras_classifier.open_classifier(card, "cpu")
        yield f"tensorflow, batch {batch}", _answering(classifier, images)
        if batch == REFERENCE_BATCH:
            network = classifier.network
            yield f"keras predict, batch {batch}", _predicting(network, images, batch)

    yield from _other_engines(card, images)


def _other_engines(card: ModelCard, images: Images) -> Iterator[tuple[str, Callable[[], int]]]:
    """LiteRT with as many threads as there are cores, where it is installed and fits the model."""
    try:
        from vin_batch.classifier.choice import LITERT, open_chosen  # noqa: PLC0415

        threads = len(os.sched_getaffinity(0))
        classifier = open_chosen(card, "cpu", LITERT, threads)
    except (ImportError, VinBatchError):
        return
    yield "litert", _answering(classifier, images)


def _answering(classifier: Classifier, images: Images) -> Callable[[], int]:
    return lambda: len(classifier.log_probs(images))


def _predicting(network: Any, images: Images, batch: int) -> Callable[[], int]:  # noqa: ANN401
    return lambda: len(network.predict(images[..., None], batch_size=batch, verbose=0))


def measure_scripts(args: argparse.Namespace) -> dict[str, list[Cost]]:
    """Costs per image of the earlier scripts, with a network as they had and with ours."""
    from vin_batch.classifier.keras_classifier import open_classifier  # noqa: PLC0415
    from vin_batch.training.earlier_networks import build_three_conv_dense  # noqa: PLC0415

    card = load_model_card(args.model)
    networks = {
        "3-conv network": build_three_conv_dense(len(card.classes)),
        "our network": open_classifier(card, "cpu").network,
    }
    paths = files_of(args.folders.read_text("utf-8").split("\n"))
    costs: dict[str, list[Cost]] = {}
    for name, network in networks.items():
        network.predict(_load(paths[:1]), verbose=0)
        batched = timed(_in_one_call(network, paths))
        one_by_one = timed(_one_by_one(network, paths, args.seconds))
        costs[f"one predict per image, {name}"] = [one_by_one]
        costs[f"all images in one predict, {name}"] = [batched]
    return costs


def _one_by_one(network: Any, paths: Sequence[str], seconds: float) -> Callable[[], int]:  # noqa: ANN401
    def work() -> int:
        until = time.perf_counter() + seconds
        for done, path in enumerate(chain.from_iterable(repeat(paths))):
            if done >= LEAST_IMAGES and time.perf_counter() > until:
                return done
            network.predict(_load([path]), verbose=0).argmax()
        raise AssertionError("there is no image")

    return work


def _in_one_call(network: Any, paths: Sequence[str]) -> Callable[[], int]:  # noqa: ANN401
    return lambda: len(network.predict(_load(paths), verbose=0).argmax(axis=1))


def _load(paths: Sequence[str]) -> Images:
    """Images as those scripts load them, ``uint8[n, 28, 28, 1]``."""
    loaded = [cv2.resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (SIDE, SIDE)) for path in paths]
    return np.stack(loaded)[..., None]


if __name__ == "__main__":
    sys.exit(main())
