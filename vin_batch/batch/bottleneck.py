"""Which part of the job the others wait for, from the seconds in the receipts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MAIN_STAGES: Final = ("idle", "classify", "decode", "write", "other")
"""Stages of the main process; one after the other they make up its time."""
WORKER_STAGES: Final = ("read", "preprocess", "worker_classify")
"""Stages that run in worker processes, several at a time; not every run has the last one."""

RARELY_IDLE: Final = 0.2
"""A main process that waits for pixels for less than this share of its time is the bottleneck."""
MOSTLY_BUSY: Final = 0.8
"""Workers that have a task for at least this share of their time cannot take more."""
CORES_FULL: Final = 0.9
"""From this share of all processor time on, more processes only take turns."""
MOSTLY_COMPUTES: Final = 0.6
"""Workers that compute for less than this share of their tasks wait for something: the disk if
reading takes most of their time, else processors that other programs have."""

_MAIN_PARTS: Final = {
    "classify": ("classifier", "a GPU or a faster engine would help, more workers would not"),
    "decode": ("rules", "the VIN rules take longest there; more workers would not help"),
    "write": ("output", "writing takes longest there; a faster disk for RUN_DIR would help"),
    "other": ("main", "more workers would not help"),
}


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What a run waits for.

    Attributes:
        code: ``classifier``, ``rules``, ``output``, ``main`` (the rest of the main process),
            ``workers``, ``disk``, ``machine`` (other programs), ``cores`` or ``shards``.
        advice: What would help, for people.
    """

    code: str
    advice: str


@dataclass(frozen=True, slots=True)
class Load:
    """Who was busy, as shares of their time; None where the receipts do not tell.

    Attributes:
        classifier: Of the time of the main process, in which it classifies; of that of the
            workers where these do.
        main: The main process, whatever it did.
        workers: Having a task, whether they computed or waited for the disk.
        cores: Processor time of main process and workers, of all that the cores had.
        waits: Of the time in which workers had a task: what they did not compute.
    """

    classifier: float | None
    main: float | None
    workers: float | None
    cores: float | None
    waits: float | None

    def as_dict(self) -> dict[str, float | None]:
        """For JSON; keys are stable."""
        return {
            "classifier": self.classifier,
            "main": self.main,
            "workers": self.workers,
            "cores": self.cores,
        }


def load_of(timings: Mapping[str, float], cores: int | None) -> Load:
    """Find out who was busy.

    Args:
        timings: Seconds by stage, summed over receipts; see ``Receipt.timings``.
        cores: Cores that the job could use; None if unknown.
    """
    main = sum(timings.get(stage, 0.0) for stage in MAIN_STAGES)
    busy = timings.get("worker_busy", 0.0)
    cpu = timings.get("worker_cpu", 0.0) + timings.get("main_cpu", 0.0)
    there = busy + timings.get("worker_idle", 0.0)
    in_workers = timings.get("worker_classify", 0.0)
    return Load(
        classifier=_share(in_workers, there)
        if in_workers
        else _share(timings.get("classify", 0.0), main),
        main=_share(main - timings.get("idle", 0.0), main),
        workers=_share(busy, there),
        cores=_share(cpu, main * (cores or 0)) if cpu else None,
        waits=_share(busy - timings.get("worker_cpu", 0.0), busy) if cpu else None,
    )


def bottleneck_of(timings: Mapping[str, float], load: Load) -> Bottleneck | None:
    """Name what the others wait for; None where the receipts do not tell."""
    if load.main is None:
        return None
    if load.main > 1 - RARELY_IDLE:
        longest = max(_MAIN_PARTS, key=lambda stage: timings.get(stage, 0.0))
        code, advice = _MAIN_PARTS[longest]
        return Bottleneck(code, advice)
    return _why_pixels_are_late(timings, load)


def _why_pixels_are_late(timings: Mapping[str, float], load: Load) -> Bottleneck:
    """What the workers wait for, where the main process waits for them."""
    if load.cores is not None and load.cores >= CORES_FULL:
        return Bottleneck("cores", "all cores are at work; only more of them would help")
    if load.workers is not None and load.workers < MOSTLY_BUSY:
        return Bottleneck("shards", "too few shards for so many workers; try a smaller shard_size")
    if load.waits is not None and load.waits > 1 - MOSTLY_COMPUTES:
        if timings.get("read", 0.0) < timings.get("worker_busy", 0.0) / 2:
            return Bottleneck("machine", "workers wait for processors that other programs have")
        return Bottleneck(
            "disk", "workers wait for files: more workers, a faster disk or packs would help"
        )
    return Bottleneck("workers", "more workers would help")


def describe_load(timings: Mapping[str, float], cores: int | None) -> str:
    """One line for people, e.g. ``classifier busy 97%, workers 40%, …``; empty if unknown."""
    load = load_of(timings, cores)
    found = bottleneck_of(timings, load)
    if found is None:
        return ""
    in_workers = bool(timings.get("worker_classify"))
    parts = (
        ("classifier busy", None if in_workers else load.classifier),
        ("main process busy" if in_workers else "main process", load.main),
        (f"workers{_divided(timings)}", load.workers),
        (f"{cores} cores", load.cores),
    )
    shares = ", ".join(f"{name} {share:.0%}" for name, share in parts if share is not None)
    return f"{shares}: {found.advice}"


def load_as_dict(timings: Mapping[str, float], cores: int | None) -> dict[str, Any]:
    """Shares, and the code of the bottleneck, for JSON; keys are stable."""
    load = load_of(timings, cores)
    found = bottleneck_of(timings, load)
    return {**load.as_dict(), "bottleneck": None if found is None else found.code}


def cores_of(session: Mapping[str, Any] | None) -> int | None:
    """Cores that a session of ``run.json`` had; earlier versions did not note them."""
    return None if session is None else session.get("cores")


def _divided(timings: Mapping[str, float]) -> str:
    """What workers do, e.g. `` (read 5, preprocess 60, classify 30 of 100)``."""
    busy = timings.get("worker_busy", 0.0)
    if not busy:
        return ""
    shares = ((name, timings.get(name, 0.0) / busy) for name in WORKER_STAGES)
    told = ", ".join(
        f"{name.removeprefix('worker_')} {share:.0%}" for name, share in shares if share
    )
    return f" ({told})" if told else ""


def _share(part: float, whole: float) -> float | None:
    return round(min(1.0, max(0.0, part / whole)), 4) if whole > 0 else None
