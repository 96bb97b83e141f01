"""Text cells that no spreadsheet runs, and that every program can turn back.

A card's id is a path that somebody else chose. Opened in a spreadsheet it must stay text:

- A cell that begins like a formula gets an apostrophe in front (``defuse``), and so does one
  that begins with an apostrophe. A program drops one leading apostrophe from every text cell
  (``restore``) and has the original back, exactly.
- An id that holds a semicolon or a tab is quoted (``CardRows``): where those separate cells,
  as in Russian and German settings, the rest of the id would else become a cell of its own.

See OWASP, "CSV Injection", and CWE-1236.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

GUARD: Final = "'"
_RUN_OR_MISREAD: Final = re.compile(
    # Programs may pass over blanks and characters without width to find a formula.
    r"[\s\x00-\x1f\x7f\xad\u200b-\u200f\u2060\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n\v\f']"
)
"""What a spreadsheet runs or misreads at the start of a cell; the last four are the wide signs
of East Asian typing, which some settings take for the narrow ones."""
_OTHER_SEPARATORS: Final = re.compile("[;\t]")


def defuse(cell: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run; see ``restore``."""
    return GUARD + cell if _RUN_OR_MISREAD.match(cell) else cell


def restore(cell: str) -> str:
    """Undo ``defuse``: what a loader does with every text cell."""
    return cell.removeprefix(GUARD)


class CardRows:
    """Writes rows whose first cell is a card's id: RFC 4180, quotes only where needed.

    Args:
        text: Open with ``newline=""``.
    """

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._writer = csv.writer(text)

    def writerow(self, cells: Sequence[str]) -> None:
        """Write one row of defused cells."""
        if _OTHER_SEPARATORS.search(cells[0]):
            self._text.write('"' + cells[0].replace('"', '""') + '",')
            cells = cells[1:]
        self._writer.writerow(cells)

    def writerows(self, rows: Iterable[Sequence[str]]) -> None:
        """Write many."""
        for row in rows:
            self.writerow(row)
