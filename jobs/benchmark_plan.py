"""The arithmetic for a large archive, from what a benchmark measured on one machine.

Every line says what it stands on: *measured* figures come from the file, the others are
products and quotients of them, and of the assumptions that are printed with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

BOXES: Final = 17
NIGHT_HOURS: Final = 8.0
CARDS_PER_PACK: Final = 10_000
CARDS_PER_SHARD: Final = 1000
INODE_BYTES: Final = 256
"""Of an ext4 file system; others take more."""


def plan(cards: int, document: Mapping[str, Any]) -> str:
    """Print the arithmetic.

    Args:
        cards: Cards of the archive.
        document: What ``benchmark.py --json`` wrote.

    Returns:
        Lines of text.
    """
    about, facts = document["about"], document["facts"]
    lines = [
        f"{cards:,} cards, {BOXES * cards:,} files; measured with {facts_name(facts)} crops on",
        f"{about['cpu']}, {about['cores']} cores, revision {about['revision']}, {about['at']}",
        f"load average {about['load_before']} before (only an idle machine says what it can)",
        "",
        *_disks(cards, facts, document["measured"]),
        *_time(cards, about, facts, document["measured"]),
        *_results(cards, facts),
    ]
    return "\n".join(lines)


def facts_name(facts: Mapping[str, Any]) -> str:
    """Formats that were measured."""
    found = [suffix for suffix in ("png", "jpg") if f"bytes_per_card_{suffix}" in facts]
    return " and ".join(found)


def _disks(cards: int, facts: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    lines = ["Disks"]
    for suffix in ("png", "jpg"):
        if (size := facts.get(f"bytes_per_card_{suffix}")) is None:
            continue
        disk = facts[f"disk_bytes_per_card_{suffix}"] + (BOXES + 1) * INODE_BYTES
        lines += [
            _line(
                f"{suffix}: {size:,.0f} bytes a card, {disk:,.0f} with blocks and inodes",
                "measured here, inodes assumed",
            ),
            _line(
                f"{suffix}: {size * cards / 1e12:.2f} TB of bytes, {disk * cards / 1e12:.2f} TB "
                "as loose files",
                "computed",
            ),
        ]
    lines.append(
        _line(
            f"{-(-cards // CARDS_PER_PACK):,} packs instead of {BOXES * cards:,} files", "computed"
        )
    )
    cold = measured.get("cold: read, 1 core")
    if cold:
        hours = cards / cold["per_second"] / 3600
        lines += [
            _line(f"loose files, cold, one reader: {cold['per_second']:,.0f} cards/s", "measured"),
            _line(f"reading all of them so: {hours:,.1f} h", "computed; other disks differ most"),
        ]
    return [*lines, ""]


def _time(
    cards: int, about: Mapping[str, Any], facts: Mapping[str, Any], measured: Mapping[str, Any]
) -> list[str]:
    lines = ["Time"]
    for name in ("vin-batch run", "vin-batch run, from packs"):
        if name not in measured:
            continue
        steady, each = facts[name]["steady"], measured[name]["cpu_seconds_each"]
        hours = cards / steady / 3600
        machines = -(-hours // NIGHT_HOURS)
        core_hours = cards * each / 3600
        lines += [
            _line(
                f"{name}: {steady:,.0f} cards/s on {about['cores']} cores, warm cache", "measured"
            ),
            _line(f"  {hours:,.1f} h on one such machine", "computed"),
            _line(
                f"  {machines:,.0f} such machines for one night of {NIGHT_HOURS:g} h",
                "computed, if the disk keeps up",
            ),
            _line(f"  {core_hours:,.0f} core hours in all", "computed"),
        ]
        lines += _limits(cards, facts[name])
    return [*lines, ""]


def _limits(cards: int, run: Mapping[str, Any]) -> list[str]:
    """The rate at which the main process alone is full: no number of workers exceeds it."""
    timings = run["timings"]
    serial = sum(timings.get(stage, 0.0) for stage in ("decode", "write", "other")) / run["cards"]
    bound = 1 / serial if serial else float("inf")
    return [
        _line(
            f"  rules and publishing take {1e3 * serial:.2f} ms a card in the main process: "
            f"{bound:,.0f} cards/s",
            "measured; bound of one job",
        ),
        _line(f"  so one job needs {cards / bound / 3600:,.1f} h at least", "computed"),
    ]


def _results(cards: int, facts: Mapping[str, Any]) -> list[str]:
    run = facts.get("vin-batch run")
    if run is None:
        return []
    each = run["output_bytes"] / run["cards"]
    shards = -(-cards // CARDS_PER_SHARD)
    slope = run["slope"]
    lines = [
        "Results",
        _line(f"{each:,.0f} bytes a card in readings and receipts", "measured"),
        _line(
            f"{each * cards / 1e9:,.1f} GB, {shards:,} shards of {CARDS_PER_SHARD:,}", "computed"
        ),
    ]
    if slope is not None:
        grown = max(0.0, slope) * cards / 10_000
        lines.append(
            _line(f"growth of the main process: {grown / 1e6:,.0f} MB", "computed from the slope")
        )
    return lines


def _line(text: str, basis: str) -> str:
    return f"  {text:<76} [{basis}]"
