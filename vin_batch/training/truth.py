"""Truth files: which VIN is on which card, as people keyed it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from vin_batch.errors import UsageError
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH

NAMED: Final = 5
"""Lines or cards that an error message names."""
_ADVICE: Final = (
    "It must be comma-separated UTF-8 with the columns card_id and vin: the card's folder "
    "below the archive root, and its VIN, empty where the card holds none."
)


def load_truth(path: Path) -> dict[str, str]:
    """Read a CSV with the columns ``card_id`` and ``vin``.

    Returns:
        VIN by card id, in capitals; empty where the card holds none.

    Raises:
        UsageError: The file cannot be read, lacks a column, names a card twice, or holds
            something that is not a VIN.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            lines = [(rows.line_num, row["card_id"], row["vin"].strip().upper()) for row in rows]
    except FileNotFoundError:
        raise UsageError(f"there is no truth file {path}", _ADVICE) from None
    except (OSError, KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a truth file: {error!r}", _ADVICE) from error
    _check_cards(path, lines)
    _check_vins(path, lines)
    return {card_id: vin for _, card_id, vin in lines}


def check_cards(truth: Mapping[str, str], card_ids: Iterable[str], *, partial: bool) -> None:
    """Refuse a truth that does not belong to an archive.

    Args:
        truth: VIN by card id.
        card_ids: All cards of the archive.
        partial: Whether the archive may have cards that the truth does not name.

    Raises:
        UsageError: The truth names cards that are not there, or misses some.
    """
    present = set(card_ids)
    if unknown := [card_id for card_id in truth if card_id not in present]:
        raise UsageError(
            f"the truth names {len(unknown)} cards that the archive does not have: "
            + _some(unknown),
            "card_id is the card's folder below the archive root, for example "
            "1987/box_012/card_000345. Correct it, or remove these lines.",
        )
    missing = sorted(present - set(truth))
    if missing and not partial:
        raise UsageError(
            f"{len(missing)} of {len(present)} cards of the archive have no line in the truth: "
            + _some(missing),
            "Add them (vin stays empty where the card holds none), or leave them out of the "
            "comparison with --partial.",
        )


def _check_cards(path: Path, lines: list[tuple[int, str, str]]) -> None:
    seen: dict[str, int] = {}
    for number, card_id, _ in lines:
        if not card_id.strip():
            raise UsageError(f"{path}, line {number}: card_id is empty", _ADVICE)
        if card_id in seen:
            raise UsageError(
                f"{path}, line {number}: card {card_id} is there twice, first in line "
                f"{seen[card_id]}",
                "Keep one line for each card.",
            )
        seen[card_id] = number


def _check_vins(path: Path, lines: list[tuple[int, str, str]]) -> None:
    bad = [(number, vin, why) for number, _, vin in lines if (why := _not_a_vin(vin))]
    if bad:
        named = "; ".join(f"line {number}: {vin!r} {why}" for number, vin, why in bad[:NAMED])
        raise UsageError(
            f"{path} holds {len(bad)} values that are not VINs: {named}",
            f"A VIN has {VIN_LENGTH} characters of {ALPHABET}: no I, O, Q, no spaces and no "
            "Cyrillic letters. Leave the cell empty where the card holds none.",
        )


def _not_a_vin(vin: str) -> str:
    """What is wrong with a VIN; empty where nothing is, or where there is none."""
    if not vin:
        return ""
    if strange := sorted(set(vin) - set(ALPHABET)):
        return f"has {' '.join(map(repr, strange))}"
    return "" if len(vin) == VIN_LENGTH else f"has {len(vin)} characters"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
