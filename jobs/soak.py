"""Runs the job again and again under kills, disk errors and damage; nothing may be lost.

``python jobs/soak.py --seconds 3600`` draws an archive, reads it once undisturbed, and then in
rounds: every round begins a run, disturbs its sessions, and goes on with the same command until
the run is complete; then its readings must be those of the undisturbed one, byte for byte. Exit
1 where anything did not hold; the same ``--seed`` draws the same disturbances, but the moments
at which they strike depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from soak_checks import (
    Reference,
    check_cards,
    check_complete,
    check_unfinished,
    names_in,
    results_of,
)
from soak_faults import CALM, COMPLETE, Damage, Disturbance, choose, damage
from soak_processes import Session, Usage, left_behind, start, watch
from soak_session import PAUSE, make_stand_in

from vin_batch.batch.ledger import load_run
from vin_batch.batch.rundir import RunDir
from vin_batch.classifier.model_card import default_model_directory
from vin_batch.synthesis.folders import Order, write_archive

HERE: Final = Path(__file__).resolve().parent
DRAWN: Final = 150
"""Cards that are drawn; further ones are hard links to these, which cost nothing."""
MAX_DISTURBED: Final = 5
"""Sessions of a round that are disturbed; the next one is left alone and has to complete."""
MAX_SLOPE: Final = 20.0
"""MB of memory per 10,000 cards that count as none."""
SLOPE_CARDS: Final = 2_000
"""Cards below which a slope says nothing."""
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - looked at for litter


@dataclass(slots=True)
class Soak:
    """A soak under way.

    Attributes:
        base: Everything lies below it.
        command: The program, up to its flags.
        flags: Flags of every session.
        rng: All randomness.
        shard_size: Cards per shard.
        usage: What the undisturbed session held.
        outcomes: Exit statuses by disturbance.
        damages: Damage done, by kind.
        broken: What did not hold, and in which round.
        rounds: Runs that were completed.
        sessions: Sessions that were started.
        pids: Their main processes.
    """

    base: Path
    command: list[str]
    flags: list[str]
    rng: Random
    shard_size: int
    usage: Usage = field(default_factory=Usage)
    outcomes: dict[str, Counter[int]] = field(default_factory=dict)
    damages: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    rounds: int = 0
    sessions: int = 0
    pids: set[int] = field(default_factory=set)

    @property
    def archive(self) -> Path:
        """The cards."""
        return self.base / "archive"

    def begin(self, run: RunDir, disturbance: Disturbance) -> Session:
        """Start a session."""
        self.sessions += 1
        variables = {
            "TMPDIR": os.fspath(self.base / "tmp"),
            PAUSE: "0" if disturbance is CALM else f"{self.rng.uniform(0, 0.05):.3f}",
            **disturbance.variables,
        }
        session = start(
            [*self.command, "run", *self.flags, os.fspath(self.archive), "-o", os.fspath(run.root)],
            f"{os.getpid()}.{self.sessions}",
            self.base / "log",
            variables,
            disturbance.file_limit,
        )
        self.pids.add(session.process.pid)
        return session

    def note(self, problems: Iterable[str], when: str) -> None:
        """Keep what did not hold."""
        self.broken += [f"round {self.rounds + 1}, {when}: {problem}" for problem in problems]


def make_base(base: Path, cards: int, seed: int) -> None:
    """Draw the archive, some hostile cards among its own."""
    archive = base / "archive"
    (base / "tmp").mkdir()
    drawn = min(cards, DRAWN)
    write_archive(Order(drawn, seed, "scan", "png"), archive)
    folders = sorted(path.parent for path in archive.rglob("01.png"))
    for number in range(drawn, cards):
        copy = archive / f"linked_{number // 1000:03d}" / f"card_{number:06d}"
        copy.mkdir(parents=True)
        for crop in folders[number % drawn].iterdir():
            (copy / crop.name).hardlink_to(crop)
    _make_hostile(folders[0], archive / "odd")


def _make_hostile(whole: Path, odd: Path) -> None:
    crop = (whole / "01.png").read_bytes()
    kinds = {
        "=cmd(), with a comma": crop,
        "empty": b"",
        "torn": crop[: len(crop) // 2],
        "not an image": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        "new\nline": crop,
        "huge": crop[:16] + (30_000).to_bytes(4, "big") * 2 + crop[24:],
    }
    for name, data in kinds.items():
        (odd / name).mkdir(parents=True)
        for position in range(1, 18):
            (odd / name / f"{position:02d}.png").write_bytes(crop if position > 3 else data)


def run_undisturbed(soak: Soak) -> Reference:
    """Read everything once; watch the memory of the main process meanwhile."""
    run = RunDir(soak.base / "undisturbed")
    began = time.monotonic()
    session = soak.begin(run, CALM)
    code = watch(session, run.receipts_dir, soak.shard_size, soak.usage)
    seconds = time.monotonic() - began
    if code not in COMPLETE:
        raise SystemExit(f"the undisturbed run ended with {code}: see {session.log}")
    readings, csv = results_of(run)
    soak.note(check_cards(run, soak.archive), "undisturbed")
    return Reference(code, readings, csv, seconds, load_run(run).cards)


def do_round(soak: Soak, reference: Reference) -> None:
    """Begin a run, disturb it, and go on until it is complete."""
    run = RunDir(soak.base / "run")
    damaged: set[int] = set()
    for number in range(MAX_DISTURBED + 1):
        last = number == MAX_DISTURBED
        done = None
        if run.is_run() and not last and soak.rng.random() < 0.5:
            done = damage(run, soak.archive, soak.rng)
            damaged |= _by_shard(done, soak.shard_size)
            soak.damages[done.name] += 1
        disturbance = CALM if last else choose(soak.rng)
        codes = do_session(soak, run, disturbance, done, reference)
        if done and done.undo:
            done.undo()
        soak.note(check_unfinished(run, reference, damaged), disturbance.name)
        complete = bool(COMPLETE & codes) and not (done and done.undo)
        if complete:
            break
    if complete:
        code = next(iter(COMPLETE & codes))
        soak.note(check_complete(run, reference, code), disturbance.name)
    else:
        soak.note(["it did not complete when left alone"], "at its end")
    shutil.rmtree(run.root)
    soak.rounds += 1


def _by_shard(done: Damage, shard_size: int) -> set[int]:
    """Damage to a card is told by the number of the card."""
    if done.undo:
        return {number // shard_size for number in done.shards}
    return set(done.shards)


def do_session(
    soak: Soak, run: RunDir, disturbance: Disturbance, done: Damage | None, reference: Reference
) -> set[int]:
    """One session, or two at once; their exit statuses."""
    sessions = [soak.begin(run, disturbance) for _ in range(1 + disturbance.twice)]
    disturbance.act(sessions[0], soak.rng, reference.seconds)
    allowed = COMPLETE | disturbance.codes | (done.codes if done else frozenset())
    codes = set()
    for session in sessions:
        code = session.process.wait()
        codes.add(code)
        soak.outcomes.setdefault(disturbance.name, Counter())[code] += 1
        if code not in allowed:
            soak.note([f"ended with {code}"], disturbance.name)
        left = left_behind(session.mark)
        if left:
            soak.note([f"processes {left} were left behind"], disturbance.name)
            session.end()
    litter = names_in(soak.base / "tmp")
    if codes <= COMPLETE and litter:
        soak.note([f"left in TMPDIR: {sorted(litter)[:3]}"], disturbance.name)
    for path in litter:
        shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()
    return codes


def _shared(soak: Soak) -> set[str]:
    """Shared memory with a process of a session in its name: other programs use it, too."""
    names = names_in(SHARED_MEMORY)
    return {name for name in names if soak.pids & {int(n) for n in re.findall(r"\d+", name)}}


def report(soak: Soak, reference: Reference, seconds: float) -> dict[str, Any]:
    """Everything in numbers; adds what only the end can tell."""
    slope = soak.usage.slope() if reference.cards >= SLOPE_CARDS else None
    if slope is not None and slope > MAX_SLOPE:
        soak.broken.append(f"memory grows by {slope:.1f} MB per 10,000 cards")
    if soak.usage.leaked_descriptors():
        soak.broken.append(f"{soak.usage.leaked_descriptors()} files more are open at the end")
    return {
        "seconds": round(seconds, 1),
        "cards": reference.cards,
        "shards": len(reference.readings),
        "rounds": soak.rounds,
        "sessions": soak.sessions,
        "cards_read": reference.cards * (1 + soak.rounds),
        "undisturbed_seconds": round(reference.seconds, 1),
        "memory_mb_per_10000_cards": None if slope is None else round(slope, 2),
        "most_memory_mb": round(max(soak.usage.rss_bytes, default=0) / 2**20, 1),
        "outcomes": {name: dict(codes) for name, codes in sorted(soak.outcomes.items())},
        "damages": dict(sorted(soak.damages.items())),
        "broken": soak.broken,
    }


def as_table(result: dict[str, Any]) -> str:
    """The report for people."""
    slope = result["memory_mb_per_10000_cards"]
    lines = [
        f"{result['rounds']} runs of {result['cards']} cards in {result['sessions']} sessions, "
        f"{result['seconds']:.0f} s",
        f"memory of the main process: {result['most_memory_mb']} MB at most, "
        + ("too few cards for a slope" if slope is None else f"{slope} MB per 10,000 cards"),
        "",
        f"{'sessions that were':<28}{'number':>7}  exit codes",
    ]
    for name, codes in result["outcomes"].items():
        shown = ", ".join(f"{code} x{count}" for code, count in sorted(codes.items()))
        lines.append(f"{name:<28}{sum(codes.values()):>7}  {shown}")
    lines += ["", f"{'damage between sessions':<38}{'number':>7}"]
    lines += [f"{name:<38}{count:>7}" for name, count in result["damages"].items()]
    lines += ["", "everything held" if not result["broken"] else "BROKEN:", *result["broken"]]
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600, help="how long (3600)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of all randomness")
    parser.add_argument("--cards", type=int, default=2000, help="cards of the archive (2000)")
    parser.add_argument("--shard-size", type=int, default=20, metavar="N", help="(20)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="(2)")
    parser.add_argument("--real", action="store_true", help="the shipped model, not a stand-in")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--keep", action="store_true", help="keep the files and say where")
    return parser.parse_args()


def main() -> int:
    """Soak for a while."""
    args = parse()
    began = time.monotonic()
    base = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"seed {args.seed}, files in {base}", file=sys.stderr)
    model = default_model_directory() if args.real else make_stand_in(base / "model", args.seed)
    program = ["-m", "vin_batch"] if args.real else [os.fspath(HERE / "soak_session.py")]
    sizes = ["--workers", str(args.workers), "--shard-size", str(args.shard_size)]
    soak = Soak(
        base=base,
        command=[sys.executable, *program],
        flags=["--no-progress", "--device", "cpu", "--model", os.fspath(model), *sizes],
        rng=Random(args.seed),
        shard_size=args.shard_size,
    )
    make_base(base, args.cards, args.seed)
    before = names_in(SHARED_MEMORY)
    reference = run_undisturbed(soak)
    while time.monotonic() - began < args.seconds:
        do_round(soak, reference)
    soak.broken += [f"left in shared memory: {name}" for name in sorted(_shared(soak) - before)]
    result = report(soak, reference, time.monotonic() - began)
    print(json.dumps({"seed": args.seed, **result}, indent=1) if args.json else as_table(result))
    if args.keep or soak.broken:
        print(f"files are in {base}; --seed {args.seed} draws the same again", file=sys.stderr)
    else:
        shutil.rmtree(base)
    return bool(soak.broken)


if __name__ == "__main__":
    sys.exit(main())
