"""Runs work in a forked child and stops it at its system calls: to count, kill or fail them.

This is what ``strace --inject`` does, by the same kernel interface (ptrace), without the tool:
Linux on x86-64 only. Call it from a process without threads of its own, because it forks.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

POSSIBLE: Final = sys.platform == "linux" and platform.machine() == "x86_64"

NAMES: Final = {
    0: "read", 1: "write", 2: "open", 3: "close", 4: "stat", 5: "fstat", 6: "lstat", 17: "pread",
    18: "pwrite", 20: "writev", 73: "flock", 74: "fsync", 75: "fdatasync", 77: "ftruncate",
    82: "rename", 83: "mkdir", 84: "rmdir", 87: "unlink", 90: "chmod", 91: "fchmod",
    217: "getdents", 257: "open", 258: "mkdir", 262: "stat", 263: "unlink", 264: "rename",
    268: "chmod", 316: "rename", 332: "stat",
}  # fmt: skip
"""Calls that touch files, by their number on x86-64; old and ``...at`` forms are one."""
_AT: Final = {257, 258, 262, 263, 264, 268, 316, 332}
_BY_PATH: Final = {2, 4, 6, 82, 83, 84, 87, 90}

_TRACEME, _POKEUSER, _SYSCALL, _SETOPTIONS, _SYSCALL_INFO = 0, 6, 24, 0x4200, 0x420E
_OPTIONS: Final = 0x00100000 | 0x1 | 0x8
"""The child dies with its tracer, system calls are told from traps, threads are traced, too."""
_WALL: Final = 0x40000000
_ENTRY: Final = 1
_ORIG_RAX, _RAX = 15 * 8, 10 * 8
_AT_FDCWD: Final = 0xFFFFFF9C
_INFO: Final = struct.Struct("<B3xIQQQ6Q")


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that is about to be made: its name, empty if it touches no file, and path."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Let a call return an error; ``done`` lets it do its work nonetheless."""

    number: int
    done: bool = False


class Kill:
    """Kill the child here."""


Decide = Callable[[Call], Fail | Kill | None]
Work = Callable[[], int]


def trace(work: Work, decide: Decide, exits: bool = False) -> int:
    """Run ``work`` in a child; ask ``decide`` before each of its system calls.

    Args:
        work: Its answer is the exit status of the child.
        decide: What to do with a call.
        exits: Ask after calls as well; the call is then nameless.

    Returns:
        Exit status, or the negative number of the signal that ended it.
    """
    pid = os.fork()
    if pid == 0:
        _live(work)
    os.waitpid(pid, _WALL)
    _ptrace(_SETOPTIONS, pid, 0, _OPTIONS)
    _ptrace(_SYSCALL, pid, 0, 0)
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        status = _follow(pid, _Stops(pid, memory.fileno(), decide, exits))
    return os.waitstatus_to_exitcode(status)


def _live(work: Work) -> NoReturn:
    code = 99
    try:
        _ptrace(_TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        code = work()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def _follow(pid: int, stops: _Stops) -> int:
    known = {pid}
    while True:
        task, status = os.waitpid(-1, _WALL)
        if not os.WIFSTOPPED(status):
            if task == pid:
                return status
            continue
        forwarded = 0
        number = os.WSTOPSIG(status)
        if number == signal.SIGTRAP | 0x80:
            stops.at_call(task)
        elif status >> 16 == 0 and not (number == signal.SIGSTOP and task not in known):
            forwarded = number
        known.add(task)
        _ptrace(_SYSCALL, task, 0, forwarded, gone=True)


@dataclass(slots=True)
class _Stops:
    pid: int
    memory: int
    decide: Decide
    exits: bool
    failing: Fail | None = None
    failing_task: int = 0

    def at_call(self, task: int) -> None:
        buffer = ctypes.create_string_buffer(_INFO.size)
        if _ptrace(_SYSCALL_INFO, task, _INFO.size, ctypes.addressof(buffer), gone=True) < 0:
            return
        kind, _, _, _, number, *arguments = _INFO.unpack(buffer.raw)
        if kind == _ENTRY:
            self._act(task, self.decide(self._describe(number, arguments)))
            return
        if self.failing is not None and self.failing_task == task:
            _ptrace(_POKEUSER, task, _RAX, -self.failing.number)
            self.failing = None
        if self.exits:
            self._act(task, self.decide(Call("", "")))

    def _act(self, task: int, decision: Fail | Kill | None) -> None:
        if isinstance(decision, Kill):
            os.kill(self.pid, signal.SIGKILL)
        elif isinstance(decision, Fail):
            self.failing, self.failing_task = decision, task
            if not decision.done:
                _ptrace(_POKEUSER, task, _ORIG_RAX, -1)

    def _describe(self, number: int, arguments: list[int]) -> Call:
        name = NAMES.get(number)
        if name is None:
            return Call("", "")
        if number in _BY_PATH:
            return Call(name, self._text(arguments[0]))
        if number in _AT:
            text = self._text(arguments[1])
            folder = arguments[0] & 0xFFFFFFFF
            if text.startswith("/") or folder == _AT_FDCWD:
                return Call(name, text)
            return Call(name, f"{self._of(folder)}/{text}".rstrip("/"))
        return Call(name, self._of(arguments[0]))

    def _of(self, descriptor: int) -> str:
        try:
            return os.fspath(Path(f"/proc/{self.pid}/fd/{descriptor}").readlink())
        except OSError:
            return ""

    def _text(self, address: int) -> str:
        found = b""
        while address and b"\0" not in found:
            start = address + len(found)
            found += os.pread(self.memory, 4096 - start % 4096, start)
        return os.fsdecode(found.split(b"\0")[0])


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, task: int, address: int, data: int, gone: bool = False) -> int:
    """Ask the kernel; ``gone`` accepts that the task has been killed meanwhile."""
    mask = (1 << 64) - 1
    answer = int(_libc.ptrace(request, task, address & mask, data & mask))
    if answer < 0 and not gone:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
