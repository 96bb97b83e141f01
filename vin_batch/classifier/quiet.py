"""Keeps TensorFlow's greetings out of the log.

TensorFlow writes a page about instruction sets and missing GPU drivers straight to file
descriptor 2, before any of its own settings can stop it. In a nightly log that page hides
the lines that matter.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_GREETING: Final = re.compile(
    rb"[IWE]\d{4} |WARNING: All log messages before absl|To enable the following instructions"
)
"""Lines of Abseil's log at the levels info, warning and error; a fatal one is kept."""


@contextmanager
def without_greetings() -> Iterator[None]:
    """Hold back what is written to stderr; afterwards pass on all but the greetings.

    After an exception everything is passed on: the greetings may tell its cause.
    """
    sys.stderr.flush()
    original = os.dup(2)
    failed = True
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            held.seek(0)
            for line in held:
                if failed or not _GREETING.match(line):
                    os.write(2, line)
