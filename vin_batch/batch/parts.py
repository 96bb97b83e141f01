"""What was read of a shard in parts, put together as if it had been read at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vin_batch.archive import ArchiveRoot, ListingChangedError, stamp_card
from vin_batch.batch.answers import silence
from vin_batch.batch.changes import CONTENT_DIGEST_BYTES, STAMP_DIGEST_BYTES, stamps_digest
from vin_batch.batch.pack import MAX_ERRORS, SIDE, ShardResult, ShardTask, Stamps
from vin_batch.batch.second_look import LookResult, LookTask
from vin_batch.records import BoxIssue, CardPack, CardRef
from vin_batch.second_reader.recogniser import SYMBOLS
from vin_batch.vin.alphabet import VIN_LENGTH

PackParts = Sequence[tuple[range, ShardResult]]
LookParts = Sequence[tuple[range, LookResult]]


def cut_pack_task(task: ShardTask, rows: range) -> ShardTask:
    """The task for some rows of a suspect shard."""
    return replace(task, cards=task.cards[rows.start : rows.stop], suspect=True)


def join_packs(task: ShardTask, parts: PackParts) -> ShardResult:
    """Put what parts gave, pixels or log-probabilities, together.

    Args:
        task: The whole shard.
        parts: Rows that were read, and what was found there; none of them changed.

    Returns:
        All rows of the shard; boxes of rows that are in no part are ``NOT_READ``.
    """
    n = len(task.cards)
    log_probs = None if task.inference is None else silence(n)
    pixels = np.zeros((n if log_probs is None else 0, VIN_LENGTH, SIDE, SIDE), np.uint8)
    issues = np.full((n, VIN_LENGTH), BoxIssue.NOT_READ, np.uint8)
    extra_boxes, ignored_files = np.zeros(n, np.int32), np.zeros(n, np.int32)
    contents = np.zeros((n, CONTENT_DIGEST_BYTES), np.uint8)
    card_stamps = np.zeros((n, STAMP_DIGEST_BYTES), np.uint8)
    stamps: dict[int, Stamps] = {}
    read = preprocess = classify = 0.0
    read_bytes = 0
    for rows, result in parts:
        pack, where = result.pack, slice(rows.start, rows.stop)
        assert pack is not None, "cards that changed stop the run"
        issues[where] = pack.issues
        if log_probs is None:
            pixels[where] = pack.pixels
        else:
            assert pack.log_probs is not None, "parts are told what the whole was told"
            log_probs[where] = pack.log_probs
        extra_boxes[where], ignored_files[where] = pack.extra_boxes, pack.ignored_files
        contents[where], card_stamps[where] = pack.content_digests, pack.stamp_digests
        stamps.update(zip(rows, result.stamps, strict=True))
        read, preprocess = read + pack.read_seconds, preprocess + pack.preprocess_seconds
        classify += pack.classify_seconds
        read_bytes += pack.read_bytes
    every = (
        stamps[row] if row in stamps else _stamps_now(task.root, card)
        for row, card in enumerate(task.cards)
    )
    pack = CardPack(
        shard=task.shard,
        card_ids=tuple(card.card_id for card in task.cards),
        pixels=pixels,
        issues=issues,
        extra_boxes=extra_boxes,
        ignored_files=ignored_files,
        content_digests=contents,
        stamp_digests=card_stamps,
        stat_digest=stamps_digest(every),
        read_seconds=read,
        preprocess_seconds=preprocess,
        read_bytes=read_bytes,
        log_probs=log_probs,
        classify_seconds=classify,
    )
    errors = tuple(error for _, result in parts for error in result.errors)[:MAX_ERRORS]
    return ShardResult(pack, (), errors, _largest([result.rss_bytes for _, result in parts]))


def cut_look_task(task: LookTask, rows: range) -> LookTask:
    """The task for some of the cards that are looked at again."""
    where = slice(rows.start, rows.stop)
    return replace(
        task, cards=task.cards[where], boxes=task.boxes[where], contents=task.contents[where]
    )


def join_looks(task: LookTask, parts: LookParts) -> LookResult:
    """Put the second looks of parts together.

    Args:
        task: All cards of the shard that were to be looked at.
        parts: Rows that were looked at, and what was seen.

    Returns:
        All rows; of those that are in no part, nothing was seen.
    """
    shape = (len(task.cards), VIN_LENGTH)
    scores, seen = np.zeros((*shape, len(SYMBOLS)), np.float32), np.zeros(shape, bool)
    for rows, result in parts:
        where = slice(rows.start, rows.stop)
        scores[where], seen[where] = result.scores, result.seen
    return LookResult(
        scores=scores,
        seen=seen,
        seconds=sum(result.seconds for _, result in parts),
        errors=tuple(error for _, result in parts for error in result.errors)[:MAX_ERRORS],
        rss_bytes=_largest([result.rss_bytes for _, result in parts]),
    )


def _stamps_now(root: ArchiveRoot, card: CardRef) -> Stamps:
    try:
        return stamp_card(root, card)
    except ListingChangedError:
        return (None,) * VIN_LENGTH


def _largest(values: Sequence[int]) -> int:
    return max(values, default=0)
