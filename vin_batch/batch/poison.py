"""What machines and people are told about cards that cost a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vin_batch.batch.ledger import Tally
from vin_batch.batch.receipts import Stage

_STAGES: Final = {Stage.READ: "read", Stage.SECOND_LOOK: "second look"}


def printable(name: str) -> str:
    """A name as one line of a terminal or a log can bear it: no control characters."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in name
    )


def poison_of(tally: Tally) -> dict[str, Any]:
    """Numbers and the first few cards, as plain JSON values; keys are stable."""
    return {
        "cards": tally.blamed,
        "given_up": tally.given_up,
        "examples": [
            {"card_id": blame.card_id, "stage": blame.stage.value, "cause": blame.cause}
            for blame in tally.examples
        ],
    }


def describe_poison(poison: Mapping[str, Any]) -> list[str]:
    """The same in words, a line each; none where no card cost a worker.

    Args:
        poison: As ``poison_of`` gives it.
    """
    lines = []
    if poison["cards"]:
        named = [
            f"{printable(each['card_id'])} ({_STAGES[Stage(each['stage'])]}: {each['cause']})"
            for each in poison["examples"]
        ]
        more = ", …" * (poison["cards"] > len(named))
        lines.append(f"cards that cost a worker: {poison['cards']:,}: {', '.join(named)}{more}")
    if poison["given_up"]:
        lines.append(
            f"cards given up unread, because their shards cost too many workers: "
            f"{poison['given_up']:,}"
        )
    return lines
