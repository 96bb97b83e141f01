"""Log lines about cards: which shard and which card, in fields of their own."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from vin_batch.records import Reading, Status

logger = logging.getLogger(__name__)

MAX_FAILED: Final = 5
"""Failed cards of a shard that are named; all of them are in the readings."""


def tell_failed(shard: int, readings: Iterable[Reading]) -> None:
    """Name the first failed cards of a shard, and what their boxes suffer from."""
    failed = [reading for reading in readings if reading.status is Status.FAILED]
    for reading in failed[:MAX_FAILED]:
        issues = Counter(char.issue for char in reading.chars if char.issue)
        causes = ", ".join(f"{count} boxes {issue}" for issue, count in issues.most_common())
        where = {"shard": shard, "card_id": reading.card_id}
        logger.warning("card failed: %s", causes or "no cause known", extra=where)
    if len(failed) > MAX_FAILED:
        more = len(failed) - MAX_FAILED
        logger.warning("%d more cards of this shard failed", more, extra={"shard": shard})


def tell_errors(shard: int, errors: Iterable[str], card_ids: Sequence[str], level: int) -> None:
    """Log what went wrong with cards in a worker.

    Args:
        shard: Number in the plan.
        errors: Texts that begin with a card's id and a colon.
        card_ids: Cards of the shard.
        level: Severity.
    """
    for error in errors:
        mine = [card_id for card_id in card_ids if error.startswith(f"{card_id}: ")]
        card_id = max(mine, key=len, default="")
        fields = {"shard": shard, **({"card_id": card_id} if card_id else {})}
        logger.log(level, "card %s", error, extra=fields)
