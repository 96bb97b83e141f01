"""Cutting the shards of a run into slices, for several processes on one run directory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from vin_batch.errors import UsageError

MAX_SLICES: Final = 10_000
"""More than any scheduler starts for one job."""

_FORM: Final = re.compile(r"([1-9][0-9]{0,4})/([1-9][0-9]{0,4})")


@dataclass(frozen=True, slots=True)
class Slice:
    """One of several parts of a run: every ``of``-th shard.

    Neighbouring shards go to different slices, so that a stretch of the archive that is slow
    or large is shared by all of them.

    Attributes:
        number: Which one, from 1.
        of: How many there are.
    """

    number: int
    of: int

    def holds(self, shard: int) -> bool:
        """Tell whether a shard of the plan belongs to the slice."""
        return shard % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def parse_slice(text: str) -> Slice:
    """Read ``2/8``: the second of eight slices.

    Raises:
        UsageError: It is none.
    """
    match = _FORM.fullmatch(text)
    part = Slice(int(match[1]), int(match[2])) if match else None
    if part is None or not part.number <= part.of <= MAX_SLICES:
        raise UsageError(
            f"slice {text!r} is none",
            f"Slices are 1/N to N/N, for example 2/8; N is at most {MAX_SLICES}.",
        )
    return part
