"""The 33 characters of a VIN and their order in every array of this package.

ISO 3779 and 49 CFR 565 allow the ten digits and the capital letters without I, O and Q.
The order below is the class order of every model and of every ``[..., 33]`` array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # `status` answers in half the time without NumPy.
    import numpy as np
    from numpy.typing import NDArray

ALPHABET: Final = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"
VIN_LENGTH: Final = 17
_CHARACTERS: Final = ALPHABET.encode("ascii").ljust(256, b"?")
INDEX: Final = {character: index for index, character in enumerate(ALPHABET)}


def encode(vin: str) -> NDArray[np.int8]:
    """Turn a VIN into class indices.

    Args:
        vin: Characters of ``ALPHABET``.

    Returns:
        ``int8[len(vin)]`` of positions in ``ALPHABET``.

    Raises:
        KeyError: A character is outside the alphabet.
    """
    import numpy as np  # noqa: PLC0415

    return np.array([INDEX[character] for character in vin], dtype=np.int8)


def decode(indices: NDArray[np.integer]) -> str:
    """Turn class indices ``[17]`` back into text."""
    return "".join(ALPHABET[int(index)] for index in indices)


def decode_all(indices: NDArray[np.integer]) -> list[str]:
    """Turn class indices ``[..., 17]`` back into texts, in order."""
    length = indices.shape[-1]
    text = indices.astype("uint8").tobytes().translate(_CHARACTERS).decode("ascii")
    return [text[start : start + length] for start in range(0, len(text), length)]
