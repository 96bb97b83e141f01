"""Which implementation of the stages runs: compiled kernels where there are some, or NumPy's.

Both give the same bytes, so that nobody needs to know. Kernels are compiled once per machine,
beside the work, and taken up by the processes that called ``warm_up`` as soon as they are there;
whatever is in the way (Numba is not installed, no folder, a damaged file), NumPy goes on.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.preprocess import machine_code
from vin_batch.preprocess.machine_code import MachineCodeError
from vin_batch.records import BoxIssue

SWITCH: Final = "VIN_BATCH_KERNELS"
"""Environment variable: ``off`` for NumPy only, ``wait`` to compile before anything is read."""
LOOK_EVERY: Final = 500
"""Images between two looks at whether the compiler has finished."""
MAX_LOOKS: Final = 2_000
COMPILE_SECONDS: Final = 600.0
_NICE: Final = 10
MAX_TRIES: Final = 3
"""Attempts to compile the same kernels; some may have been killed together with the job."""

Stages = Callable[[NDArray[np.uint8]], NDArray[np.uint8] | BoxIssue]
"""Turns a working image into ``uint8[28, 28]`` or an issue."""


class _Choice:
    """What this process uses now, and how long until it looks again."""

    stages: Stages | None = None
    waits_for: Path | None = None
    until_look: int = 0
    looks_left: int = 0


_choice = _Choice()


def compiled_stages() -> Stages | None:
    """The compiled stages; None where the reference is to be used. Cheap."""
    if _choice.waits_for is not None:
        _choice.until_look -= 1
        if _choice.until_look <= 0:
            _look_again()
    return _choice.stages


def warm_up() -> bool:
    """Use compiled kernels in this process, now or once they are compiled. Never raises.

    Returns:
        Whether they are in use now.
    """
    switch = os.environ.get(SWITCH, "")
    if _choice.stages is not None or switch == "off":
        return _choice.stages is not None
    try:
        if find_spec("numba") is None or find_spec("llvmlite") is None:
            return False
        path = machine_code.folder() / machine_code.file_name()
        if not path.exists():
            if _tries(path) >= MAX_TRIES:
                return False
            compiler = _start_compiler(path)
            if switch == "wait":
                compiler.wait(COMPILE_SECONDS)
        if path.exists():
            _choice.stages = load(path)
        else:
            _choice.waits_for, _choice.until_look = path, LOOK_EVERY
            _choice.looks_left = MAX_LOOKS
    except Exception:  # whatever Numba, LLVM or the system think of: the reference works
        _give_up()
    return _choice.stages is not None


def load(path: Path) -> Stages:
    """Load compiled kernels and see that they give what the reference gives.

    Raises:
        MachineCodeError: The file is unfit; it is removed, so that it is made again.
    """
    from vin_batch.preprocess.compiled import CompiledStages  # noqa: PLC0415 - see there
    from vin_batch.preprocess.pipeline import reference_stages  # noqa: PLC0415 - imports this

    try:
        stages = CompiledStages(*machine_code.addresses(path))
        for image in _trial_images():
            if not _are_same(stages(image), reference_stages(image)):
                raise MachineCodeError(f"{path} gives other values than the reference")
    except MachineCodeError:
        with suppress(OSError):
            path.unlink()
        raise
    return stages


def _look_again() -> None:
    path = _choice.waits_for
    _choice.until_look = LOOK_EVERY
    _choice.looks_left -= 1
    try:
        if path is not None and path.exists():
            _choice.stages, _choice.waits_for = load(path), None
        elif _choice.looks_left <= 0:
            _give_up()
    except Exception:
        _give_up()


def _give_up() -> None:
    _choice.stages = _choice.waits_for = None


def _start_compiler(path: Path) -> subprocess.Popen[bytes]:
    """Start a process that compiles the kernels, unless another is at it.

    It is a session of its own: it ends by itself, and the next run profits from it.
    """
    # -P: never import from the working directory, which may be anyone's.
    arguments = [sys.executable, "-P", "-m", "vin_batch.preprocess.compile_kernels", str(path)]
    return subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def compile_once(path: Path) -> None:
    """Compile the kernels into a file; of several processes, one does it, the others wait."""
    with _lock_of(path).open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists() or _tries(path) >= MAX_TRIES:
            return
        lock.write(b".")
        lock.flush()
        os.nice(_NICE)
        from vin_batch.preprocess.kernels.build import build  # noqa: PLC0415 - imports Numba

        build(path)


def _lock_of(path: Path) -> Path:
    """The file that is locked while kernels are compiled; it holds a byte per attempt."""
    return path.with_suffix(".lock")


def _tries(path: Path) -> int:
    try:
        return _lock_of(path).stat().st_size
    except FileNotFoundError:
        return 0


def _trial_images() -> list[NDArray[np.uint8]]:
    """A framed character, its negative, an enlarged and worn one, noise, and nothing."""
    y, x = np.mgrid[:52, :46]
    paper = 225 - (x + y) // 6 + (x * 7 + y * 13) % 5
    ring = np.abs(np.hypot((y - 26) / 1.3, x - 22) - 10) < 1.9
    written = np.where(ring | ((np.abs(y - x - 4) < 2) & (y > 30)), 60, paper)
    framed = np.where((np.abs(y - 3) < 1.5) | (x > 42) | (np.abs(x - 2) < 1), 95, written)
    worn = np.where((x + 3 * y) % 7 == 0, paper, framed)
    noise = (x * x * 31 + y * y * 17 + x * y * 5) % 251
    images = [written, framed, 255 - framed, worn[:44, :30], noise[:9, :44], paper]
    return [np.ascontiguousarray(image, np.uint8) for image in images]


def _are_same(one: NDArray[np.uint8] | BoxIssue, other: NDArray[np.uint8] | BoxIssue) -> bool:
    if isinstance(one, BoxIssue) or isinstance(other, BoxIssue):
        return one is other
    return np.array_equal(one, other)
