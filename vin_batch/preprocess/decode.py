"""Bytes to grey pixels, with every refusal as a value.

``cv2.imdecode`` is used on bytes that were read whole: unlike ``cv2.imread`` it gives
nothing, rather than half an image, for a torn file. The size is taken from the header
first, so that a small file cannot unfold into gigabytes.
"""

from __future__ import annotations

import io
import struct
import warnings
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vin_batch.records import BoxIssue

MAX_PIXELS: Final = 4_000_000
"""Pixels of the largest plausible crop: a 1 cm box at 5,000 dpi."""

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_GREY_OR_COLOUR: Final = (0, 2)
_PNG_PALETTE: Final = 3
_FLAT_GREY: Final = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode_grey(data: bytes) -> NDArray[np.uint8] | BoxIssue:
    """Decode an image file into grey.

    Transparent pixels become paper (white); 16-bit and float images are stretched to their
    own range, because scanners store 10 or 12 bits in 16; the first page of several is taken.

    Args:
        data: The whole file.

    Returns:
        ``uint8[h, w]``, or the issue that prevents it.
    """
    if not data:
        return BoxIssue.EMPTY_FILE
    size = _header_size(data)
    if size is None:
        return BoxIssue.UNDECODABLE
    if size[0] * size[1] > MAX_PIXELS:
        return BoxIssue.OVERSIZED
    flags = cv2.IMREAD_UNCHANGED if _may_have_alpha(data) else _FLAT_GREY
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        return BoxIssue.UNDECODABLE if decoded is None else _to_grey(decoded)
    except cv2.error:
        return BoxIssue.UNDECODABLE


def _header_size(data: bytes) -> tuple[int, int] | None:
    if data.startswith(_PNG_SIGNATURE):
        if len(data) < 33 or data[12:16] != b"IHDR":
            return None
        width, height = struct.unpack(">II", data[16:24])
        return int(width), int(height)
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except Image.DecompressionBombError:
        return MAX_PIXELS, MAX_PIXELS
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, struct.error, KeyError):
        return None


def _may_have_alpha(data: bytes) -> bool:
    if data.startswith(_PNG_SIGNATURE):
        colour_type = data[25]
        if colour_type in _PNG_GREY_OR_COLOUR:
            return False
        return colour_type != _PNG_PALETTE or b"tRNS" in data[: data.find(b"IDAT")]
    return data[:4] in (b"RIFF", b"II*\x00", b"MM\x00*")


def _to_grey(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Stretch to 8 bits, lay transparency over white, and drop colour."""
    pixels = image if image.dtype == np.uint8 else _stretch(image)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        alpha = pixels[:, :, 3].astype(np.float32) / 255
        grey = cv2.cvtColor(pixels[:, :, :3], cv2.COLOR_BGR2GRAY).astype(np.float32)
        pixels = np.rint(255 + alpha * (grey - 255)).astype(np.uint8)
    elif pixels.ndim == 3 and pixels.shape[2] == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    elif pixels.ndim == 3:
        pixels = np.ascontiguousarray(pixels[:, :, 0])
    result: NDArray[np.uint8] = pixels.astype(np.uint8, copy=False)
    return result


def _stretch(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    values = np.nan_to_num(image.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    colour = values[:, :, :3] if values.ndim == 3 else values
    low, high = float(colour.min()), float(colour.max())
    stretched = np.clip((values - low) / max(high - low, 1e-9), 0, 1) * 255
    if values.ndim == 3 and values.shape[2] == 4:
        top = float(values[:, :, 3].max())
        stretched[:, :, 3] = values[:, :, 3] / max(top, 1e-9) * 255
    result: NDArray[np.uint8] = np.rint(stretched).astype(np.uint8)
    return result
