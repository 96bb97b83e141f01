"""The recogniser of the ``rapidocr`` package, run by ONNX Runtime on its own.

Only the file with the weights is taken from the package: its pipeline (finding text on a
page, several engines, downloads) is never imported. The file is found by its digest or by
its metadata, not by its name. Everything computes in one thread in a fixed batch shape, so
that an answer does not depend on the machine's cores; many crops are read by many processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vin_batch.classifier.model_card import sha256_of
from vin_batch.errors import ModelError
from vin_batch.second_reader.ctc import single_character_scores
from vin_batch.second_reader.shape import HEIGHT, WIDTH
from vin_batch.vin.alphabet import ALPHABET

PACKAGE: Final = "rapidocr"
ENGINE: Final = "onnxruntime"
SYMBOLS: Final = ALPHABET + "IOQ" + "abcdefghijklmnopqrstuvwxyz"
"""Characters that are asked for: those of a VIN, and those that a recogniser of all writing
takes them for."""
DICTIONARY: Final = "character"
"""Key of the ONNX metadata that lists the symbols, one per line, without the blank."""
BATCH: Final = 8
"""Canvases of one call: larger ones are not faster, and take 1 MB of memory each."""
FLOOR: Final = -12.0
"""Smallest score: what is less probable was never meaningfully learnt."""
STEP: Final = 1 / 512
"""Scores are rounded to this: last-bit differences of an arithmetic unit must not reach the
readings."""
ADVICE: Final = "Install it: pip install 'vin_batch[second-reader]', or run without it."


class Recogniser(Protocol):
    """Reads canvases."""

    def scores(self, canvases: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Score ``uint8[m, 48, 96]`` canvases for every symbol: ``float32[m, 62]``."""
        ...


def find_weights(sha256: str) -> Path:
    """Find the weights with a given digest in the installed package.

    Args:
        sha256: 64 hex digits; the calibration belongs to exactly these weights.

    Raises:
        ModelError: The package or the engine is not installed, or holds other weights.
    """
    require_extra()
    for path in _onnx_files():
        if sha256_of(path) == sha256:
            return path
    raise ModelError(
        f"no file of {PACKAGE} {package_version()} has digest {sha256[:12]}…: the second "
        "reader's calibration belongs to other weights",
        "Install the fitting version with pip install 'vin_batch[second-reader]', or fit the "
        "calibration to this one with `vin-batch train-second-reader`.",
    )


def find_recogniser() -> Path:
    """Find the recogniser in the installed package by its metadata, for a new calibration.

    Raises:
        ModelError: The package or the engine is not installed, or there is not exactly one
            recogniser that knows every symbol.
    """
    require_extra()
    fitting = [path for path in _onnx_files() if _knows_symbols(path)]
    if len(fitting) != 1:
        names = ", ".join(path.name for path in fitting) or "none"
        raise ModelError(
            f"{PACKAGE} {package_version()} should hold one recogniser of all {len(SYMBOLS)} "
            f"symbols, it holds: {names}",
            "Install another version of it: pip install 'vin_batch[second-reader]'.",
        )
    return fitting[0]


def require_extra() -> None:
    """Refuse to go on without the extra.

    Raises:
        ModelError: ``rapidocr`` or ``onnxruntime`` is not installed.
    """
    for name in (PACKAGE, ENGINE):
        if find_spec(name) is None:
            raise ModelError(f"the second reader needs {name}, which is not installed", ADVICE)


def package_version() -> str:
    """Version of the package that the weights come with."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "of unknown version"


@lru_cache(maxsize=1)
def open_recogniser(weights: Path, sha256: str) -> OnnxRecogniser:
    """Load weights; the latest ones are kept for the next call in this process.

    Raises:
        ModelError: The file is gone, was swapped, or cannot be loaded.
    """
    try:
        actual = sha256_of(weights)
    except OSError as error:
        raise ModelError(f"cannot read {weights}: {error.strerror}", ADVICE) from error
    if actual != sha256:
        raise ModelError(f"{weights} is not the file that was checked", ADVICE)
    return OnnxRecogniser(weights)


class OnnxRecogniser:
    """A CTC recogniser as ONNX Runtime runs it.

    Args:
        weights: ONNX file with input ``float32[n, 3, height, width]`` in -1 to 1, output
            ``float32[n, frames, symbols]`` of probabilities, symbol 0 the blank, and the
            other symbols in its metadata.

    Raises:
        ModelError: The file is no such recogniser.
    """

    def __init__(self, weights: Path) -> None:
        self._session = _session(weights)
        listed = self._session.get_modelmeta().custom_metadata_map.get(DICTIONARY, "")
        places = {symbol: place for place, symbol in enumerate(listed.splitlines(), start=1)}
        if missing := [symbol for symbol in SYMBOLS if symbol not in places]:
            raise ModelError(f"{weights} does not know {' '.join(missing)}", ADVICE)
        self._columns = np.array([0, *(places[symbol] for symbol in SYMBOLS)])
        self._input = self._session.get_inputs()[0].name

    def scores(self, canvases: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Log-probability that a canvas shows exactly one given character.

        Args:
            canvases: ``uint8[m, 48, 96]``.

        Returns:
            ``float32[m, 62]`` in the order of ``SYMBOLS``, floored and rounded.
        """
        result = np.empty((len(canvases), len(SYMBOLS)), np.float32)
        for start in range(0, len(canvases), BATCH):
            part = canvases[start : start + BATCH]
            filled = np.zeros((BATCH, HEIGHT, WIDTH), np.uint8)
            filled[: len(part)] = part
            frames = self._frames(filled)[: len(part)]
            score = single_character_scores(frames[:, :, 0], frames[:, :, 1:])
            result[start : start + len(part)] = score
        return np.rint(np.maximum(result, FLOOR) / STEP).astype(np.float32) * np.float32(STEP)

    def _frames(self, canvases: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities ``float32[n, frames, 63]`` of the blank and the symbols."""
        pixels = canvases.astype(np.float32) / np.float32(127.5) - np.float32(1)
        image = np.repeat(pixels[:, None], 3, axis=1)
        frames: NDArray[np.float32] = self._session.run(None, {self._input: image})[0]
        return frames[:, :, self._columns]


def _session(weights: Path) -> Any:  # noqa: ANN401 - ONNX Runtime has no types
    onnxruntime = import_module(ENGINE)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            weights, sess_options=options, providers=["CPUExecutionProvider"]
        )
    # ONNX Runtime raises classes of its own that share no base but Exception.
    except Exception as error:
        raise ModelError(f"cannot load {weights}: {error}", ADVICE) from error


def _knows_symbols(weights: Path) -> bool:
    listed = _session(weights).get_modelmeta().custom_metadata_map.get(DICTIONARY, "")
    return set(SYMBOLS) <= set(listed.splitlines())


def _onnx_files() -> Iterator[Path]:
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield from sorted(Path(folder).rglob("*.onnx"))
