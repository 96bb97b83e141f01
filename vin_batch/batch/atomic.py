"""Files that are either whole or absent, whatever happens while they are written.

Readings are personal data: what is made here is closed to everybody but the owner and, to
read, the group, from its first moment. The caller's umask can close it further, never open it.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO, Final

from vin_batch.batch import faults
from vin_batch.errors import DiskError

TMP_SUFFIX: Final = ".tmp"
DEFAULT_MODE: Final = 0o640
"""Permissions of new files; see ``file_mode``."""

_MODE: ContextVar[int] = ContextVar("vin_batch_file_mode", default=DEFAULT_MODE)
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

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
def any_disk_error(root: Path) -> Iterator[None]:
    """Turn whatever the system refuses within the block into a ``DiskError``.

    Any call may fail on a disk that is about to die, also those that nobody thought of.

    Args:
        root: Named in the message where the error names no file.

    Raises:
        DiskError: The block raised an ``OSError``, but not one about a connection.
    """
    try:
        yield
    except ConnectionError:
        raise
    except OSError as error:
        path = error.filename if isinstance(error.filename, str | bytes) else root
        with disk_errors("use", Path(os.fsdecode(path))):
            raise


@contextmanager
def file_mode(mode: int) -> Iterator[None]:
    """Give files and folders that this thread makes within the block other permissions.

    Args:
        mode: Of files, e.g. ``0o600``; folders may be searched by whoever may read them.
    """
    token = _MODE.set(mode)
    try:
        yield
    finally:
        _MODE.reset(token)


def current_mode() -> int:
    """Permissions of new files, before the umask."""
    return _MODE.get()


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing; an existing one stays as it is.

    Raises:
        DiskError: The system refused.
    """
    with disk_errors("create", path):
        missing = [path, *path.parents]
        for folder in reversed([each for each in missing if not each.exists()]):
            folder.mkdir(mode=folder_mode(), exist_ok=True)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def folder_mode() -> int:
    """Permissions of new folders, before the umask: who may read may search."""
    mode = _MODE.get()
    return mode | (mode & 0o444) >> 2


@contextmanager
def closed_umask() -> Iterator[None]:
    """Keep what libraries create within the block as closed as our own files.

    The umask belongs to the whole process: this is for a command's own thread only.
    """
    before = os.umask(0o777)
    os.umask(before | (~folder_mode() & 0o777))
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def atomic_file(
    path: Path, label: str = "file", public_mode: int | None = None, rivals: bool = False
) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only when it is complete and on disk.

    The bytes go to a hidden neighbour, which is flushed to the disk and renamed; then the
    folder is flushed too. If the block raises, the neighbour is removed and an older file of
    that name stays as it was.

    Args:
        path: The final name; its folder must exist.
        label: Prefix of the crash points that tests may use.
        public_mode: Permissions whatever the umask, for a file that others must read and
            that holds nothing personal.
        rivals: Another process, perhaps on another machine, may write the same file now:
            each gets a neighbour of its own, and the last to finish wins. What a dead one
            leaves is not overwritten by the next: somebody must ``sweep`` the folder.

    Raises:
        DiskError: The system refused.
    """
    own = f".{secrets.token_hex(8)}" if rivals else ""
    temporary = path.with_name(f".{path.name}{own}{TMP_SUFFIX}")
    try:
        with disk_errors("write", path):
            with _create(temporary, public_mode) as file:
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


def _create(temporary: Path, public_mode: int | None) -> BinaryIO:
    # What a dead writer left may be open to others: its permissions would stay.
    temporary.unlink(missing_ok=True)
    mode = _MODE.get() if public_mode is None else public_mode
    descriptor = os.open(temporary, _CREATE, mode)
    if public_mode is not None:
        os.fchmod(descriptor, public_mode)
    return os.fdopen(descriptor, "wb")


def write_atomic(
    path: Path,
    data: bytes,
    label: str = "file",
    public_mode: int | None = None,
    rivals: bool = False,
) -> None:
    """Write a whole file atomically; see ``atomic_file``."""
    with atomic_file(path, label, public_mode, rivals) as file:
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


def sweep(folders: Iterable[Path], mine: Callable[[str], bool] = lambda _: True) -> int:
    """Remove left-over files of writers that died; only the holder of the lock may.

    Args:
        folders: Where to look.
        mine: Whether the holder's lock covers a file of that name.

    Returns:
        How many there were.
    """
    stale = [path for path in temporaries(folders) if mine(path.name)]
    for path in stale:
        with disk_errors("remove", path):
            path.unlink(missing_ok=True)
    return len(stale)
