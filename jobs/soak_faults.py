"""What the soak does to sessions while they run, and to their files in between."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from soak_processes import Session

from vin_batch.archive import open_archive, walk
from vin_batch.batch.faults import FAIL_VARIABLE, KILLED, VARIABLE
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import ExitCode

POINTS: Final = (
    "plan:written", "plan:renamed", "run_json:written", "run_json:renamed", "readings:written",
    "readings:synced", "readings:renamed", "publish:between", "receipt:written",
    "receipt:synced", "receipt:renamed", "publish:done", "csv:written", "csv:renamed",
    "summary:renamed", "report:renamed",
)  # fmt: skip
"""Crash points of a run; see ``vin_batch.batch.faults``."""
ERRORS: Final = ("ENOSPC", "EIO", "EDQUOT", "EROFS")
COMPLETE: Final = frozenset((int(ExitCode.DONE), int(ExitCode.FINISHED_WITH_FAILURES)))
STOPPED: Final = frozenset((int(ExitCode.INTERRUPTED), int(ExitCode.TERMINATED), -2, -15))
"""A signal that comes before the program listens ends it as the system does."""

Act = Callable[[Session, Random, float], None]


def leave_alone(session: Session, rng: Random, seconds: float) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What happens to one session.

    Attributes:
        name: For the table.
        codes: Exit statuses it may end with, besides those of a complete run.
        act: Called with the session, randomness, and the seconds of an undisturbed one.
        variables: More environment.
        file_limit: Most bytes of a file.
        twice: Whether a second session starts on the same output at once.
    """

    name: str
    codes: frozenset[int] = frozenset()
    act: Act = leave_alone
    variables: dict[str, str] = field(default_factory=dict)
    file_limit: int | None = None
    twice: bool = False


CALM: Final = Disturbance("calm")


def choose(rng: Random) -> Disturbance:
    """Draw a disturbance."""
    point = f"{rng.choice(POINTS)}:{rng.choice((1, 1, 2, 3, 5))}"
    disk = frozenset((int(ExitCode.DISK),))
    return rng.choice(
        (
            Disturbance("killed", frozenset((-9,)), _kill_main),
            Disturbance("killed with all workers", frozenset((-9,)), _kill_all),
            Disturbance("asked to stop", STOPPED, _ask),
            Disturbance("asked to stop, twice", STOPPED, _ask_twice),
            Disturbance("one worker killed", act=_kill_worker),
            Disturbance("stopped for a while", act=_stop_for_a_while),
            Disturbance("dies while writing", frozenset((KILLED,)), variables={VARIABLE: point}),
            Disturbance("dies while writing", frozenset((KILLED,)), variables={VARIABLE: point}),
            Disturbance(
                "disk error", disk, variables={FAIL_VARIABLE: f"{point}:{rng.choice(ERRORS)}"}
            ),
            Disturbance("no room for files", disk, file_limit=rng.randint(100, 20_000)),
            Disturbance("started twice", frozenset((int(ExitCode.LOCKED),)), twice=True),
        )
    )


def _kill_main(session: Session, rng: Random, seconds: float) -> None:
    time.sleep(rng.uniform(0, seconds))
    session.signal([session.process.pid], signal.SIGKILL)


def _kill_all(session: Session, rng: Random, seconds: float) -> None:
    time.sleep(rng.uniform(0, seconds))
    session.signal([*session.workers(), session.process.pid], signal.SIGKILL)


def _ask(session: Session, rng: Random, seconds: float) -> None:
    time.sleep(rng.uniform(0, seconds))
    session.signal([session.process.pid], rng.choice((signal.SIGINT, signal.SIGTERM)))


def _ask_twice(session: Session, rng: Random, seconds: float) -> None:
    _ask(session, rng, seconds)
    time.sleep(rng.uniform(0, 0.3))
    session.signal([session.process.pid], signal.SIGTERM)


def _kill_worker(session: Session, rng: Random, seconds: float) -> None:
    """One only: a card whose workers die again and again is rightly given up."""
    time.sleep(rng.uniform(0, seconds))
    workers = session.workers()
    session.signal(rng.sample(workers, min(1, len(workers))), signal.SIGKILL)


def _stop_for_a_while(session: Session, rng: Random, seconds: float) -> None:
    time.sleep(rng.uniform(0, seconds))
    everybody = [*session.workers(), session.process.pid]
    victims = rng.sample(everybody, rng.randint(1, len(everybody)))
    session.signal(victims, signal.SIGSTOP)
    time.sleep(rng.uniform(0.1, 1.0))
    session.signal(victims, signal.SIGCONT)


@dataclass(slots=True)
class Damage:
    """What was done to files between two sessions.

    Attributes:
        name: For the table.
        shards: Shards that need not hold what they should until a session completes.
        undo: Takes back what a person would have to repair.
        codes: Exit statuses that a session may end with because of it.
    """

    name: str
    shards: frozenset[int] = frozenset()
    undo: Callable[[], None] | None = None
    codes: frozenset[int] = frozenset()


def damage(run: RunDir, archive: Path, rng: Random) -> Damage:
    """Damage something of a run that is not running."""
    kinds = (_spoil_file, _spoil_file, _swap_parts, _leave_litter, _spoil_output, _take_crop_away)
    return rng.choice(kinds)(run, archive, rng)


def _spoil_file(run: RunDir, archive: Path, rng: Random) -> Damage:
    files = [*run.readings_dir.glob("part-*"), *run.receipts_dir.glob("part-*")]
    if not files:
        return Damage("nothing to spoil")
    path = rng.choice(sorted(files))
    data = bytearray(path.read_bytes())
    how = rng.choice(("flipped bit", "cut off", "emptied", "lost"))
    if how == "flipped bit" and data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    elif how == "cut off":
        os.truncate(path, rng.randrange(len(data) + 1))
    elif how == "emptied":
        os.truncate(path, 0)
    else:
        path.unlink()
    return Damage(f"{path.parent.name}: {how}", frozenset((int(path.stem.removeprefix("part-")),)))


def _swap_parts(run: RunDir, archive: Path, rng: Random) -> Damage:
    folder = rng.choice((run.readings_dir, run.receipts_dir))
    files = sorted(folder.glob("part-*"))
    if len(files) < 2:
        return Damage("nothing to swap")
    source, target = rng.sample(files, 2)
    shutil.copyfile(source, target)
    shard = int(target.stem.removeprefix("part-"))
    return Damage(f"{folder.name}: another shard's", frozenset((shard,)))


def _leave_litter(run: RunDir, archive: Path, rng: Random) -> Damage:
    if run.readings_dir.is_dir():
        (run.readings_dir / ".part-00000.parquet.tmp").write_bytes(b"torn")
    run.lock.write_text(f"pid {os.getpid()} on a-host-before-the-reboot\n", encoding="utf-8")
    return Damage("left-overs, an old lock")


def _spoil_output(run: RunDir, archive: Path, rng: Random) -> Damage:
    path = rng.choice(run.outputs)
    if path.exists() and rng.random() < 0.5:
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.unlink(missing_ok=True)
    return Damage(f"{path.name} spoiled")


def _take_crop_away(run: RunDir, archive: Path, rng: Random) -> Damage:
    """Put a pipe in place of a crop, as if the disk refused to give it; not for good."""
    cards = [ref.card_id for ref in walk(open_archive(archive))]
    number = rng.randrange(len(cards))
    folder = archive / cards[number]
    crops = sorted(path for path in folder.iterdir() if path.suffix == ".png")
    if not crops:
        return Damage("no crop to take away")
    crop = rng.choice(crops)
    aside = archive.parent / "taken away"
    crop.rename(aside)
    os.mkfifo(crop)

    def put_back() -> None:
        aside.replace(crop)

    return Damage(
        "a crop that cannot be read",
        frozenset((number,)),
        put_back,
        frozenset((int(ExitCode.ARCHIVE),)),
    )
