"""What the benchmark prints: medians, ratios, and how they stand to the targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmark_loops import Cost


@dataclass(slots=True)
class Results:
    """Everything that was measured, by name.

    Attributes:
        costs: Rounds of every measurement; the rounds of one name belong together.
        units: What is counted; ``cards`` unless it says otherwise.
        facts: Other figures.
        notes: Sentences for the reader.
    """

    costs: dict[str, list[Cost]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, cost: Cost, unit: str = "cards") -> None:
        """Keep one round."""
        self.costs.setdefault(name, []).append(cost)
        self.units[name] = unit

    def rate(self, name: str) -> float | None:
        """Median items per second that passed; None if not measured."""
        return median(cost.rate for cost in self.costs[name]) if name in self.costs else None

    def cpu(self, name: str) -> float | None:
        """Median processor seconds per item; None if not measured."""
        return median(cost.cpu_each for cost in self.costs[name]) if name in self.costs else None

    def ratio(self, ours: str, theirs: str, by_cpu: bool = False) -> float | None:
        """Median over the rounds of our speed by theirs; None if not measured.

        Args:
            ours: Name of a measurement.
            theirs: Name of another one, with the same unit.
            by_cpu: Compare processor seconds, which other work on the machine does not change.
        """
        if ours not in self.costs or theirs not in self.costs:
            return None
        rounds = zip(self.costs[ours], self.costs[theirs], strict=False)
        if by_cpu:
            return median(them.cpu_each / max(us.cpu_each, 1e-12) for us, them in rounds)
        return median(us.rate / them.rate for us, them in rounds)


@dataclass(frozen=True, slots=True)
class Target:
    """What was wanted, and what was reached.

    Attributes:
        words: What it is about.
        wanted: The bound.
        found: The figure; None if not measured.
        at_most: Whether the bound is an upper one.
        unit: Of both.
    """

    words: str
    wanted: float
    found: float | None
    at_most: bool = False
    unit: str = ""

    @property
    def verdict(self) -> str:
        """``reached``, ``not reached`` or ``not measured``."""
        if self.found is None:
            return "not measured"
        met = self.found <= self.wanted if self.at_most else self.found >= self.wanted
        return "reached" if met else "not reached"

    def line(self) -> str:
        """One line for people."""
        bound = f"{'at most' if self.at_most else 'at least'} {self.wanted:g}{self.unit}"
        found = "-" if self.found is None else f"{self.found:.3g}{self.unit}"
        return f"{self.words:<64}{bound:>16}{found:>10}  {self.verdict}"


def table(results: Results) -> str:
    """Medians of everything that was measured."""
    head = f"{'':<46}{'unit':>8}{'per second':>12}{'CPU µs each':>13}{'rounds':>8}"
    rows = [head]
    for name, costs in results.costs.items():
        rate, cpu = results.rate(name), results.cpu(name)
        assert rate is not None
        assert cpu is not None
        rows.append(
            f"{name:<46}{results.units[name]:>8}{_short(rate):>12}{1e6 * cpu:>13,.1f}"
            f"{len(costs):>8}"
        )
    return "\n".join(rows)


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:,.2f}"


def targets_table(targets: Iterable[Target]) -> str:
    """One line per target that was measured."""
    return "\n".join(target.line() for target in targets if target.found is not None)


def as_json(
    results: Results, targets: Sequence[Target], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything, for ``--json``."""
    return {
        "about": dict(about),
        "measured": {
            name: {
                "unit": results.units[name],
                "per_second": results.rate(name),
                "cpu_seconds_each": results.cpu(name),
                "rounds": [[cost.items, cost.wall, cost.cpu] for cost in costs],
            }
            for name, costs in results.costs.items()
        },
        "facts": results.facts,
        "targets": [
            {
                "words": target.words,
                "wanted": target.wanted,
                "at_most": target.at_most,
                "found": target.found,
                "verdict": target.verdict,
            }
            for target in targets
        ],
        "notes": results.notes,
    }
