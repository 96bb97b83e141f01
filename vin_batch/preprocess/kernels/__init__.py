"""The stages between decoding and the 28x28 image, compiled by Numba.

Every kernel has the name of the reference function whose values it gives, bit for bit; what the
steps mean is told there. They work on working images, whose sides are 6 to 64 pixels: that, and
loops that run over array shapes only, is what keeps every index inside, for nothing checks them
at run time. Importing these modules imports Numba; ``engine`` decides whether to.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 64
"""Longest side of a working image, in pixels; a row of its marks is one 64-bit word."""
