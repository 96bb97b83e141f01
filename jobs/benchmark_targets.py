"""The targets of this project for speed and memory, and the figures that belong to them."""

from __future__ import annotations

from typing import Final

from benchmark_measure import PIXELS, on
from benchmark_table import Results, Target

BOXES: Final = 17
ENGINES: Final = {"litert": "litert", "": "tensorflow, batch 256"}
"""What a run's engine is called among the measurements, by a part of its name."""


def targets_of(results: Results, cores: int) -> list[Target]:
    """Every target, reached or not.

    Args:
        results: What was measured.
        cores: Cores that the job had.
    """
    width = on(cores)
    run = results.facts.get("vin-batch run", {})
    pixels = []
    for suffix in ("png", "jpg"):
        stage = f"{suffix}: {PIXELS}, {width}"
        for by_cpu, words in ((False, "rate"), (True, "by processor time")):
            lean = results.ratio(
                stage, f"{suffix}: read + decode + leanest OpenCV, {width}", by_cpu=by_cpu
            )
            pixels.append(
                Target(f"pixels stage / leanest loop, {suffix}, {width}, {words}", 0.8, lean)
            )
        bare = results.ratio(stage, f"{suffix}: read + our preprocessing, {width}", by_cpu=True)
        pixels.append(Target(f"pixels stage / bare loop of the same, {suffix}", 0.8, bare))
    slope = run.get("slope")
    walks = "walk, ours", "walk, bare os.scandir"
    return [
        Target("walk / bare os.scandir, rate", 0.6, results.ratio(*walks)),
        Target(
            "walk / bare os.scandir, by processor time", 0.6, results.ratio(*walks, by_cpu=True)
        ),
        *pixels,
        Target("whole command / what the single stages allow", 0.8, end_to_end(results, cores)),
        *_against_scripts(results),
        Target("first shard after", 10.0, run.get("first_shard"), at_most=True, unit=" s"),
        Target(
            "vin-batch status, processor time", 0.5, results.cpu("vin-batch status"),
            at_most=True, unit=" s",
        ),
        Target(
            "growth of the parent per 10,000 cards", 1.0, None if slope is None else slope / 1e6,
            at_most=True, unit=" MB",
        ),
        Target(
            "peak memory of all processes (PSS)", 2.5, _giga(run.get("peak_pss")),
            at_most=True, unit=" GB",
        ),
    ]  # fmt: skip


def allowed_rate(results: Results, cores: int) -> float | None:
    """Cards per second if the stages cost together what they cost alone, on all cores.

    Returns:
        None where a stage was not measured.
    """
    engine = results.facts.get("vin-batch run", {}).get("engine", "")
    classifier = next(name for part, name in ENGINES.items() if part in engine)
    suffix = "png" if results.cpu(f"png: {PIXELS}, 1 core") else "jpg"
    parts = (
        results.cpu(f"{suffix}: {PIXELS}, 1 core"),
        results.cpu(f"{classifier}, 1 core"),
        results.cpu("VIN rules"),
        results.cpu("publishing (Parquet, receipt, fsync)"),
    )
    pixels, classify, rules, publish = parts
    if pixels is None or classify is None or rules is None or publish is None:
        return None
    return cores / (pixels + BOXES * classify + rules + publish)


def end_to_end(results: Results, cores: int) -> float | None:
    """Rate of the whole command, start and end included, by ``allowed_rate``."""
    rate, allowed = results.rate("vin-batch run"), allowed_rate(results, cores)
    return None if rate is None or allowed is None else rate / allowed


def _against_scripts(results: Results) -> list[Target]:
    rate = results.rate("vin-batch run")
    found = []
    for network in ("3-conv network", "our network"):
        for script, wanted in (
            ("one predict per image", 150.0),
            ("all images in one predict", 4.0),
        ):
            theirs = results.rate(f"{script}, {network}")
            ratio = BOXES * rate / theirs if rate and theirs else None
            found.append(Target(f"whole command / {script}, {network}", wanted, ratio, unit="x"))
    return found


def _giga(size: float | None) -> float | None:
    return None if size is None else size / 1e9
