"""Bytes to grey pixels, with every refusal as a value.

``cv2.imdecode`` is used on bytes that were read whole: unlike ``cv2.imread`` it gives
nothing, rather than half an image, for a torn file. The size is taken from the header
first, so that a small file cannot unfold into gigabytes.
"""

from __future__ import annotations

import io
import warnings
from typing import Final, TypeGuard

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess.header import ImageHeader, read_header
from vin_batch.preprocess.lost_tail import has_lost_tail
from vin_batch.preprocess.orientation import stored_orientation, turn_upright
from vin_batch.preprocess.png import grey_transparency, without_extras
from vin_batch.records import BoxIssue

MAX_PIXELS: Final = 4_000_000
"""Pixels of the largest plausible crop: a 1 cm box at 5,000 dpi."""
MAX_DECODED_BYTES: Final = 8 * MAX_PIXELS
"""The same in 16-bit colour with transparency."""
MAX_PASSES: Final = 100
"""Scans of a progressive JPEG; encoders write about ten. Each costs as much as a whole image,
and a few bytes make one."""

_FLAT_GREY: Final = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
_LARGEST: Final = float(np.finfo(np.float32).max)

# A torn file is a value here; OpenCV would also write lines about every one to stderr.
# Version 5 moved the switch.
if hasattr(cv2, "setLogLevel"):
    cv2.setLogLevel(0)
else:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode_grey(data: bytes) -> NDArray[np.uint8] | BoxIssue:
    """Decode an image file into grey.

    Transparent pixels become paper (white); 16-bit and float images are stretched to their
    own range, because scanners store 10 or 12 bits in 16; the first page of several is taken.

    Args:
        data: The whole file: PNG, JPEG, TIFF, BMP or WebP, whatever its name says.

    Returns:
        ``uint8[h, w]``, or the issue that prevents it.
    """
    header = _checked_header(data)
    if isinstance(header, BoxIssue):
        return header
    try:
        decoded = _decode(data, header)
        if decoded is None or not _is_as_announced(decoded, header):
            return BoxIssue.UNDECODABLE
        if decoded.nbytes > MAX_DECODED_BYTES:
            return BoxIssue.OVERSIZED
        return decoded if _is_grey(decoded) else _to_grey(decoded)
    except cv2.error:
        return BoxIssue.UNDECODABLE


def _checked_header(data: bytes) -> ImageHeader | BoxIssue:
    """The header of a file that may be unpacked, or why it may not."""
    if not data:
        return BoxIssue.EMPTY_FILE
    header = read_header(data)
    if header is None:
        return BoxIssue.UNDECODABLE
    if header.pixels > MAX_PIXELS or header.passes > MAX_PASSES:
        return BoxIssue.OVERSIZED
    return BoxIssue.UNDECODABLE if has_lost_tail(data) else header


def _decode(data: bytes, header: ImageHeader) -> NDArray[np.generic] | None:
    if header.is_grey_alpha_tiff:
        pixels = _decode_grey_alpha_tiff(data, header)
        if pixels is not None:
            return pixels
    flags = cv2.IMREAD_UNCHANGED if header.may_have_alpha else _FLAT_GREY
    plain = data if header.is_plain else without_extras(data)
    decoded: NDArray[np.generic] | None = cv2.imdecode(np.frombuffer(plain, np.uint8), flags)
    if decoded is None:
        return None
    if not header.is_plain and (level := grey_transparency(data)) is not None:
        decoded[decoded == level] = np.iinfo(decoded.dtype.name).max
    return turn_upright(decoded, stored_orientation(data)) if header.may_have_alpha else decoded


def _is_as_announced(decoded: NDArray[np.generic], header: ImageHeader) -> bool:
    """Tell that the decoder saw the image whose header was checked, upright or turned."""
    height, width = decoded.shape[:2]
    announced = header.height, header.width
    return announced in ((height, width), (width, height))


def _decode_grey_alpha_tiff(data: bytes, header: ImageHeader) -> NDArray[np.generic] | None:
    """Decode with Pillow what OpenCV reads without its alpha; None where that fails."""
    from PIL import Image  # noqa: PLC0415 - a rare kind of file

    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=("TIFF",)) as image,
        ):
            if image.mode != "LA" or image.size != (header.width, header.height):
                return None
            return np.asarray(image.convert("RGBA"))
    except Exception:  # a damaged file leads Pillow's parsers into any error; OpenCV decides
        return None


def _is_grey(decoded: NDArray[np.generic]) -> TypeGuard[NDArray[np.uint8]]:
    return decoded.ndim == 2 and decoded.dtype == np.uint8


def _to_grey(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Stretch to 8 bits, lay transparency over white, and drop colour."""
    pixels = image if image.dtype == np.uint8 else _stretch(_deep_over_white(image))
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


def _deep_over_white(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Values as float64, without alpha; what is not a number takes the median, as paper does."""
    with np.errstate(invalid="ignore"):  # a signalling NaN is no number either
        values = image.astype(np.float64)
    known = np.isfinite(values)
    if not known.all():
        values[~known] = np.median(values[known]) if known.any() else 0.0
    values = np.clip(values, -_LARGEST, _LARGEST)
    if values.ndim < 3 or values.shape[2] < 4:
        return values
    is_integer = np.issubdtype(image.dtype, np.integer)
    white = float(np.iinfo(image.dtype.name).max) if is_integer else max(1.0, float(values.max()))
    alpha = values[:, :, 3:] / max(float(values[:, :, 3].max()), 1e-9)
    return white + alpha * (values[:, :, :3] - white)


def _stretch(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())
    stretched = np.clip((values - low) / max(high - low, 1e-9), 0, 1) * 255
    result: NDArray[np.uint8] = np.rint(stretched).astype(np.uint8)
    return result
