"""Logging of the command line: stderr, one line per event, no VIN above DEBUG."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

from vin_batch.errors import UsageError

LogFormat = Literal["text", "json"]
HIDDEN: Final = "[VIN]"
"""What stands in a log line instead of a VIN: logs go to more people than readings do."""
_VIN: Final = re.compile(
    r"(?<![0-9A-Za-z])(?=[0-9]*[A-Z])[0-9A-HJ-NPR-Z]{13}[0-9]{4}(?![0-9A-Za-z])"
)
"""Seventeen VIN characters on their own, with a letter, and digits at the end."""
_BREAKS: Final = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\x1b"): "\\x1b"}
"""Line breaks and escapes in file names must not forge log lines or drive a terminal."""
_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(level: int | str, log_format: LogFormat = "text") -> None:
    """Send the log of this package to stderr; calling again replaces the earlier setting.

    Args:
        level: Least severity, as ``logging`` names it.
        log_format: ``text`` for people, ``json`` (one object per line) for collectors.

    Raises:
        UsageError: There is no such level.
    """
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logger = logging.getLogger("vin_batch")
    try:
        logger.setLevel(level.upper() if isinstance(level, str) else level)
    except ValueError:
        raise UsageError(
            f"no log level {level!r}", "Levels are debug, info, warning and error."
        ) from None
    logger.handlers[:] = [handler]
    logger.propagate = False


class StderrHandler(logging.Handler):
    """Writes lines to the stderr of the moment, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        try:
            line = self.format(record)
            tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
            if tqdm is not None:
                tqdm.write(line, file=sys.stderr)
            else:
                sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except Exception:  # a log line must never end a run
            self.handleError(record)


class TextFormatter(logging.Formatter):
    """``2026-01-31T02:00:00+00:00 INFO batch.engine: message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Make one line."""
        name = record.name.removeprefix("vin_batch.")
        line = f"{_time(record)} {record.levelname} {name}: {_message(record)}"
        trace = _trace(record)
        return f"{line} | {trace}" if trace else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, ``extra`` fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Make one line."""
        event: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        for name in record.__dict__.keys() - _PLAIN:
            value = record.__dict__[name]
            plain = value is None or isinstance(value, bool | int | float)
            event[name] = value if plain else _cleaned(str(value), record)
        trace = _trace(record)
        if trace:
            event["exception"] = trace
        return json.dumps(event, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")


def _message(record: logging.LogRecord) -> str:
    return _cleaned(record.getMessage(), record)


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return _cleaned(logging.Formatter().formatException(record.exc_info), record)


def _cleaned(text: str, record: logging.LogRecord) -> str:
    shown = text if record.levelno <= logging.DEBUG else _VIN.sub(HIDDEN, text)
    return shown.translate(_BREAKS)
