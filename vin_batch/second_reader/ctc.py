"""How probable each single character is, given the frames of a CTC recogniser. Pure.

A recogniser trained with connectionist temporal classification (Graves et al., 2006) gives
for each frame the probabilities of all symbols and of a blank. The text "A" is said by every
path of blanks, then one or more A, then blanks; the forward recursion sums over all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TINY = 1e-12
"""Smallest probability of a symbol in a frame, so that logarithms stay finite."""


def single_character_scores(
    blank: NDArray[np.float32], symbols: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Log-probability that the whole text is one given character.

    Args:
        blank: ``float32[n, frames]``, probability of the blank.
        symbols: ``float32[n, frames, k]``, probabilities of the characters asked for.

    Returns:
        ``float64[n, k]``, natural logarithms.
    """
    log_blank = np.log(np.asarray(blank, np.float64) + TINY)
    log_symbol = np.log(np.asarray(symbols, np.float64) + TINY)
    before = log_blank[:, 0, None]
    inside = log_symbol[:, 0]
    after = np.full_like(inside, -np.inf)
    for frame in range(1, log_symbol.shape[1]):
        silence = log_blank[:, frame, None]
        after = np.logaddexp(after, inside) + silence
        inside = np.logaddexp(inside, before) + log_symbol[:, frame]
        before = before + silence
    return np.asarray(np.logaddexp(inside, after))
