"""Lets tests that run as root meet the permissions that everybody else meets (Linux)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_DAC_POWERS = (1, 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: reading whatever the mode of a file says."""
_VERSION_3 = 0x20080522
_DROP_FROM_BOUNDING_SET = 24
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Words(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@contextmanager
def like_any_user() -> Iterator[None]:
    """File modes hold for this thread, even if it is root's; not for programs it starts."""
    header, words = _Header(_VERSION_3, 0), (_Words * 2)()
    _checked(_LIBC.capget(ctypes.byref(header), words))
    before = words[0].effective
    words[0].effective = before & ~sum(1 << power for power in _DAC_POWERS)
    _checked(_LIBC.capset(ctypes.byref(header), words))
    try:
        yield
    finally:
        words[0].effective = before
        _checked(_LIBC.capset(ctypes.byref(header), words))


def become_any_user() -> None:
    """The same for a program about to be started: ``preexec_fn`` of ``subprocess``."""
    if os.geteuid() == 0:
        for power in _DAC_POWERS:
            _checked(_LIBC.prctl(_DROP_FROM_BOUNDING_SET, power, 0, 0, 0))


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "cannot give up root's powers")
