"""Machine code of the kernels: where it is kept, and how it comes into a process.

The file is named after everything that it was made from, so that another version of the
kernels, of Numba or of the processor never meets it; its digest tells a damaged one. It is only
taken from a folder into which nobody else can write.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

CACHE_VARIABLES: Final = ("VIN_BATCH_CACHE", "CACHE_DIRECTORY")
"""Folders for the file, the first that is set; systemd sets the second."""
_SOURCES: Final = ("kernels", "ink.py", "frame.py", "strokes.py", "centre.py", "pipeline.py")


class MachineCodeError(Exception):
    """There is no machine code that can be used here."""


def target() -> Any:
    """LLVM's description of this processor."""
    import llvmlite.binding as llvm  # noqa: PLC0415 - optional, and large

    for each in ("initialize_native_target", "initialize_native_asmprinter"):
        getattr(llvm, each)()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(),
        opt=3, reloc="default", codemodel="jitdefault", jit=True,
    )  # fmt: skip


@cache
def file_name() -> str:
    """Name of the file for these kernels, this Numba and this processor."""
    import llvmlite.binding as llvm  # noqa: PLC0415 - optional, and large

    digest = hashlib.sha256()
    for part in (
        version("numba"), version("llvmlite"), version("numpy"), llvm.get_process_triple(),
        llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(),
    ):  # fmt: skip
        digest.update(part.encode() + b"\0")
    room = Path(__file__).parent
    for name in _SOURCES:
        for path in sorted((room / name).rglob("*.py")) if name == "kernels" else [room / name]:
            digest.update(path.read_bytes() + b"\0")
    return f"kernels-{digest.hexdigest()[:32]}.o"


def folder() -> Path:
    """A private folder for the file, made if need be.

    Raises:
        MachineCodeError: There is none that this process may write and others may not.
    """
    for path in _candidates():
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_private(path) and os.access(path, os.W_OK | os.X_OK):
                return path
        except OSError:
            continue
    raise MachineCodeError("no private folder for compiled kernels")


def _candidates() -> Iterator[Path]:
    for name in CACHE_VARIABLES:
        if given := os.environ.get(name):
            yield Path(given.split(":")[0]) / "kernels"
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    with suppress(RuntimeError):  # no home
        yield Path(home).expanduser() / "vin_batch" / "kernels"
    yield Path(tempfile.gettempdir()) / f"vin_batch-{os.getuid()}"


def _is_private(path: Path) -> bool:
    """Tell that a file or folder, not a link to one, is ours and no one else's to write."""
    found = path.lstat()
    is_plain = stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)
    return is_plain and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def write(path: Path, symbols: Mapping[str, str], code: bytes) -> None:
    """Write a file of machine code; it appears whole or not at all.

    Args:
        path: The file.
        symbols: Name in the code of every function.
        code: The object file.
    """
    digest = hashlib.sha256(code).hexdigest()
    head = json.dumps({"sha256": digest, "symbols": dict(symbols)}).encode() + b"\n"
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(head + code)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def addresses(path: Path) -> tuple[Mapping[str, int], object]:
    """Bring a file of machine code into this process.

    Returns:
        Address of every function, and what must be kept as long as they are called.

    Raises:
        MachineCodeError: The file is missing, damaged or not ours.
    """
    import llvmlite.binding as llvm  # noqa: PLC0415 - optional, and large

    try:
        if not _is_private(path):
            raise MachineCodeError(f"{path} could be written by others")
        head, _, code = path.read_bytes().partition(b"\n")
        told = json.loads(head)
        symbols = {str(name): str(symbol) for name, symbol in told["symbols"].items()}
        if hashlib.sha256(code).hexdigest() != told["sha256"]:
            raise MachineCodeError(f"{path} is damaged")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise MachineCodeError(f"{path}: {error!r}") from error
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    found = {name: engine.get_function_address(symbol) for name, symbol in symbols.items()}
    if not all(found.values()):
        raise MachineCodeError(f"{path} lacks functions")
    return found, engine


def function(address: int, result: Any, *arguments: Any) -> Any:
    """A C function that Python can call; it keeps Python's lock, being short."""
    return ctypes.PYFUNCTYPE(result, *arguments)(address)
