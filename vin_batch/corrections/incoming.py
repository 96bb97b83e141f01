"""Files in which people write corrections: every row is right, or none is taken.

CSV with a header, UTF-8 (with or without a byte order mark) unless told otherwise, fields
separated by ``,`` or ``;`` as the header shows. Columns, in any order, others are ignored:

- ``card_id``: the card. One leading apostrophe is dropped, as every loader of our CSV does.
- ``vin``: 17 characters, or ``unreadable``. A row where it is empty was not looked at and is
  passed over.
- ``reviewer``: who signs.
- ``time``: when, ISO 8601; without a time zone only where the caller names one.
- ``note``: free text, may be left out.
"""

from __future__ import annotations

import csv
import hashlib
import io
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final

from vin_batch.batch.atomic import disk_errors
from vin_batch.corrections.facts import facts_of
from vin_batch.corrections.records import Correction
from vin_batch.errors import UsageError
from vin_batch.vin.alphabet import INDEX, VIN_LENGTH

UNREADABLE: Final = "unreadable"
REQUIRED: Final = ("card_id", "vin", "reviewer", "time")
DELIMITERS: Final = (",", ";")
CLOCK_DIFFERENCE: Final = timedelta(days=1)
"""A signature further in the future than this is a typing error; as the last one that was
signed it would win for ever."""
MAX_PROBLEMS: Final = 20
"""Problems that a message lists; the others are counted."""
MAX_BYTES: Final = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file of corrections is written.

    Attributes:
        encoding: Of the text.
        zone: Time zone of times that name none; None where such times are refused.
        restore: Takes away what guards a cell against spreadsheets.
    """

    encoding: str
    zone: tzinfo | None
    restore: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file of corrections that was read.

    Attributes:
        source_sha256: Digest of the file.
        corrections: Its rows; empty unless ``problems`` is.
        skipped: Rows with an empty ``vin``.
        problems: What is wrong, with line numbers.
    """

    source_sha256: str
    corrections: tuple[Correction, ...]
    skipped: int
    problems: tuple[str, ...]


def read_incoming(path: Path, dialect: Dialect, now: datetime) -> Incoming:
    """Read and check a file of corrections.

    Args:
        path: The file.
        dialect: How it is written.
        now: The time of the import, UTC.

    Raises:
        UsageError: It is no such file: another encoding, no header, columns missing.
        DiskError: It cannot be read.
    """
    with disk_errors("read", path):
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is larger than {MAX_BYTES} bytes", "Divide it.")
        data = path.read_bytes()
    source = hashlib.sha256(data).hexdigest()
    corrections: list[Correction] = []
    problems: list[str] = []
    skipped = 0
    for line, row in _rows(path, data, dialect):
        if not (row["vin"] or "").strip():
            skipped += 1
            continue
        try:
            corrections.append(_correction(row, line, dialect, now, (path.name, source)))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
    return Incoming(source, () if problems else tuple(corrections), skipped, tuple(problems))


def refuse(path: Path, problems: tuple[str, ...]) -> UsageError:
    """The error that tells what is wrong with a file."""
    shown = list(problems[:MAX_PROBLEMS])
    if len(problems) > MAX_PROBLEMS:
        shown.append(f"and {len(problems) - MAX_PROBLEMS} more")
    return UsageError(
        f"{path} was not imported, {len(problems)} problems:\n  " + "\n  ".join(shown),
        "Repair these rows and import the file again; nothing of it was taken.",
    )


def _rows(path: Path, data: bytes, dialect: Dialect) -> Iterator[tuple[int, dict[str, str]]]:
    encoding = "utf-8-sig" if dialect.encoding.lower() in {"utf-8", "utf8"} else dialect.encoding
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise UsageError(
            f"{path} is not {dialect.encoding}: {error}",
            "Save it as UTF-8, or name its encoding with --encoding, e.g. cp1251.",
        ) from error
    header, _, _ = text.partition("\n")
    delimiter = max(DELIMITERS, key=header.count)
    # Strict, or a quote that is never closed would swallow the rest of the file.
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = reader.fieldnames or ()
        missing = [name for name in REQUIRED if name not in names]
        if missing or len(set(names)) != len(names):
            raise UsageError(
                f"{path} needs the columns {', '.join(REQUIRED)}, each once; "
                f"missing: {', '.join(missing) or 'none'}",
                "The first line names the columns; `vin-batch corrections export-queue` writes "
                "a file to fill in.",
            )
        last = reader.line_num
        for row in reader:
            begins, last = last + 1, reader.line_num
            if None in row or None in row.values():
                raise UsageError(
                    f"{path}, line {begins}: it has not the {len(names)} fields of the header",
                    "Put fields that hold the separator into quotes.",
                )
            yield begins, row
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {reader.line_num}: {error}", "Write the file as RFC 4180 says."
        ) from error


def _correction(
    row: dict[str, str], line: int, dialect: Dialect, now: datetime, source: tuple[str, str]
) -> Correction:
    vin = parse_vin(dialect.restore(row["vin"]))
    return Correction(
        card_id=_text(dialect.restore(row["card_id"]), "card_id"),
        vin=vin,
        reviewer=_text(dialect.restore(row["reviewer"]).strip(), "reviewer"),
        signed_at=parse_time(row["time"].strip(), dialect.zone, now),
        note=_note(dialect.restore(row.get("note", ""))),
        facts=facts_of(vin),
        imported_at=now,
        source_name=source[0],
        source_sha256=source[1],
        line=line,
    )


def parse_vin(text: str) -> str | None:
    """Read what a person wrote as the VIN.

    Letters may be small. Nothing is guessed: a Cyrillic letter that looks like a Latin one,
    or an O for a zero, is refused.

    Returns:
        17 characters of the VIN alphabet, or None for ``unreadable``.

    Raises:
        ValueError: It is neither.
    """
    vin = text.strip().upper()
    if vin == UNREADABLE.upper():
        return None
    for position, character in enumerate(vin, start=1):
        if character not in INDEX:
            name = unicodedata.name(character, f"U+{ord(character):04X}")
            raise ValueError(
                f"character {position} of the VIN is {character!r} ({name}); a VIN has the "
                "digits and the Latin letters without I, O and Q"
            )
    if len(vin) != VIN_LENGTH:
        raise ValueError(f"the VIN has {len(vin)} characters instead of {VIN_LENGTH}")
    return vin


def parse_time(text: str, zone: tzinfo | None, now: datetime) -> datetime:
    """Read when a correction was signed, as UTC.

    Raises:
        ValueError: It is no ISO 8601 time, has no time zone, or lies in the future.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"the time {text!r} is not ISO 8601, e.g. 2026-11-20T14:05") from None
    if moment.tzinfo is None:
        if zone is None:
            raise ValueError(
                f"the time {text!r} has no time zone; write +03:00 behind it, or name the zone "
                "of the whole file with --time-zone"
            )
        moment = moment.replace(tzinfo=zone)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"the time {text!r} is out of range") from None
    if moment > now + CLOCK_DIFFERENCE:
        raise ValueError(f"the time {text!r} is in the future")
    return moment


def _text(text: str, name: str) -> str:
    if not text:
        raise ValueError(f"{name} is empty")
    if "\0" in text:
        raise ValueError(f"{name} holds a NUL character")
    return text


def _note(text: str) -> str | None:
    return _text(text, "note") if text.strip() else None
