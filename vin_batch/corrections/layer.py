"""The append-only layer of corrections: one JSON Lines file per imported file.

``DIR/corrections/<sha256 of the imported file>.jsonl``, one line per correction. A file is
written once and never changed, so an import is whole or absent, and importing the same file
again changes nothing. ``DIR`` is a run directory, or any folder that several runs share.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vin_batch.batch.atomic import disk_errors, folder_mode, write_atomic
from vin_batch.batch.lock import hold
from vin_batch.corrections.facts import facts_of
from vin_batch.corrections.records import Correction
from vin_batch.errors import DiskError

LAYER_SCHEMA: Final = 1
FOLDER: Final = "corrections"
LOCK: Final = "lock"
_SUFFIX: Final = ".jsonl"


def layer_of(directory: Path) -> Path:
    """Where the corrections of a run or of a shared folder are kept."""
    return directory / FOLDER


def is_imported(directory: Path, source_sha256: str) -> bool:
    """Tell whether a file with this digest was imported."""
    return (layer_of(directory) / f"{source_sha256}{_SUFFIX}").is_file()


def append(directory: Path, corrections: Sequence[Correction]) -> bool:
    """Add the corrections of one imported file.

    Args:
        directory: The run directory or shared folder.
        corrections: All from one file, at least one.

    Returns:
        False where that file was imported before and nothing was written.

    Raises:
        DiskError: The system refused.
        LockedError: Another import is at work.
    """
    (source,) = {correction.source_sha256 for correction in corrections}
    folder = layer_of(directory)
    with disk_errors("create", folder):
        folder.mkdir(mode=folder_mode(), exist_ok=True)
    with hold(folder / LOCK):
        if is_imported(directory, source):
            return False
        text = "".join(map(_line, corrections))
        write_atomic(folder / f"{source}{_SUFFIX}", text.encode("utf-8"), "corrections")
    return True


def load(directories: Iterable[Path]) -> list[Correction]:
    """Read every correction of one or more layers, each statement once.

    A statement that is in several files counts as imported when it was first. All of them are
    held in memory: people write far fewer rows than the machine.

    Args:
        directories: Run directories or shared folders; those without corrections are fine.

    Returns:
        In order of signing.

    Raises:
        DiskError: A file is damaged.
    """
    found: dict[str, Correction] = {}
    for path in _files(directories):
        for correction in _read(path):
            rival = found.get(correction.correction_id)
            if rival is None or _imported(correction) < _imported(rival):
                found[correction.correction_id] = correction
    return sorted(found.values(), key=lambda correction: correction.order)


def digest(corrections: Iterable[Correction]) -> str:
    """Digest over a set of corrections in any order, 64 hex digits."""
    hasher = hashlib.sha256()
    for name in sorted(correction.correction_id for correction in corrections):
        hasher.update(f"{name}\n".encode())
    return hasher.hexdigest()


def _files(directories: Iterable[Path]) -> Iterator[Path]:
    seen = set()
    for directory in directories:
        folder = layer_of(directory)
        if folder.is_dir() and (place := folder.resolve()) not in seen:
            seen.add(place)
            yield from sorted(folder.glob(f"*{_SUFFIX}"))


def _imported(correction: Correction) -> tuple[datetime, str, int]:
    return correction.imported_at, correction.source_sha256, correction.line


def _line(correction: Correction) -> str:
    document = {
        "schema": LAYER_SCHEMA,
        "card_id": correction.card_id,
        "vin": correction.vin,
        "reviewer": correction.reviewer,
        "signed_at": correction.signed_at.isoformat(),
        "note": correction.note,
        "imported_at": correction.imported_at.isoformat(),
        "source_name": correction.source_name,
        "source_sha256": correction.source_sha256,
        "line": correction.line,
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def _read(path: Path) -> Iterator[Correction]:
    try:
        # Not splitlines(): a note may hold separators that JSON leaves as they are.
        rows = path.read_bytes().decode("utf-8").split("\n")
        if rows.pop():
            raise ValueError("the last line is torn")
        yield from map(_parse, rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DiskError(
            f"cannot read the corrections in {path}: {error}",
            "Restore the file from a backup, or remove it and import the original again.",
        ) from error


def _parse(row: str) -> Correction:
    document: dict[str, Any] = json.loads(row)
    if document.pop("schema") != LAYER_SCHEMA:
        raise ValueError("another schema")
    for name in ("signed_at", "imported_at"):
        document[name] = datetime.fromisoformat(document[name]).astimezone(UTC)
    return Correction(**document, facts=facts_of(document["vin"]))
