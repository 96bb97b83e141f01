"""Logging of the command line: stderr, one line per event, no VIN above DEBUG.

The log goes to stderr and nowhere else: where it is kept, and for how long, is the business
of the service manager or of whoever redirects it. Lines carry the run, and the shard and card
where an event concerns one (``vin_batch.batch.about``).
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

from vin_batch.batch.about import FIELDS, current
from vin_batch.errors import UsageError

LogFormat = Literal["text", "json"]
HIDDEN: Final = "[VIN]"
"""What stands in a log line instead of a VIN: logs go to more people than readings do."""
_VIN: Final = re.compile(
    r"(?<![0-9A-Za-z])(?=[0-9?]*[A-Za-z])(?=[A-Za-z?]*[0-9][A-Za-z?]*[0-9])"
    r"[0-9A-HJ-NPR-Za-hj-npr-z?]{17}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Z])(?=[0-9]*[A-Z])[0-9A-HJ-NPR-Z]{13}[0-9]{4}(?![0-9A-Z])"
)
"""Seventeen VIN characters on their own, with a letter and two digits: also one that was read
wrongly, is in lower case, or has ``?`` for boxes that gave nothing. Or one in capitals with
digits at the end that is part of a longer word."""
_BREAKS: Final = {
    code: ascii(chr(code))[1:-1]
    for code in (
        *range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029,
        *range(0x202A, 0x202F), *range(0x2066, 0x206A),
    )
}  # fmt: skip
"""Line ends, escapes and changes of direction in file names must not forge log lines or drive
a terminal."""
_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
RUN_ID_SHOWN: Final = 12
"""Characters of the run id in a text line; JSON has all of them."""


def configure_logging(level: int | str, log_format: LogFormat = "text") -> None:
    """Send the log to stderr; calling again replaces the earlier setting.

    Libraries that log with Python, and Python's own warnings, come out in the same format,
    from WARNING on.

    Args:
        level: Least severity of this package's lines, as ``logging`` names it.
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
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if not isinstance(h, StderrHandler)] + [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)


def log_format() -> LogFormat | None:
    """The format that ``configure_logging`` was given last; None where it was not called."""
    for handler in logging.getLogger("vin_batch").handlers:
        if isinstance(handler, StderrHandler):
            return "json" if isinstance(handler.formatter, JsonFormatter) else "text"
    return None


def say(words: str) -> None:
    """Tell a person something on stderr; where the log is JSON, as an event of it."""
    if log_format() == "json":
        logging.getLogger("vin_batch").info("%s", words)
    else:
        print(words, file=sys.stderr)


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
    """``2026-01-31T02:00:00+00:00 WARNING batch.loop: message (run=… shard=7 card=…)``."""

    def format(self, record: logging.LogRecord) -> str:
        """Make one line."""
        name = record.name.removeprefix("vin_batch.")
        line = f"{_time(record, 'seconds')} {record.levelname} {name}: {_message(record)}"
        subject = " ".join(
            f"{name.removesuffix('_id')}={_short(name, value)}"
            for name, value in _subject(record).items()
        )
        trace = _trace(record)
        return line + (f" ({subject})" if subject else "") + (f" | {trace}" if trace else "")


class JsonFormatter(logging.Formatter):
    """One JSON object per line.

    ``time``, ``level``, ``logger`` and ``message`` are always there; ``run_id`` as soon as the
    run is open; ``shard`` and ``card_id`` where the event concerns one; then other fields, by
    name, and ``exception``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Make one line."""
        event: dict[str, Any] = {
            "time": _time(record, "milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **_subject(record),
        }
        for name in sorted(record.__dict__.keys() - _PLAIN - set(FIELDS)):
            event[name] = _field(record.__dict__[name], record)
        trace = _trace(record)
        if trace:
            event["exception"] = trace
        return json.dumps(event, ensure_ascii=False)


def _subject(record: logging.LogRecord) -> dict[str, Any]:
    """What the line is about: fields of the record itself, then those of the moment."""
    fields: dict[str, Any] = {**current()}
    fields |= {n: record.__dict__[n] for n in FIELDS if n in record.__dict__}
    return {name: _field(fields[name], record) for name in FIELDS if name in fields}


def _field(value: object, record: logging.LogRecord) -> object:
    plain = value is None or isinstance(value, bool | int | float)
    return value if plain else _cleaned(str(value), record)


def _short(name: str, value: object) -> str:
    text = str(value)
    return text[:RUN_ID_SHOWN] if name == "run_id" else text


def _time(record: logging.LogRecord, precision: str) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec=precision)


def _message(record: logging.LogRecord) -> str:
    return _cleaned(record.getMessage(), record)


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return _cleaned(logging.Formatter().formatException(record.exc_info), record)


def _cleaned(text: str, record: logging.LogRecord) -> str:
    # A file name that is not UTF-8 holds surrogates, which no collector takes.
    whole = text.strip("\n").encode("utf-8", "backslashreplace").decode()
    shown = whole if record.levelno <= logging.DEBUG else _VIN.sub(HIDDEN, whole)
    return shown.translate(_BREAKS)
