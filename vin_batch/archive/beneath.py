"""Opening what lies below the archive root, one step at a time, and never through a link.

A path that was a folder when the archive was walked may have become a link to somewhere
else when it is opened. Every step is therefore opened below the one before it, and a link
in place of any of them is refused. It also means that no path is too long for the system.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MAX_DEPTH: Final = 256
"""Folders inside folders; every step costs a system call for every card below it."""

_PASS: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def opened_folder(base: bytes, relative: bytes, *, to_list: bool = True) -> Iterator[int]:
    """Open a folder below another one.

    Args:
        base: The folder to start from; may itself be reached through links.
        relative: Path below it without ``..``; empty for the base.
        to_list: Whether its entries are wanted; otherwise names in it can only be opened.

    Yields:
        A descriptor, closed at the end of the block.

    Raises:
        OSError: The system refused, a step is a link or no folder, or there are more than
            ``MAX_DEPTH`` steps.
    """
    steps = relative.split(b"/") if relative else []
    if len(steps) > MAX_DEPTH:
        raise OSError(errno.ENAMETOOLONG, f"More than {MAX_DEPTH} folders deep")
    flags = [_PASS] * len(steps) + [_LIST if to_list else _PASS]
    descriptor = os.open(base, flags[0])
    try:
        for step, wanted in zip(steps, flags[1:], strict=True):
            below = os.open(step, wanted | os.O_NOFOLLOW, dir_fd=descriptor)
            # Closing frees the number even where it fails: it must not be closed twice.
            passed, descriptor = descriptor, below
            os.close(passed)
        yield descriptor
    finally:
        os.close(descriptor)
