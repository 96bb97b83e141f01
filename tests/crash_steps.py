"""Kills or fails a job at its system calls, one after the other: ``crash_steps.py``.

First ``publish``, ``kill`` or ``fail``, then ``fresh``, ``half`` or ``retry``, then a folder;
a last argument ``N`` takes every Nth call only. Prints how many deaths or errors there were, and
what went wrong after them.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from crash_inline import (
    half_done,
    inline_config,
    left_overs,
    make_base,
    repaired,
    results,
    run_inline,
)
from crash_publishing import kill_publishing
from crash_tracer import Call, Fail, Kill, Work, trace
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.verify import Severity, verify_run
from vin_batch.errors import ExitCode

CHANGING = ("write", "pwrite", "ftruncate", "fsync", "close", "rename", "unlink", "mkdir", "chmod")
"""What these calls leave on the disk changes; a death between two others changes nothing."""
FAILURES = {
    "open": [Fail(errno.EIO)],
    "stat": [Fail(errno.EIO)],
    "fstat": [Fail(errno.EIO)],
    "read": [Fail(errno.EIO)],
    "pread": [Fail(errno.EIO)],
    "getdents": [Fail(errno.EIO)],
    "write": [Fail(errno.ENOSPC), Fail(errno.EIO)],
    "pwrite": [Fail(errno.ENOSPC)],
    "ftruncate": [Fail(errno.EIO)],
    "fsync": [Fail(errno.EIO), Fail(errno.ENOSPC)],
    "close": [Fail(errno.EIO, done=True)],
    "rename": [Fail(errno.EIO), Fail(errno.ENOSPC), Fail(errno.EIO, done=True)],
    "unlink": [Fail(errno.EIO)],
    "mkdir": [Fail(errno.ENOSPC)],
    "flock": [Fail(errno.ENOLCK)],
}
"""Errors that a disk gives; an error of ``close`` or a late one of ``rename`` undoes nothing."""
EXPECTED = {
    ExitCode.DONE,
    ExitCode.FINISHED_WITH_FAILURES,
    ExitCode.MODEL,
    ExitCode.DISK,
    ExitCode.ARCHIVE,
}


@dataclass(frozen=True, slots=True)
class Case:
    """From which state the job starts, and what it must come to."""

    base: Path
    start: str
    wanted: dict[str, bytes]

    @property
    def expected(self) -> set[ExitCode]:
        """What a failed call may come to.

        Where the receipt of a shard that is to be read again cannot be read, the shard is not
        known to be such a one, so that its card has changed under the run.
        """
        return EXPECTED | ({ExitCode.CHANGED_UNDER_RUN} if self.start == "retry" else set())

    def begin(self, name: str) -> Path:
        output = self.base / f"{self.start}_{name}"
        template = {"half": half_done, "retry": repaired}.get(self.start)
        if template is not None:
            shutil.copytree(template(self.base), output)
        return output

    def job(self, output: Path) -> Work:
        """The command of the case; its settings are made here, not where it is disturbed."""
        config = inline_config(self.base, output)
        return partial(run_inline, config, retry=self.start == "retry")


def calls_of(case: Case, everything: bool) -> list[Call]:
    """What the undisturbed job does to files of the case."""
    seen: list[Call] = []
    output = case.begin("seen")
    code = trace(case.job(output), seen.append)
    assert code == ExitCode.DONE, code
    shutil.rmtree(output)
    mine = os.fspath(case.base if everything else output)
    names = FAILURES if everything else CHANGING
    return [call for call in seen if call.name in names and call.path.startswith(mine)]


class At:
    """Acts at the ``number``-th call that looks like one of a kind."""

    def __init__(self, number: int, action: Fail | Kill, names: tuple[str, ...], mine: str) -> None:
        self.number, self.action, self.names, self.mine = number, action, names, mine
        self.seen = 0
        self.met: Call | None = None

    def __call__(self, call: Call) -> Fail | Kill | None:
        if call.name not in self.names or not call.path.startswith(self.mine):
            return None
        self.seen += 1
        if self.seen != self.number:
            return None
        self.met = call
        return self.action


def kill_everywhere(case: Case, every: int) -> Iterator[str | None]:
    for number in range(1, len(calls_of(case, everything=False)) + 1, every):
        output = case.begin(str(number))
        at = At(number, Kill(), CHANGING, os.fspath(output))
        code = trace(case.job(output), at)
        problem = None if code in {-9, 0} else f"ended with {code}"
        problem = problem or sound(output, lenient=case.start != "fresh") or ends_well(case, output)
        yield problem and f"killed before {at.met}: {problem}"
        shutil.rmtree(output)


def fail_everywhere(case: Case, every: int) -> Iterator[str | None]:
    mine = os.fspath(case.base)
    for number, call in list(enumerate(calls_of(case, everything=True), start=1))[::every]:
        for failure in FAILURES[call.name]:
            output = case.begin("it")
            at = At(number, failure, tuple(FAILURES), mine)
            code = trace(case.job(output), at)
            problem = None if code in case.expected else f"ended with {code}"
            problem = problem or sound(output, lenient=True) or ends_well(case, output)
            words = f"{errno.errorcode[failure.number]}{' late' * failure.done} at {at.met}"
            yield problem and f"{words}: ended with {code}: {problem}"
            shutil.rmtree(output, ignore_errors=True)


def sound(output: Path, lenient: bool) -> str | None:
    """What is damaged in a run directory after a death; None where nothing is.

    A shard that is read again has new readings and an old receipt for a moment: then
    ``lenient`` accepts readings that no receipt describes, but no file that does not parse.
    """
    run = RunDir(output)
    if not run.is_run():
        return None
    found = [f.message for f in verify_run(run) if f.severity is Severity.DAMAGE]
    wrong = [text for text in found if not (lenient and "not those that the receipt" in text)]
    return "; ".join(wrong) or None


def ends_well(case: Case, output: Path) -> str | None:
    """The same command comes to the wanted results; otherwise why not."""
    code = trace(case.job(output), lambda _: None)
    if code != ExitCode.DONE:
        return f"the same command then ended with {code}"
    if results(output) != case.wanted:
        return "the same command then gave other results"
    if left_overs(output):
        return f"left {left_overs(output)}"
    return "; ".join(finding.message for finding in verify_run(RunDir(output))) or None


def main() -> int:
    what, start, base = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    every = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    if what == "publish":
        outcomes = list(kill_publishing(base, start))
    else:
        make_base(base)
        case = Case(base, start, results(base / "undisturbed"))
        walk = kill_everywhere if what == "kill" else fail_everywhere
        outcomes = list(walk(case, every))
    problems = [problem for problem in outcomes if problem]
    print(json.dumps({"tried": len(outcomes), "problems": problems}, indent=1))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
