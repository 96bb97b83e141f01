"""The check digit of 49 CFR 565.15(c)(4); GB 16735 annex A has the same arithmetic.

Every character has a value, every position a weight; the weighted sum modulo 11 is the
remainder, written at position 9 as a digit, or X for ten. The weight of position 9 itself
is zero. Whether a maker *uses* the rule is another question, see ``priors``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.vin.alphabet import ALPHABET, INDEX, VIN_LENGTH, encode

CHECK_POSITION: Final = 9
"""Position of the check digit, 1-based."""
CHECK_SYMBOLS: Final = "0123456789X"
"""How the remainders 0 to 10 are written."""
WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
"""Weight of every position, table IV of 49 CFR 565.15."""
LETTER_VALUES: Final = {
    **dict(zip("ABCDEFGH", range(1, 9), strict=True)),
    **dict(zip("JKLMN", range(1, 6), strict=True)),
    **{"P": 7, "R": 9},
    **dict(zip("STUVWXYZ", range(2, 10), strict=True)),
}
"""Value of every letter, table III of 49 CFR 565.15; a digit's value is itself."""


@dataclass(frozen=True, slots=True)
class CheckScheme:
    """A weighted-sum check over strings of one length.

    The decoder is written against this record, so that its tests can compare it with
    brute force on short strings over small alphabets.

    Attributes:
        values: ``int64[alphabet]``, value of every class.
        weights: ``int64[length]``, weight of every position, zero at the check position.
        modulus: The sum is taken modulo this number.
        symbols: ``int64[modulus]``, class that writes each remainder.
        position: 0-based check position.
    """

    values: NDArray[np.int64]
    weights: NDArray[np.int64]
    modulus: int
    symbols: NDArray[np.int64]
    position: int

    @property
    def length(self) -> int:
        """Number of positions."""
        return len(self.weights)

    @property
    def size(self) -> int:
        """Number of classes."""
        return len(self.values)

    def residues(self, strings: NDArray[np.integer]) -> NDArray[np.int64]:
        """Weighted sums modulo ``modulus``.

        Args:
            strings: ``int[..., length]`` of class indices.

        Returns:
            ``int64[...]``.
        """
        return np.asarray((self.values[strings] * self.weights).sum(axis=-1) % self.modulus)


VIN_SCHEME: Final = CheckScheme(
    values=np.array([LETTER_VALUES.get(c) or int(c) for c in ALPHABET], dtype=np.int64),
    weights=np.array(WEIGHTS, dtype=np.int64),
    modulus=len(CHECK_SYMBOLS),
    symbols=np.array([INDEX[c] for c in CHECK_SYMBOLS], dtype=np.int64),
    position=CHECK_POSITION - 1,
)


def residues(vins: NDArray[np.integer]) -> NDArray[np.int64]:
    """Remainders that the check digits of VINs must write.

    Args:
        vins: ``int8[n, 17]`` of class indices.

    Returns:
        ``int64[n]``, 0 to 10.
    """
    return VIN_SCHEME.residues(vins)


def check_digit(vin: str) -> str:
    """Compute the symbol that belongs at position 9.

    Args:
        vin: 17 characters of the VIN alphabet; the one at position 9 does not matter.

    Raises:
        ValueError: It is not 17 characters of the alphabet.
    """
    if len(vin) != VIN_LENGTH or any(character not in INDEX for character in vin):
        raise ValueError(f"{vin!r} is not {VIN_LENGTH} characters of the VIN alphabet")
    return CHECK_SYMBOLS[int(residues(encode(vin)))]


def is_valid(vin: str) -> bool:
    """True where ``vin`` is well formed and position 9 holds its check digit."""
    try:
        return vin[CHECK_POSITION - 1 : CHECK_POSITION] == check_digit(vin)
    except ValueError:
        return False
