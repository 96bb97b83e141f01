"""Turning pictures upright that say themselves how they lie (Exif 2.32, tag 274).

OpenCV does it for JPEG, TIFF and opaque PNG. Files that may be transparent are decoded
unchanged, and that means unturned.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import png, riff, tiff

UPRIGHT: Final = 1
_EXIF_MARK: Final = b"Exif\0\0"
"""Some writers put the mark of the JPEG segment before the data in other files, too."""
_BOTH: Final = (slice(None, None, -1), slice(None, None, -1))


def stored_orientation(data: bytes) -> int:
    """How the first pixel row of a PNG or WebP file lies in the picture.

    Args:
        data: Any image file.

    Returns:
        1 to 8 as Exif numbers them; 1, upright, where the file does not say.
    """
    exif = None
    if data.startswith(png.SIGNATURE):
        exif = png.content(data, b"eXIf")
    elif riff.is_webp(data) and (place := riff.span(data, b"EXIF")):
        exif = data[slice(*place)]
    return _orientation_of(exif.removeprefix(_EXIF_MARK)) if exif else UPRIGHT


def turn_upright(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Undo an orientation.

    Args:
        pixels: ``[h, w]`` or ``[h, w, channels]``.
        orientation: 1 to 8.

    Returns:
        The picture as it is to be seen; ``pixels`` itself where that is the same.
    """
    if orientation == UPRIGHT:
        return pixels
    turned = {
        2: pixels[:, ::-1],
        3: pixels[_BOTH],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: pixels[::-1].swapaxes(0, 1),
        7: pixels[_BOTH].swapaxes(0, 1),
        8: pixels[:, ::-1].swapaxes(0, 1),
    }[orientation]
    return np.ascontiguousarray(turned)


def _orientation_of(exif: bytes) -> int:
    if not exif.startswith(tiff.SIGNATURES):
        return UPRIGHT
    try:
        values = tiff.fields(exif) or {}
    except (struct.error, OverflowError):
        return UPRIGHT
    found = values.get(tiff.ORIENTATION, UPRIGHT)
    return found if 1 <= found <= 8 else UPRIGHT
