"""A correction, who signed it, and which of several decides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from vin_batch.corrections.facts import VinFacts


@dataclass(frozen=True, slots=True)
class Correction:
    """What one person said about one card.

    Attributes:
        card_id: The card.
        vin: The VIN on the card, None where the person cannot read it either.
        reviewer: Who signed.
        signed_at: When, UTC.
        note: Free text, None where there is none.
        facts: What follows from ``vin``.
        imported_at: When the file was imported, UTC.
        source_name: Name of the imported file.
        source_sha256: Its digest, 64 hex digits.
        line: Where in that file the row begins, 1-based.
    """

    card_id: str
    vin: str | None
    reviewer: str
    signed_at: datetime
    note: str | None
    facts: VinFacts
    imported_at: datetime
    source_name: str
    source_sha256: str
    line: int

    @property
    def correction_id(self) -> str:
        """Digest of what was said, by whom and when, 32 hex digits.

        The same statement in two files is one correction.
        """
        said = [self.card_id, self.vin, self.reviewer, self.signed_at.isoformat(), self.note]
        text = json.dumps(said, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]

    @property
    def order(self) -> tuple[datetime, str, str]:
        """The correction with the largest order decides: the last one that was signed.

        Two that were signed at the same instant are ordered by reviewer, then by digest, so
        that the order of imports never matters.
        """
        return self.signed_at, self.reviewer, self.correction_id


@dataclass(frozen=True, slots=True)
class Conflict:
    """Several people, or one at several times, said different things about a card.

    Attributes:
        card_id: The card.
        statements: Its corrections that disagree, last signed first; the first one decides.
    """

    card_id: str
    statements: tuple[Correction, ...]


def deciding(corrections: Iterable[Correction]) -> dict[str, Correction]:
    """The correction that decides, by card."""
    chosen: dict[str, Correction] = {}
    for correction in corrections:
        rival = chosen.get(correction.card_id)
        if rival is None or correction.order > rival.order:
            chosen[correction.card_id] = correction
    return chosen


def conflicts(corrections: Iterable[Correction]) -> list[Conflict]:
    """Cards about which the corrections disagree, in order of their ids."""
    by_card: dict[str, list[Correction]] = {}
    for correction in corrections:
        by_card.setdefault(correction.card_id, []).append(correction)
    return [
        Conflict(card_id, tuple(sorted(said, key=lambda c: c.order, reverse=True)))
        for card_id, said in sorted(by_card.items())
        if len({correction.vin for correction in said}) > 1
    ]
