"""How people write the ten digits; the language is that of ``form``."""

from __future__ import annotations

from typing import Final

from vin_batch.training.strokes.form import Form, form

_FIVE: Final = "6,45 @28,70,30,30,-130,140"

DIGITS: Final[dict[str, tuple[Form, ...]]] = {
    "0": (
        form("oval", "@32,50,32,50,-80,-445", 3),
        form("clockwise", "@32,50,31,50,-110,250", 1),
        form("narrow", "@23,50,23,50,-75,-440", 1.5),
        form("round", "@42,50,42,50,-85,-450", 1),
        form("closed inside", "@32,50,32,50,-50,-425 26,10", 0.7),
        form("slashed", "@34,50,34,50,-80,-445; 8,92 60,8", 0.8),
        form("slashed across", "@32,50,32,50,-80,-445; -8,108 72,-8", 0.7),
        form("slashed narrow", "@28,50,27,50,-70,-435; -6,90 62,10", 0.4),
    ),
    "1": (
        form("long upstroke", "0,45 38,0 38,100", 3, "european"),
        form("longer upstroke", "0,62 42,0 42,100", 2, "european"),
        form("upstroke from below", "0,74 46,0 46,100", 0.5, "european"),
        form("curved upstroke", "0,48 ~24,24 40,0 40,100", 1, "european"),
        form("upstroke and foot", "0,42 34,0 34,100; 8,100 60,100", 0.6, "european"),
        form("flag", "0,20 18,0 18,100", 2),
        form("flag and foot", "0,24 24,0 24,100; 0,100 48,100", 0.9),
        form("bar", "0,0 0,100", 3, "american"),
    ),
    "2": (
        form("plain", "@30,26,28,26,-170,30 0,100 62,100", 3),
        form("angular", "0,20 ~26,0 ~52,24 0,100 60,100", 1),
        form("swan", "@30,27,27,27,-165,20 ~32,66 0,99 62,97", 1.5),
        form("looped", "@30,27,27,27,-165,20 ~36,66 ~10,97 ~1,86 ~14,80 ~40,95 68,90", 1.5),
        form("wavy foot", "@30,26,28,26,-170,30 0,99 ~22,92 ~44,99 68,92", 1),
        form("hooked", "8,34 @28,24,26,24,-180,25 0,100 60,100", 0.7),
    ),
    "3": (
        form("round", "@28,25,26,25,-150,100 @26,74,31,26,-95,150", 3),
        form("pulled in", "0,12 ~26,0 ~50,24 ~30,45 20,49 ~34,51 ~58,75 ~28,100 0,88", 1.5),
        form("flat top", "0,0 54,0 22,42 @26,71,31,29,-98,150", 1.5, "european"),
        form("open bow", "2,8 ~30,0 ~50,24 26,48 ~60,72 ~30,100 -2,92", 1),
    ),
    "4": (
        form("closed", "44,100 44,0 0,68 62,68", 2),
        form("closed, stem apart", "40,0 0,66 64,66; 44,0 44,100", 1),
        form("open", "26,0 0,62 64,62; 46,28 46,100", 2, "european"),
        form("open, upright", "2,0 0,52 54,52; 52,0 52,100", 1.2, "european"),
        form("open, leaning", "14,0 0,56 62,54; 50,14 44,100", 1.5, "european"),
        form("open, crossing", "22,0 0,60 70,58; 50,34 46,100", 1, "european"),
    ),
    "5": (
        form("separate cap", f"12,2 {_FIVE}; 12,2 58,2", 3),
        form("one stroke", f"56,0 12,0 {_FIVE}", 2),
        form("short cap", f"12,2 {_FIVE}; 14,2 40,0", 0.8),
        form("slanted cap", f"12,4 {_FIVE}; 14,4 60,-8", 0.9),
        form("cap apart", f"12,6 {_FIVE}; 20,-2 62,-5", 0.7),
        form("long neck", "12,0 8,52 @27,76,27,24,-138,145; 12,0 56,0", 1),
    ),
    "6": (
        form("curled", "48,6 ~30,4 ~6,40 @28,70,28,30,180,-165", 2),
        form("curved stem", "38,0 ~10,38 @28,71,28,29,180,-165", 3),
        form("straight stem", "36,0 4,56 @28,73,27,27,187,-165", 1.8, "european"),
        form("upright stem", "6,0 @28,72,27,28,180,-165", 0.5, "european"),
        form("curled in", "40,0 ~8,40 ~8,84 ~30,100 ~54,76 ~34,54 10,68", 1),
    ),
    "7": (
        form("crossed", "0,0 56,0 20,100; 8,50 56,50", 3, "european"),
        form("crossed, hooked", "0,16 2,0 58,0 22,100; 10,50 56,48", 2, "european"),
        form("crossed, wavy", "0,10 ~14,0 ~34,6 58,0 22,100; 10,52 56,48", 1, "european"),
        form("crossed, curved", "0,0 56,0 ~30,46 22,100; 8,52 52,52", 1, "european"),
        form("hooked", "0,20 2,0 56,0 20,100", 1),
        form("plain", "0,0 56,0 18,100", 2.5, "american"),
        form("curved", "0,0 56,0 ~30,46 22,100", 1, "american"),
    ),
    "8": (
        form("one stroke", "48,12 ~28,0 ~6,22 ~28,47 ~54,74 ~28,100 ~2,74 ~28,47 ~50,22 42,5", 3),
        form("two rings", "@28,24,22,24,-80,-450; @28,74,28,26,-80,-450", 1.5),
        form("equal rings", "@26,25,24,25,90,-275; @26,75,26,25,-90,-455", 0.8),
        form("from the waist", "28,47 ~6,24 ~28,0 ~50,24 ~28,47 ~0,75 ~28,100 ~56,75 28,46", 1),
        form("open top", "54,8 ~28,0 ~6,24 ~30,48 ~56,76 ~28,100 ~2,76 ~28,46 58,4", 0.6),
    ),
    "9": (
        form("straight stem", "@26,28,26,28,-30,-372 51,22 50,100", 3),
        form("leaning stem", "@27,28,26,28,-30,-372 52,22 30,100", 1),
        form("bent stem", "@26,28,26,28,-30,-372 51,22 ~51,62 ~32,99 2,90", 2, "european"),
        form("curved stem", "@27,28,26,28,-30,-372 52,22 ~46,64 16,100", 1.5),
        form("ring and stem", "@26,28,25,28,-60,-420; 52,2 52,100", 0.7),
    ),
}
