"""How fast this machine reads cards, against what it could reach at all.

    python jobs/benchmark.py --json result.json               # 20,000 cards, 8 minutes
    python jobs/benchmark.py --cards 2000 --stages pixels,run
    python jobs/benchmark.py --plan 10000000 --from result.json

Makes an archive of its own (seeded), measures the stages alone, against bare loops that do
the same work without a framework, then the whole command, then the earlier scripts, all in one
session: what is compared takes turns, round by round, so that ratios hold on a machine that
does other things, too. Ratios of rates want an otherwise idle machine all the same; the load
average is printed. Medians over the rounds. Needs the extra ``dev``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import benchmark_plan
from benchmark_about import about_machine, load_average
from benchmark_archive import ArchiveOrder, Pool, bytes_of, card_folders, make_archive
from benchmark_measure import (
    Bench,
    measure_classifier,
    measure_cold,
    measure_packs,
    measure_pixels,
    measure_rules,
    measure_run,
    measure_scripts,
    measure_walk,
)
from benchmark_table import Results, Target, as_json, table, targets_table
from benchmark_targets import targets_of

from vin_batch.classifier.model_card import default_model_directory
from vin_batch.config import default_workers

STAGES: Final[dict[str, Callable[[Bench], None]]] = {
    "walk": measure_walk,
    "pixels": measure_pixels,
    "classifier": measure_classifier,
    "rules": measure_rules,
    "run": measure_run,
    "packs": measure_packs,
    "scripts": measure_scripts,
    "cold": measure_cold,
}
SAMPLE: Final = 1000
"""Cards that single stages are measured with, half of them in the second format; the whole
command reads all."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print, or plan."""
    args = parse(argv)
    if args.plan:
        print(benchmark_plan.plan(args.plan, json.loads(args.source.read_text("utf-8"))))
        return 0
    tell(f"load average {load_average()}")
    began, before = time.perf_counter(), load_average()
    with tempfile.TemporaryDirectory(prefix="vin_batch_benchmark_") as scratch:
        folder = args.dir or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        bench = prepare(args, folder, Path(scratch))
        for name in args.stages:
            tell(f"{name} …")
            STAGES[name](bench)
    targets = targets_of(bench.results, bench.cores)
    about = {
        **about_machine(),
        "arguments": vars(args) | {"stages": list(args.stages)},
        "load_before": before,
        "load_after": load_average(),
        "seconds": round(time.perf_counter() - began, 1),
    }
    print_all(bench.results, targets, about)
    if args.json:
        document = as_json(bench.results, targets, about)
        args.json.write_text(json.dumps(document, indent=1, default=str) + "\n", "utf-8")
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cards", type=int, default=20_000)
    parser.add_argument("--pool", type=int, default=1000, help="distinct cards that are drawn")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--format", choices=("png", "jpg", "both"), default="both")
    parser.add_argument("--side", type=int, default=48, help="pixels of a crop's longer side")
    parser.add_argument("--dir", type=Path, help="keep the archives here, and use them again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything here, too")
    parser.add_argument("--stages", type=_stages, default=tuple(STAGES), help=", ".join(STAGES))
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians count")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="cards for single stages")
    parser.add_argument("--shard-size", type=int, default=1000)
    parser.add_argument("--model", type=Path, default=default_model_directory())
    parser.add_argument(
        "--seconds", type=float, default=8.0, help="for a script that reads one by one"
    )
    parser.add_argument("--plan", type=int, metavar="CARDS", help="arithmetic for an archive")
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE", help="a --json of ours")
    args = parser.parse_args(argv)
    if args.plan and not args.source:
        parser.error("--plan needs --from FILE")
    return args


def _stages(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    unknown = [name for name in chosen if name not in STAGES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such stage: {unknown[0]}")
    return chosen


def prepare(args: argparse.Namespace, folder: Path, scratch: Path) -> Bench:
    """Make the archives: all cards in the first format, a sample in the second."""
    cores = default_workers()
    suffixes = ("png", "jpg") if args.format == "both" else (args.format,)
    archives = {}
    sample = min(args.cards, args.sample)
    pool = Pool(min(args.pool, args.cards), args.seed, args.side, cores)
    for suffix in suffixes:
        cards = args.cards if suffix == suffixes[0] else -(-sample // 2)
        order = ArchiveOrder(cards, min(args.pool, cards), args.seed, suffix, args.side)
        tell(f"making {cards} cards, {order.pool} of them distinct, as {suffix} …")
        name = f"{suffix}_{args.side}_{cards}_{order.pool}_{args.seed}"
        archives[suffix] = make_archive(order, folder / name, pool)
    results = Results()
    for suffix, root in archives.items():
        some = card_folders(root, 200)
        size, disk = bytes_of(some)
        results.facts[f"bytes_per_card_{suffix}"] = size / len(some)
        results.facts[f"disk_bytes_per_card_{suffix}"] = disk / len(some)
    return Bench(
        results=results,
        archives=archives,
        cards=args.cards,
        sample=sample,
        rounds=args.repeat,
        cores=cores,
        model=args.model,
        scratch=scratch,
        shard_size=args.shard_size,
        seconds=args.seconds,
    )


def print_all(results: Results, targets: Sequence[Target], about: dict[str, object]) -> None:
    """Print the tables on stdout."""
    print(
        f"{about['cpu']}, {about['cores']} cores; load {about['load_before']} before, "
        f"{about['load_after']} after; {about['seconds']} s; revision {about['revision']}\n"
    )
    print(table(results))
    for note in results.notes:
        print(f"\n{note}")
    print("\n" + targets_table(targets))


def tell(text: str) -> None:
    """News on stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("VIN_BATCH_KERNELS", "wait")  # measured is what every later run has
    sys.exit(main())
