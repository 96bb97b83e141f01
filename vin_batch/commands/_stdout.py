"""Standard output that closes or fills up while a command writes to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from vin_batch.errors import DiskError


def forget_stdout() -> None:
    """Send what is still in the buffer of stdout nowhere: nobody takes it any more.

    Otherwise the interpreter would try once more when it exits, and complain.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def stdout_errors() -> Iterator[None]:
    """Turn a full disk behind stdout into a ``DiskError``; a closed pipe stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        forget_stdout()
        raise DiskError(
            f"cannot write to standard output: {error.strerror}",
            "Free some space where it goes, or write a file with -o.",
        ) from error
