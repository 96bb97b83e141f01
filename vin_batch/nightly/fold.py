"""Making the catalogue from runs: one streaming merge of what is known and what was tried."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

import pyarrow as pa

from vin_batch.nightly.attempts import Attempt, SurveyedRun, attempts
from vin_batch.nightly.catalogue import (
    ROWS,
    Catalogue,
    CatalogueRow,
    Key,
    Runs,
    catalogue_writer,
    key_of,
    last_key,
    open_catalogue,
    rows_to_table,
    table_to_rows,
)
from vin_batch.nightly.nightdir import NightDir

logger = logging.getLogger(__name__)

CARDS_AT_ONCE: Final = 100_000
RUNS_AT_ONCE: Final = 256
"""Cards of open shards, and open plans: so many runs are merged in one pass. A card takes
about 500 bytes while its shard is open."""


def combine(known: CatalogueRow | None, tried: Attempt) -> CatalogueRow:
    """What is known about a card after one more try to read it.

    The latest reading is the current one. A card that changed or vanished before it could
    be read taught nothing: an earlier reading of it stays, with its digests, so that the
    next night sees the difference.

    Args:
        known: What was known; None for a new card.
        tried: A try of a later run.
    """
    if known is not None and tried.moved:
        return replace(known, missing_since=None)
    earlier = 0 if known is None else known.tries
    return CatalogueRow(
        card_id=tried.card.card_id,
        path=tried.card.path,
        digest=tried.card.digest,
        stamps=tried.stamps,
        contents=tried.contents,
        status=tried.status,
        confidence=tried.confidence,
        model_id=tried.model_id,
        run=tried.run,
        shard=tried.shard,
        row=tried.row,
        first_seen=tried.began if known is None else known.first_seen,
        last_read=tried.read_at,
        tries=earlier + 1 if tried.may_pass else 0,
        missing_since=None,
    )


def merge(known: Iterable[pa.Table], tried: Iterator[Attempt]) -> Iterator[pa.Table]:
    """Merge a catalogue with tries to read cards.

    Args:
        known: Tables of the catalogue, in the order of the walk.
        tried: Tries in the order of the walk; several for one card in the order of runs.

    Yields:
        Tables of the new catalogue. Tables in which no card was tried pass as they are.
    """
    pending = _Pending(tried)
    for table in known:
        if not table.num_rows:
            continue
        last = last_key(table)
        if pending.next is None or pending.next.key > last:
            yield table
        else:
            yield from _tables(_merge_rows(table_to_rows(table), pending, last))
    yield from _tables(_merge_rows(iter(()), pending, None))


def fold(
    nights: NightDir,
    catalogue: Catalogue | None,
    surveyed: Sequence[SurveyedRun],
    check: Callable[[], None],
) -> Catalogue:
    """Bring a catalogue up to date with later runs, or make it from nothing.

    Args:
        nights: The directory of nights.
        catalogue: What is known; None for nothing.
        surveyed: Runs later than all of those, oldest first.
        check: Called now and then; may raise to stop.

    Returns:
        The new catalogue; it has replaced the old one.

    Raises:
        DiskError: The system refused, or a run is damaged.
    """
    current: Runs = dict(catalogue.runs) if catalogue else {}
    for group in _groups(surveyed):
        current = {**current, **{one.name: one.folded for one in group}}
        tried = heapq.merge(
            *(attempts(one, check) for one in group), key=lambda a: (a.key, int(a.run))
        )
        with catalogue_writer(nights.catalogue, current) as write:
            for table in _coalesced(merge(catalogue.tables() if catalogue else (), tried)):
                check()
                write(table)
        catalogue = open_catalogue(nights.catalogue)
    if catalogue is None:
        with catalogue_writer(nights.catalogue, {}):
            pass
        catalogue = open_catalogue(nights.catalogue)
    return catalogue


class _Pending:
    """Tries that are not merged yet, with a look at the next one."""

    def __init__(self, tried: Iterator[Attempt]) -> None:
        self._tried = tried
        self.next = next(tried, None)

    def take(self) -> Attempt:
        taken = self.next
        assert taken is not None
        self.next = next(self._tried, None)
        return taken


def _merge_rows(
    known: Iterator[CatalogueRow], pending: _Pending, last: Key | None
) -> Iterator[CatalogueRow]:
    """Merge rows with the tries up to a key, or with all that are left."""
    row = next(known, None)
    while row is not None or (
        pending.next is not None and (last is None or pending.next.key <= last)
    ):
        row_key = None if row is None else key_of(row.card_id, row.path)
        tried_key = None if pending.next is None else pending.next.key
        if tried_key is None or (row_key is not None and row_key < tried_key):
            assert row is not None
            yield row
            row = next(known, None)
            continue
        if row_key == tried_key:
            result, row = row, next(known, None)
        else:
            result = None
        while pending.next is not None and pending.next.key == tried_key:
            result = combine(result, pending.take())
        assert result is not None
        yield result


def _tables(rows: Iterator[CatalogueRow]) -> Iterator[pa.Table]:
    while chunk := list(islice(rows, ROWS)):
        yield rows_to_table(chunk)


def _coalesced(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join small neighbours, so that row groups do not crumble night by night."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        if rows >= ROWS // 2:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, rows = [], 0
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()


def _groups(surveyed: Sequence[SurveyedRun]) -> Iterator[list[SurveyedRun]]:
    """Runs that are merged in one pass: as many as memory allows."""
    group: list[SurveyedRun] = []
    held = 0
    for one in surveyed:
        cards = int(one.record.config["shard_size"])
        if group and (held + cards > CARDS_AT_ONCE or len(group) == RUNS_AT_ONCE):
            yield group
            group, held = [], 0
        group.append(one)
        held += cards
    if group:
        yield group
