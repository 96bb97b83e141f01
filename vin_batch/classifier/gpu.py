"""Which GPU may be used: seen without TensorFlow, and held by one process at a time."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from contextlib import suppress
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from vin_batch.errors import LockedError

DEVICES: Final = Path("/dev")
VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the one folder that all services share
"""Locks lie here where it exists: a service with a private /tmp must meet the others."""

_HELD: dict[str, int] = {}
"""Descriptors of the locks of this process, by GPU; they end with the process."""


def gpu_is_visible() -> bool:
    """Whether TensorFlow would probably find a GPU, without the seconds of asking it.

    A driver must show a device, the environment must not hide it, and the CUDA libraries must
    be installed: without them TensorFlow computes on the processor.
    """
    if os.environ.get(VISIBLE, "0").split(",")[0].strip() in {"", "-1", "NoDevFiles"}:
        return False
    cards = (name for name in _names(DEVICES) if re.fullmatch(r"nvidia\d+|dxg", name))
    return any(cards) and _cuda_is_installed()


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _cuda_is_installed() -> bool:
    with suppress(ModuleNotFoundError):
        if find_spec("nvidia.cudnn") is not None:
            return True
    return find_library("cudnn") is not None


def gpu_name() -> str:
    """The first GPU that this process may see, as the environment calls it."""
    return os.environ.get(VISIBLE, "0").split(",")[0].strip() or "0"


def hold_gpu(folder: Path | None = None) -> None:
    """Hold the first visible GPU until this process ends; holding it again does nothing.

    Two processes on one GPU share its memory and its time, and both are slower. Processes that
    call one GPU by different names (``0`` and its UUID) do not notice each other.

    Args:
        folder: Where the lock files lie; None for the usual place.

    Raises:
        LockedError: Another process of this machine holds it.
    """
    name = gpu_name()
    if name in _HELD:
        return
    place = folder or (SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir()))
    path = place / f"vin_batch-gpu-{re.sub(r'[^A-Za-z0-9-]', '_', name)}.lock"
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise LockedError(
            f"GPU {name} is in use by another vin-batch (process {holder or 'unknown'})",
            "Wait for it, choose another GPU with CUDA_VISIBLE_DEVICES, or give --device cpu.",
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    _HELD[name] = descriptor


def _open(path: Path) -> int:
    """Open a lock that any user of the machine may take.

    In a folder that all may write to, Linux refuses to open other people's files with
    ``O_CREAT`` (``fs.protected_regular``): so the file is created only where there is none.
    """
    while True:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        with suppress(FileExistsError):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o666)
            os.fchmod(descriptor, 0o666)
            return descriptor
