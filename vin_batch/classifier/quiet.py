"""Keeps the greetings of TensorFlow and LiteRT out of the log.

TensorFlow writes a page about instruction sets and missing GPU drivers straight to file
descriptor 2, before any of its own settings can stop it. In a nightly log that page hides
the lines that matter, and in a log of JSON lines it is no JSON.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

LOGGER = logging.getLogger(__name__)

_GREETING: Final = re.compile(
    rb"[IWE]\d{4} |WARNING: All log messages before absl|To enable the following instructions"
    rb"|INFO: Created TensorFlow Lite|fully_quantize: "
)
"""Lines of Abseil's log at the levels info, warning and error; a fatal one is kept."""
_LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"
"""TensorFlow reads it once, when it is imported: 1 silences its infos, 3 all but the fatal."""


def lower_voice(device: str) -> None:
    """Ask TensorFlow, before it is imported, for fatal messages only, for as long as it lives.

    Where a GPU is demanded its warnings stay: they say why there is none. A level that the
    operator set stays, too.

    Args:
        device: ``auto``, ``cpu`` or ``gpu``.
    """
    os.environ.setdefault(_LEVEL, "1" if device == "gpu" else "3")


@contextmanager
def without_greetings() -> Iterator[None]:
    """Hold back what C code writes to stderr; afterwards log all but the greetings.

    After an exception everything is logged: the greetings may tell its cause. What Python
    writes to ``sys.stderr`` meanwhile, log lines among it, goes out at once.
    """
    sys.stderr.flush()
    original = os.dup(2)
    failed = True
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            with _python_speaking_to(original):
                yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            held.seek(0)
            _pass_on(line for line in held if failed or not _GREETING.match(line))
            os.close(original)


@contextmanager
def _python_speaking_to(descriptor: int) -> Iterator[None]:
    """Let ``sys.stderr`` write to another descriptor, where it wrote to number 2."""
    before = sys.stderr
    try:
        if before.fileno() != 2:
            raise io.UnsupportedOperation
    except (OSError, ValueError):
        yield
        return
    with os.fdopen(
        os.dup(descriptor), "w", encoding=before.encoding, errors=before.errors, buffering=1
    ) as direct:
        sys.stderr = direct
        try:
            yield
        finally:
            sys.stderr = before


def _pass_on(lines: Iterable[bytes]) -> None:
    logged = logging.getLogger("vin_batch").hasHandlers()
    for line in lines:
        if logged:
            LOGGER.warning("%s", line.decode("utf-8", "backslashreplace").rstrip())
        else:
            os.write(2, line)
