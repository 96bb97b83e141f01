"""Directories that are either whole or absent, whatever happens while they are filled."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vin_batch.batch import faults
from vin_batch.batch.atomic import TMP_SUFFIX, disk_errors, folder_mode, sync_folder
from vin_batch.errors import LockedError


@contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """Make a hidden neighbour of a directory to be filled; removed if the block raises.

    What an interrupted writer left there is removed first; a writer that lives holds a lock
    on it, which the kernel drops when the process ends.

    Args:
        target: The final name; its parent must exist.

    Yields:
        The empty neighbour. ``publish`` gives it its name.

    Raises:
        LockedError: Another process fills it right now.
        DiskError: The system refused.
    """
    hidden = target.with_name(f".{target.name}{TMP_SUFFIX}")
    with disk_errors("create", target):
        hidden.mkdir(mode=folder_mode(), exist_ok=True)
        descriptor = os.open(hidden, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                f"another process writes {target} right now", "Wait for it, or give another name."
            ) from None
        with disk_errors("write", target):
            _empty(hidden)
            if target.exists():
                shutil.rmtree(_aside(target), ignore_errors=True)
            try:
                yield hidden
            except BaseException:
                with suppress(OSError):
                    shutil.rmtree(hidden)
                raise
    finally:
        os.close(descriptor)


def publish(hidden: Path, target: Path, *, replace: bool) -> None:
    """Give a filled directory its name.

    Args:
        hidden: What ``new_directory`` gave, every file in it flushed.
        target: The final name.
        replace: Put an older directory of that name out of the way and remove it. Between the
            two renames there is neither; after a crash right there the old one lies beside it
            as ``.NAME.old``.

    Raises:
        DiskError: The system refused, or the name is taken.
    """
    with disk_errors("write", target):
        sync_folder(hidden)
        faults.point("directory:synced")
        old = _aside(target)
        if replace and target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
            faults.point("directory:aside")
        hidden.rename(target)
        sync_folder(target.parent)
        faults.point("directory:renamed")
        shutil.rmtree(old, ignore_errors=True)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
