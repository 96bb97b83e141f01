"""Bytes of packs that fsspec reaches: many cards with one request, the next one under way."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

from vin_batch.archive.connection import Connection
from vin_batch.archive.packed import PackState
from vin_batch.records import Place

SPAN_BYTES: Final = 4 * 2**20
"""Bytes of one request: about a hundred cards."""
GAP_BYTES: Final = 2**18
"""Bytes between two cards that cost less than a request of their own."""
STATE_SECONDS: Final = 60.0
"""How long nobody asks again whether a pack was replaced."""


class _Span(NamedTuple):
    pack: bytes
    begin: int
    end: int


class RemotePacks:
    """See ``packed.PackBytes``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._states: dict[bytes, tuple[float, PackState]] = {}
        self._spans: list[_Span] = []
        self._here: tuple[_Span, bytes] | None = None
        self._coming: tuple[_Span, Future[bytes]] | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fetch-pack")
        self._lock = threading.Lock()

    def state(self, pack: bytes) -> PackState:
        """How the pack is now, or was a moment ago."""
        known = self._states.get(pack)
        if known is not None and time.monotonic() - known[0] < STATE_SECONDS:
            return known[1]
        entry = self._connection.entry(pack)
        if entry.is_folder:
            raise FileNotFoundError(errno.ENOENT, "No such file")
        state = PackState(entry.size, entry.mtime_ns, entry.tag)
        self._states[pack] = time.monotonic(), state
        return state

    def read(self, pack: bytes, offset: int, length: int) -> bytes:
        """Bytes of a pack, from what was fetched with them if they were expected."""
        with self._lock:
            wanted = _Span(pack, offset, offset + length)
            held = self._held(wanted)
            if held is not None:
                span, data = held
                return data[offset - span.begin : offset - span.begin + length]
        return self._fetch(wanted)

    def expect(self, places: Sequence[Place]) -> None:
        """Plan requests for cards that are read next."""
        with self._lock:
            self._spans = list(_joined(places))
            self._here = None
            if self._coming is not None:
                self._coming[1].cancel()
            self._coming = None

    def _held(self, wanted: _Span) -> tuple[_Span, bytes] | None:
        if self._here is not None and _within(wanted, self._here[0]):
            return self._here
        at = next((at for at, span in enumerate(self._spans) if _within(wanted, span)), None)
        if at is None:
            return None
        span, coming, self._coming = self._spans[at], self._coming, None
        is_coming = coming is not None and coming[0] == span
        data = coming[1].result() if coming is not None and is_coming else self._fetch(span)
        self._here = span, data
        self._spans = self._spans[at + 1 :]
        following = self._spans[0] if self._spans else None
        self._coming = (
            None if following is None else (following, self._pool.submit(self._fetch, following))
        )
        return self._here

    def _fetch(self, span: _Span) -> bytes:
        if span.end <= span.begin:
            return b""
        path = self._connection.path(span.pack)
        data = self._connection.read(path, span.begin, span.end)
        # A server that knows no ranges gives the whole file.
        whole = len(data) > span.end - span.begin
        return data[span.begin : span.end] if whole else data


def _within(inner: _Span, outer: _Span) -> bool:
    return inner.pack == outer.pack and outer.begin <= inner.begin <= inner.end <= outer.end


def _joined(places: Sequence[Place]) -> Iterator[_Span]:
    """Spans of cards that lie close together, in the order in which they are read."""
    span: _Span | None = None
    for place in places:
        end = place.offset + place.length
        if (
            span is not None
            and span.pack == place.pack
            and span.begin <= place.offset <= span.end + GAP_BYTES
            and end - span.begin <= SPAN_BYTES
        ):
            span = _Span(span.pack, span.begin, max(span.end, end))
            continue
        if span is not None:
            yield span
        span = _Span(place.pack, place.offset, end)
    if span is not None:
        yield span
