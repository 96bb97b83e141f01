"""Cyrillic capitals that are no VIN character, as people print them.

Left out are the letters that a person reads as a VIN character when nothing tells them
otherwise: А В Е К М Н Р С Т Х, О and З Ч Ь У (0, 3, 4, 6, Y).
"""

from __future__ import annotations

from typing import Final

from vin_batch.training.strokes.form import Form, form

CYRILLIC: Final[dict[str, tuple[Form, ...]]] = {
    "Б": (form("plain", "56,0 4,0 4,100 @28,74,28,26,90,-90 4,48"),),
    "Г": (form("plain", "0,100 0,0 56,0"),),
    "Д": (
        form("legs", "10,80 24,0 58,0 58,80; -6,104 -6,80 72,80 72,104"),
        form("pointed", "8,80 36,0 64,80; -6,104 -6,80 78,80 78,104"),
    ),
    "Ж": (
        form("star", "0,0 84,100; 84,0 0,100; 42,-2 42,102"),
        form("arms", "42,0 42,100; 0,0 34,48 0,100; 84,0 50,48 84,100; 34,48 50,48"),
    ),
    "И": (form("plain", "0,0 0,100 60,0 60,100"),),
    "Й": (form("plain", "0,0 0,100 60,0 60,100; 14,-26 ~30,-14 46,-26"),),
    "Л": (
        form("roofed", "-2,100 ~14,84 22,0 60,0 60,100"),
        form("pointed", "0,100 34,0 68,100"),
    ),
    "П": (form("plain", "0,100 0,0 60,0 60,100"),),
    "Ф": (form("plain", "40,-6 40,106; @40,46,38,28,-90,-455"),),
    "Ц": (form("plain", "0,0 0,88 72,88 72,112; 56,0 56,88"),),
    "Ш": (form("plain", "0,0 0,100 84,100 84,0; 42,0 42,100"),),
    "Щ": (form("plain", "0,0 0,88 98,88 98,114; 42,0 42,88; 82,0 82,88"),),
    "Ъ": (form("plain", "-8,16 -8,0 20,0 20,100 @42,76,24,24,90,-90 20,52"),),
    "Ы": (form("plain", "0,0 0,100 @20,76,22,24,90,-90 0,52; 66,0 66,100"),),
    "Э": (form("plain", "@28,50,36,50,-140,140; 16,50 62,50"),),
    "Ю": (form("plain", "0,0 0,100; 0,50 28,50; @56,50,28,50,180,-185"),),
    "Я": (form("plain", "56,0 56,100; 56,0 @30,26,26,26,-90,-270 56,52; 42,52 0,100"),),
}
