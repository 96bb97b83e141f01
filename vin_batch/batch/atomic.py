"""Files that are either whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from vin_batch.batch import faults
from vin_batch.errors import DiskError

TMP_SUFFIX: Final = ".tmp"

_ADVICE: Final = {
    errno.ENOSPC: "Free some space; the same command then resumes.",
    errno.EDQUOT: "The disk quota is used up: free some space; the same command then resumes.",
    errno.EROFS: "The file system is mounted read-only: give another RUN_DIR, or remount it.",
    errno.EACCES: "Give this user write permission on the run directory.",
    errno.EPERM: "Give this user write permission on the run directory.",
    errno.EIO: "The disk reports errors: check it before you resume.",
}


@contextmanager
def disk_errors(doing: str, path: Path) -> Iterator[None]:
    """Turn an ``OSError`` into a ``DiskError`` that says what to do.

    Args:
        doing: What was attempted, e.g. ``write``.
        path: On which file.

    Raises:
        DiskError: The block raised an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        advice = _ADVICE.get(error.errno or 0, "Check the disk; the same command then resumes.")
        raise DiskError(f"cannot {doing} {path}: {reason}", advice) from error


@contextmanager
def atomic_file(path: Path, label: str = "file") -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when it is complete and on disk.

    The bytes go to a hidden neighbour, which is flushed to the disk and renamed; then the
    folder is flushed too. If the block raises, the neighbour is removed and an older file of
    that name stays as it was.

    Args:
        path: The final name; its folder must exist.
        label: Prefix of the crash points that tests may use.

    Raises:
        DiskError: The system refused.
    """
    temporary = path.with_name(f".{path.name}{TMP_SUFFIX}")
    try:
        with disk_errors("write", path):
            with temporary.open("wb") as file:
                yield file
                faults.point(f"{label}:written")
                file.flush()
                os.fsync(file.fileno())
            faults.point(f"{label}:synced")
            temporary.replace(path)
            faults.point(f"{label}:renamed")
            sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes, label: str = "file") -> None:
    """Write a whole file atomically; see ``atomic_file``."""
    with atomic_file(path, label) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporaries(folders: Iterable[Path]) -> Iterator[Path]:
    """Left-over files of writers that died."""
    for folder in folders:
        if folder.is_dir():
            yield from sorted(folder.glob(f".*{TMP_SUFFIX}"))


def sweep(folders: Iterable[Path]) -> int:
    """Remove left-over files of writers that died; only the holder of the lock may.

    Returns:
        How many there were.
    """
    stale = list(temporaries(folders))
    for path in stale:
        with disk_errors("remove", path):
            path.unlink(missing_ok=True)
    return len(stale)
