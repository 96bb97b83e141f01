"""The catalogue in numbers, for the command line."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from vin_batch.batch.atomic import disk_errors
from vin_batch.nightly.catalogue import Catalogue
from vin_batch.nightly.nightdir import NightDir


def totals(nights: NightDir, catalogue: Catalogue) -> dict[str, Any]:
    """Count the cards of a catalogue; keys are stable."""
    counts: dict[str, Counter[str]] = {"status": Counter(), "model_id": Counter(), "run": Counter()}
    missing = trying = 0
    for table in catalogue.tables((*counts, "missing_since", "tries")):
        for name, counter in counts.items():
            for pair in table.column(name).value_counts().to_pylist():
                counter[pair["values"]] += pair["counts"]
        missing += table.num_rows - table.column("missing_since").null_count
        trying += sum(tries > 0 for tries in table.column("tries").to_pylist())
    return {
        "cards": catalogue.cards,
        "missing": missing,
        "failed_for_a_passing_cause": trying,
        "statuses": dict(counts["status"]),
        "models": dict(counts["model_id"]),
        "runs": len(nights.run_names()),
        "runs_with_current_readings": len(counts["run"]),
        "last_night": _last_night(nights),
    }


def describe(numbers: dict[str, Any]) -> str:
    """The totals for people, several lines."""
    lines = [
        f"cards     {numbers['cards']}",
        *(f"  {name:<11} {count}" for name, count in sorted(numbers["statuses"].items())),
        f"missing   {numbers['missing']} (not in the archive; their readings stay)",
        *(f"model     {name}: {count}" for name, count in sorted(numbers["models"].items())),
        f"runs      {numbers['runs']}, {numbers['runs_with_current_readings']} of them with "
        "current readings",
    ]
    last = numbers["last_night"]
    if last:
        failed = ", ".join(last["failed_exports"])
        rest = f"; not handed on: {failed}" if failed else ""
        lines.append(f"night     {last['night']} of {last['started_at']}: {last['outcome']}{rest}")
    return "\n".join(lines)


def _last_night(nights: NightDir) -> dict[str, Any] | None:
    name = next(reversed(nights.night_names()), None)
    if name is None:
        return None
    path = nights.summary(name)
    with disk_errors("read", path):
        data = path.read_bytes()
    try:
        document = json.loads(data)
        exports = document.get("exports", [])
        return {
            **{key: document[key] for key in ("night", "started_at", "finished_at", "outcome")},
            "failed_exports": [export["name"] for export in exports if export["error"]],
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        unknown = {"started_at": "?", "finished_at": None, "outcome": "unknown"}
        return {"night": name, **unknown, "failed_exports": []}
