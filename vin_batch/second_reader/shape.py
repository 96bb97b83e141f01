"""Size of what the second reader sees; light, so that plain commands need no OpenCV."""

from __future__ import annotations

from typing import Final

HEIGHT: Final = 48
"""Pixels; the height of a line of text that the PP-OCR recognisers were trained with."""
WIDTH: Final = 96
"""Pixels; a box crop at that height is 38 to 60 wide. With 64 the recogniser
is half as fast again, and reads 91.5 % of the characters instead of 93.4 %."""
