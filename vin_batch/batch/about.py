"""What the log lines of this moment are about: which run, which shard, which card.

The fields travel with the thread of work and not through every call: whoever logs need not
know them. A thread takes them along when it starts in ``contextvars.copy_context()``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

FIELDS: Final = ("run_id", "shard", "card_id")
"""Names of the fields, in the order in which a line shows them."""

_CURRENT: ContextVar[Mapping[str, str | int]] = ContextVar(
    "vin_batch_about", default=MappingProxyType({})
)


def note(**fields: str | int) -> None:
    """Add fields to all later lines of this thread of work, until others replace them."""
    _CURRENT.set({**_CURRENT.get(), **_checked(fields)})


def forget() -> None:
    """Drop all fields: another job begins."""
    _CURRENT.set(MappingProxyType({}))


@contextmanager
def about(**fields: str | int) -> Iterator[None]:
    """Add fields to the lines of a block."""
    token = _CURRENT.set({**_CURRENT.get(), **_checked(fields)})
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current() -> Mapping[str, str | int]:
    """The fields as they are now."""
    return _CURRENT.get()


def _checked(fields: Mapping[str, str | int]) -> Mapping[str, str | int]:
    unknown = set(fields) - set(FIELDS)
    if unknown:
        raise AssertionError(f"log lines are about {FIELDS}, not {sorted(unknown)}")
    return fields
