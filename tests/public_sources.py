"""Writes tiny files in the formats of public sources of handwritten characters."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 28


def upright(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Light glyphs on black, 28x28, taller than wide, that differ from their transposes.

    Each is an L: a stem of 20 pixels and a foot of 8, of its own thickness and grey.
    """
    rng = np.random.default_rng(seed)
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    for image in images:
        left, thick = int(rng.integers(6, 12)), int(rng.integers(2, 4))
        image[4:24, left : left + thick] = rng.integers(200, 256)
        image[24 - thick : 24, left : left + 8] = rng.integers(200, 256)
    return images


def stored_by_columns(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As EMNIST stores them."""
    return np.ascontiguousarray(images.swapaxes(1, 2))


def write_idx(path: Path, array: NDArray[np.uint8]) -> Path:
    """One idx file, compressed where its name ends in gz."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data = head + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_idx_source(
    folder: Path, prefix: str, parts: dict[str, tuple[NDArray[np.uint8], list[int]]], end: str = ""
) -> None:
    """Images and labels of several parts, named as MNIST and EMNIST name them."""
    for part, (images, labels) in parts.items():
        write_idx(folder / f"{prefix}{part}-images-idx3-ubyte{end}", images)
        write_idx(folder / f"{prefix}{part}-labels-idx1-ubyte{end}", np.array(labels, np.uint8))


def write_table(
    path: Path, images: NDArray[np.uint8], labels: list[int], headings: bool = False
) -> Path:
    """A CSV of a label and 784 grey values."""
    lines = [
        ",".join(map(str, [label, *image.ravel().tolist()]))
        for label, image in zip(labels, images, strict=True)
    ]
    if headings:
        lines.insert(0, ",".join(["label", *(f"pixel{n}" for n in range(SIDE * SIDE))]))
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def write_image(path: Path, image: NDArray[np.uint8]) -> Path:
    """An image in the format that its ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path
