"""Tonight's cards: the walk is compared with the catalogue, and both remember the result."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from vin_batch.archive import ArchiveRoot, WalkTotals
from vin_batch.batch.atomic import disk_errors
from vin_batch.batch.plan import PLACE_COLUMNS, PLAN_SCHEMA, place_values
from vin_batch.errors import ArchiveError
from vin_batch.nightly.catalogue import (
    CATALOGUE_SCHEMA,
    ROWS,
    Catalogue,
    catalogue_writer,
)
from vin_batch.nightly.looking import Settling, find
from vin_batch.nightly.nightdir import NightDir
from vin_batch.nightly.selection import SELECTED, Fate, Judged, KnownCard, Rules, judge, quotas
from vin_batch.records import CardRef, Place

logger = logging.getLogger(__name__)

MAX_EXAMPLES: Final = 20
"""Cards that a night's summary names; the rest are counted."""
FEW_CARDS: Final = 20
"""So many may disappear in one night without a question, however small the archive is."""
_SELECTION_SCHEMA: Final = pa.schema(
    [
        pa.field("card_id", pa.string(), nullable=False),
        pa.field("path", pa.binary()),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("fate", pa.string(), nullable=False),
        *(PLAN_SCHEMA.field(name) for name in PLACE_COLUMNS),
    ]
)
_KNOWN_COLUMNS: Final = (
    "card_id", "path", "digest", "stamps", "contents", "run", "tries", "missing_since",
)  # fmt: skip


@dataclass(slots=True)
class Findings:
    """What a night found before it read anything.

    Attributes:
        fates: Cards by what becomes of them.
        touched: Known cards with the same bytes under new times.
        returned: Known cards that were missing and are there again.
        newly_missing: Missing cards that were there the night before.
        waiting_examples: First cards that wait.
        missing_examples: First cards that are newly missing.
        totals: What the walk passed by.
    """

    fates: Counter[Fate] = field(default_factory=Counter)
    touched: int = 0
    returned: int = 0
    newly_missing: int = 0
    waiting_examples: list[str] = field(default_factory=list)
    missing_examples: list[str] = field(default_factory=list)
    totals: WalkTotals = field(default_factory=WalkTotals)

    @property
    def selected(self) -> int:
        """Cards that there is a reason to read."""
        return sum(self.fates[fate] for fate in SELECTED)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a night refuses.

    Attributes:
        missing_share: Most of the known cards that may disappear in one night, 0 to 1.
        allow_missing: Whether the operator said that they are really gone.
    """

    missing_share: float
    allow_missing: bool = False


def choose(
    nights: NightDir,
    catalogue: Catalogue,
    root: ArchiveRoot,
    rules: Rules,
    settling: Settling,
    *,
    limits: Limits,
    tonight: str,
    check: Callable[[], None],
) -> Findings:
    """Compare the archive with the catalogue.

    The cards that there is a reason to read are left in ``nights.selection``; what was
    learned about known cards goes into the catalogue.

    Args:
        nights: The directory of nights.
        catalogue: What is known.
        root: The archive.
        rules: What is read again.
        settling: When a card counts as complete.
        limits: What is refused.
        tonight: Start of the night, ISO 8601.
        check: Called often; may raise to stop.

    Returns:
        What was found.

    Raises:
        ArchiveError: The archive holds no card, or too many cards disappeared: it may not
            be mounted. Nothing was changed.
        DiskError: The system refused to write.
    """
    findings = Findings()
    present = 0
    there = set(nights.run_names())
    runs = {name: run for name, run in catalogue.runs.items() if name in there}
    walked = find(root, findings.totals, settling, check)
    with (
        catalogue_writer(nights.catalogue, runs) as write,
        _selection_writer(nights.selection) as select,
    ):
        for judged in judge(walked, _known_cards(catalogue, write), rules):
            present += judged.was_present
            if judged.fate in SELECTED:
                select(judged)
            _note(findings, judged, tonight)
        _refuse_emptiness(findings, catalogue.cards)
        _refuse_losses(findings, present, limits)
    return findings


def chosen(
    nights: NightDir, findings: Findings, most: int | None
) -> tuple[dict[Fate, int], Iterator[CardRef]]:
    """Tonight's cards, as many as may be read.

    Args:
        nights: The directory of nights.
        findings: What ``choose`` found.
        most: Most cards of a night; None for all.

    Returns:
        How many are read for which reason, and the cards in the order of the walk.
    """
    shares = quotas(findings.fates.__getitem__, most)
    return shares, _selected(nights.selection, dict(shares))


def _selected(path: Path, left: dict[Fate, int]) -> Iterator[CardRef]:
    with disk_errors("read", path), pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            columns = file.read_row_group(group).to_pydict()
            for card_id, raw, digest, fate, pack, *rest in zip(*columns.values(), strict=True):
                if left[Fate(fate)]:
                    left[Fate(fate)] -= 1
                    place = None if pack is None else Place(pack, *rest)
                    yield CardRef(card_id, raw, digest, place)


def _note(findings: Findings, judged: Judged, tonight: str) -> None:
    fate, found, known = judged.fate, judged.found, judged.known
    findings.fates[fate] += 1
    findings.touched += judged.touched
    if fate is Fate.WAITING and found is not None:
        _add_example(findings.waiting_examples, found.card_id)
    if fate is Fate.MISSING and known is not None and judged.was_present:
        findings.newly_missing += 1
        _add_example(findings.missing_examples, known.card_id)
        known.note_missing(tonight)
    findings.returned += judged.returned


def _add_example(examples: list[str], card_id: str) -> None:
    if len(examples) < MAX_EXAMPLES:
        examples.append(card_id)


def _refuse_emptiness(findings: Findings, known: int) -> None:
    if findings.totals.cards:
        return
    lost = findings.totals.unreadable_folders
    raise ArchiveError(
        "the archive holds no card"
        + (f", and {known} cards of it were read before" if known else "")
        + (f"; {lost} folders could not be listed" if lost else ""),
        "Check that the archive is mounted. A card is a folder that holds image files.",
    )


def _refuse_losses(findings: Findings, present: int, limits: Limits) -> None:
    gone, failing = findings.newly_missing, findings.totals.device_errors
    if gone and failing and not limits.allow_missing:
        raise ArchiveError(
            f"{failing} folders could not be listed because the disk or the network failed, and "
            f"{gone} known cards were not found ({', '.join(findings.missing_examples[:3])}): "
            "they may be there",
            "Repair the disk or the mount; the same command then goes on. Nothing was changed.",
        )
    most = max(limits.missing_share * present, FEW_CARDS)
    if limits.allow_missing or gone <= most:
        return
    raise ArchiveError(
        f"{gone} of {present} known cards disappeared since the last night "
        f"({', '.join(findings.missing_examples[:3])}, …): more than max_missing_share allows",
        "Check that every part of the archive is mounted. If the cards are really gone, give "
        "the same command once with --allow-missing; their readings stay.",
    )


def _known_cards(catalogue: Catalogue, write: Callable[[pa.Table], None]) -> Iterator[KnownCard]:
    """Cards of the catalogue; each table is written on when its cards were looked at."""
    for table in catalogue.tables():
        columns = [table.column(name).to_pylist() for name in _KNOWN_COLUMNS]
        cards = [KnownCard(*values) for values in zip(*columns, strict=True)]
        yield from cards
        write(_with_notes(table, cards) if any(card.is_dirty for card in cards) else table)


def _with_notes(table: pa.Table, cards: list[KnownCard]) -> pa.Table:
    for name in ("stamps", "missing_since"):
        column = CATALOGUE_SCHEMA.field(name)
        values = pa.array([getattr(card, name) for card in cards], column.type)
        table = table.set_column(table.schema.get_field_index(name), column, values)
    return table


class _SelectionFile:
    """Writes selected cards, one row group in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = pq.ParquetWriter(path, _SELECTION_SCHEMA, compression="zstd")
        self._rows: list[tuple[Any, ...]] = []

    def __enter__(self) -> Callable[[Judged], None]:
        return self._add

    def __exit__(self, *_: object) -> None:
        with disk_errors("write", self._path):
            self._flush()
            self._writer.close()

    def _add(self, judged: Judged) -> None:
        assert judged.found is not None
        found = judged.found
        row = (found.card_id, found.path, found.digest, judged.fate.value)
        self._rows.append((*row, *place_values(found.place)))
        if len(self._rows) == ROWS:
            with disk_errors("write", self._path):
                self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [
                pa.array(values, column.type)
                for values, column in zip(columns, _SELECTION_SCHEMA, strict=True)
            ]
            self._writer.write_table(pa.table(arrays, schema=_SELECTION_SCHEMA))
        self._rows = []


def _selection_writer(path: Path) -> _SelectionFile:
    with disk_errors("write", path):
        return _SelectionFile(path)
