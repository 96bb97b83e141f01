"""Lines of the character job, among them the formats of the earlier scripts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from vin_batch.batch.characters import Character
from vin_batch.export.spreadsheet import defuse

CSV_HEADER: Final = "path,char,ascii,prob,second,second_prob,issue\n"


_LINE_ENDS: Final = {ord("\n"): "\\n", ord("\r"): "\\r"}
"""In formats without quoting a line end in a name would begin a line that nobody read."""


def ascii_line(character: Character) -> str:
    """``67, /path/letter_C.jpg``: the code of the character, as the earlier scripts did."""
    return f"{ord(character.char)}, {character.path.translate(_LINE_ENDS)}\n"


def ascii_char_line(character: Character) -> str:
    """``67, C, /path/letter_C.jpg``."""
    return f"{ord(character.char)}, {character.char}, {character.path.translate(_LINE_ENDS)}\n"


def csv_line(character: Character) -> str:
    """One row of RFC 4180, columns as ``CSV_HEADER``; a path like a formula is defused."""
    buffer = io.StringIO()
    # With this line end the module quotes names that hold a carriage return, too.
    csv.writer(buffer, lineterminator="\r\n").writerow(
        [
            defuse(character.path),
            character.char,
            ord(character.char),
            character.prob,
            character.second,
            character.second_prob,
            character.issue,
        ]
    )
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def jsonl_line(character: Character) -> str:
    r"""One JSON object; bytes of a name that are not UTF-8 become ``\udc80`` to ``\udcff``."""
    text = json.dumps(asdict(character), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n"


FORMATS: Final[dict[str, Callable[[Character], str]]] = {
    "ascii": ascii_line,
    "ascii-char": ascii_char_line,
    "csv": csv_line,
    "jsonl": jsonl_line,
}
