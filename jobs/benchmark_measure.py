"""The measurements of the benchmark, one function for each group that takes turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import benchmark_loops as loops
import numpy as np
from benchmark_archive import card_folders
from benchmark_loops import Cost, PlainProcesses, in_this_process, timed
from benchmark_run import watch_run
from benchmark_stages import (
    PixelsStage,
    command_cost,
    judge_cards,
    pack_cards,
    publish_cards,
    status_cost,
)
from benchmark_table import Results

from vin_batch.classifier.model_card import load_model_card
from vin_batch.cli import COMMANDS

LOOPS: Final[dict[str, loops.Loop]] = {
    "read": loops.read_only,
    "read + decode": loops.read_decode,
    "read + decode + leanest OpenCV": loops.read_decode_lean,
    "read + our preprocessing": loops.read_decode_ours,
}
PIXELS: Final = "pixels stage of the job"
WARM_CARDS: Final = 20
NETWORK_CARDS: Final = 256
"""Cards whose images the classifier is measured with."""
SCRIPT_CARDS: Final = 300
"""Cards that the batched script loads: 5,100 images, enough to forget its beginning."""
COLD_CARDS: Final = 500
REFERENCE_RUN_CARDS: Final = 4000
"""Cards of the whole command with TensorFlow, where another engine is the default."""
DROP_CACHES: Final = Path("/proc/sys/vm/drop_caches")


@dataclass(slots=True)
class Bench:
    """What every measurement needs.

    Attributes:
        results: What was found so far.
        archives: Root by file suffix; the first one has all cards.
        cards: How many these are.
        sample: Cards for single stages.
        rounds: How often each is measured.
        cores: How many this machine gives us.
        model: Model directory.
        scratch: Folder for what is thrown away.
        shard_size: Of the whole command.
        seconds: For a script that reads one by one.
    """

    results: Results
    archives: dict[str, Path]
    cards: int
    sample: int
    rounds: int
    cores: int
    model: Path
    scratch: Path
    shard_size: int
    seconds: float

    @property
    def main_archive(self) -> Path:
        """The archive that has all cards."""
        return next(iter(self.archives.values()))

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers of processes to measure with."""
        return (1, self.cores) if self.cores > 1 else (1,)


def on(cores: int) -> str:
    """How a name says on how many cores."""
    return "1 core" if cores == 1 else f"{cores} cores"


def measure_walk(bench: Bench) -> None:
    """Listing the archive, against bare ``os.scandir``."""
    root = str(bench.main_archive)
    for turn in range(bench.rounds + 1):
        bare = timed(lambda: loops.scan_tree(root))
        ours = timed(lambda: loops.walk_tree(root))
        if bare.items != ours.items:
            raise RuntimeError(f"the walks found {ours.items} and {bare.items} files")
        if turn:
            bench.results.add("walk, bare os.scandir", bare, "files")
            bench.results.add("walk, ours", ours, "files")


def measure_pixels(bench: Bench) -> None:
    """File bytes to pixels: bare loops and the job's workers, on one core and on all."""
    loops.as_a_worker()
    for suffix, root in bench.archives.items():
        folders = card_folders(root, bench.sample)
        few = folders[:WARM_CARDS]
        for loop in LOOPS.values():
            loop(few)
        plain = PlainProcesses(bench.cores)
        stages = {width: PixelsStage(width, root, len(folders)) for width in bench.widths}
        try:
            plain.warm(list(LOOPS.values()), few)
            for stage in stages.values():
                stage.run(WARM_CARDS)
            for _ in range(bench.rounds):
                _pixels_round(bench, suffix, folders, plain, stages)
        finally:
            plain.close()
            for stage in stages.values():
                stage.close()


def _pixels_round(
    bench: Bench,
    suffix: str,
    folders: Sequence[str],
    plain: PlainProcesses,
    stages: dict[int, PixelsStage],
) -> None:
    for width, stage in stages.items():
        for name, loop in LOOPS.items():
            cost = in_this_process(loop, folders) if width == 1 else plain.run(loop, folders)
            bench.results.add(f"{suffix}: {name}, {on(width)}", cost)
        bench.results.add(f"{suffix}: {PIXELS}, {on(width)}", stage.run())


def measure_classifier(bench: Bench) -> None:
    """Pixels to log-probabilities, engine by engine, in a process of its own."""
    pack = pack_cards(bench.main_archive, NETWORK_CARDS)
    images = bench.scratch / "images.npy"
    np.save(images, pack.pixels.reshape(-1, *pack.pixels.shape[2:]))
    for width in bench.widths:
        found = networks(
            "classifier", bench, "--images", str(images), "--cores", str(width),
            "--log-probs", str(bench.scratch / "log_probs.npy"),
        )  # fmt: skip
        for name, costs in found.items():
            for cost in costs:
                bench.results.add(f"{name}, {on(width)}", cost, "images")


def networks(what: str, bench: Bench, *arguments: str) -> dict[str, list[Cost]]:
    """Run ``benchmark_networks.py``."""
    script = Path(__file__).with_name("benchmark_networks.py")
    command = [
        sys.executable, str(script), what, "--model", str(bench.model),
        "--rounds", str(bench.rounds), *arguments,
    ]  # fmt: skip
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, check=False, env=quiet)
    if done.returncode:
        raise RuntimeError(f"{script.name} failed: {done.stderr.decode()}")
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return {name: [Cost(**cost) for cost in costs] for name, costs in found.items()}


def measure_rules(bench: Bench) -> None:
    """Log-probabilities to readings, and readings to the disk; wants ``classifier`` before."""
    answers = bench.scratch / "log_probs.npy"
    if not answers.exists():
        bench.results.notes.append("rules: not measured, they need the stage classifier before.")
        return
    pack = pack_cards(bench.main_archive, NETWORK_CARDS)
    log_probs = np.load(answers, allow_pickle=False).reshape(len(pack.card_ids), 17, -1)
    costs, readings = judge_cards(load_model_card(bench.model), pack, log_probs, bench.rounds)
    for cost in costs:
        bench.results.add("VIN rules", cost)
    for cost in publish_cards(pack, readings, bench.scratch, bench.rounds):
        bench.results.add("publishing (Parquet, receipt, fsync)", cost)


def measure_run(bench: Bench) -> None:
    """The whole command over all cards, then ``status`` of what it left."""
    run_dir = bench.scratch / "run"
    _whole_run(bench, "vin-batch run", bench.main_archive, run_dir)
    if "litert" in bench.results.facts["vin-batch run"]["engine"]:
        limit = min(REFERENCE_RUN_CARDS, bench.cards)
        _whole_run(
            bench, "vin-batch run, TensorFlow", bench.main_archive, bench.scratch / "run_tf",
            "--inference", "tensorflow", "--limit", str(limit), cards=limit,
        )  # fmt: skip
    for _ in range(bench.rounds):
        bench.results.add("vin-batch status", status_cost(run_dir), "calls")


def _whole_run(
    bench: Bench, name: str, archive: Path, run_dir: Path, *more: str, cards: int | None = None
) -> None:
    size = str(bench.shard_size)
    seen = watch_run(archive, run_dir, ["--model", str(bench.model), "--shard-size", size, *more])
    if seen.cards != (cards or bench.cards):
        raise RuntimeError(f"{name} read {seen.cards} of {cards or bench.cards} cards")
    bench.results.add(name, Cost(seen.cards, seen.wall, seen.cpu))
    bench.results.facts[name] = asdict(seen)
    bench.results.notes.append(
        f"{name} ({seen.engine}): first shard after {seen.first_shard:.1f} s, "
        f"then {seen.steady:,.0f} cards/s; peak memory {seen.peak_pss / 1e6:,.0f} MB "
        f"(PSS of all processes). {seen.words}."
    )


def measure_packs(bench: Bench) -> None:
    """The same cards from packed files, where this version can pack."""
    if "pack" not in COMMANDS:
        bench.results.notes.append("packs: this version has no command pack.")
        return
    out = bench.scratch / "packs"
    packing = command_cost(bench.cards, "pack", str(bench.main_archive), str(out))
    bench.results.add("vin-batch pack", packing)
    _whole_run(bench, "vin-batch run, from packs", out, bench.scratch / "run_packs")


def measure_scripts(bench: Bench) -> None:
    """The earlier scripts over the same crops: a subset, since one of them is slow."""
    folders = bench.scratch / "folders.txt"
    chosen = card_folders(bench.main_archive, min(SCRIPT_CARDS, bench.sample))
    folders.write_text("\n".join(chosen), encoding="utf-8")
    found = networks("scripts", bench, "--folders", str(folders), "--seconds", str(bench.seconds))
    for name, costs in found.items():
        for cost in costs:
            bench.results.add(name, cost, "images")
    bench.results.notes.append(
        f"scripts: the one-by-one script read for {bench.seconds:g} s, the batched one "
        f"{17 * len(chosen)} images; their rates are taken to hold for all."
    )


def measure_cold(bench: Bench) -> None:
    """Files that no cache holds: bare reading, and the pixels stage with more workers."""
    if not _can_drop_caches():
        bench.results.notes.append(f"cold: not measured, {DROP_CACHES} cannot be written.")
        return
    root = bench.main_archive
    folders = card_folders(root, min(COLD_CARDS, bench.sample))
    few = folders[:WARM_CARDS]
    _cold(bench, "cold: read, 1 core", lambda: in_this_process(loops.read_only, folders))
    for width in (bench.cores, 4 * bench.cores):
        stage = PixelsStage(width, root, len(folders))
        try:
            stage.run(len(few))
            _cold(bench, f"cold: {PIXELS}, {width} workers", stage.run)
        finally:
            stage.close()


def _cold(bench: Bench, name: str, measure: Callable[[], Cost]) -> None:
    subprocess.run(["sync"], check=True)
    DROP_CACHES.write_text("3\n", encoding="ascii")
    bench.results.add(name, measure())


def _can_drop_caches() -> bool:
    try:
        with DROP_CACHES.open("a", encoding="ascii"):
            return True
    except OSError:
        return False
