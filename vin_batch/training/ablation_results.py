"""Results of a comparison: the file that keeps them, and the tables."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from vin_batch.batch.atomic import write_atomic
from vin_batch.batch.lock import hold
from vin_batch.errors import UsageError
from vin_batch.training.intervals import Z_95, wilson

FORMAT: Final = 1
_HEAD: Final = ("left out", "writers", "arch", "option", "seed")


@dataclass(frozen=True, slots=True)
class Score:
    """What a variant read wrong of one source.

    Attributes:
        images: How many were measured.
        wrong: Which of them were wrong.
    """

    images: int
    wrong: tuple[int, ...]

    @property
    def correct(self) -> int:
        """How many were right."""
        return self.images - len(self.wrong)


@dataclass(frozen=True, slots=True)
class RejectAnswers:
    """How sure a variant was of one kind of what is no character.

    Attributes:
        kind: What it is.
        crops: How many.
        answered: Crops that the preprocessing let pass.
        mean: Mean top probability of these, not calibrated; None where there are none.
        sure: How many had a top probability above 0.9.
    """

    kind: str
    crops: int
    answered: int
    mean: float | None
    sure: int


@dataclass(frozen=True, slots=True)
class Result:
    """One variant, trained and measured.

    Attributes:
        identity: Digest of everything that decides it.
        variant: Fields of the ``Variant``.
        images: Images of the pool that could be read.
        passes: How often each was shown.
        scores: By source.
        rejects: By kind; empty where they were not measured.
        seconds: Wall time of the training.
        cpu_seconds: Its processor time.
        drawing_seconds: Wall time of drawing what was not drawn yet.
    """

    identity: str
    variant: dict[str, Any]
    images: int
    passes: int
    scores: dict[str, Score]
    rejects: list[RejectAnswers]
    seconds: float
    cpu_seconds: float
    drawing_seconds: float


class Results:
    """Results by identity, in a JSON file if there is one.

    Two commands may write to the same file at the same time: each adds to what is there.

    Args:
        path: The file, or None to keep results in memory alone.

    Raises:
        UsageError: The file is there and holds something else.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found = _read(path) if path is not None else {}

    def get(self, identity: str) -> Result | None:
        """The result of that identity, or None."""
        return self._found.get(identity)

    def add(self, result: Result) -> None:
        """Keep a result, at once.

        Raises:
            DiskError: The file cannot be written.
            LockedError: Another command writes all the time.
        """
        self._found[result.identity] = result
        if self._path is None:
            return
        with hold(self._path.with_name(f".{self._path.name}.lock")):
            self._found = {**_read(self._path), **self._found}
            rows = [asdict(found) for found in self._found.values()]
            text = json.dumps({"format": FORMAT, "results": rows})
            write_atomic(self._path, text.encode())


def _read(path: Path) -> dict[str, Result]:
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']}")
        rows = [_result(row) for row in document["results"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} does not hold results of a comparison: {error}", "Give --json another file."
        ) from error
    return {row.identity: row for row in rows}


def _result(row: dict[str, Any]) -> Result:
    scores = {
        name: Score(score["images"], tuple(score["wrong"])) for name, score in row["scores"].items()
    }
    return Result(
        **{**row, "scores": scores, "rejects": [RejectAnswers(**one) for one in row["rejects"]]}
    )


def paired_difference(score: Score, reference: Score) -> tuple[float, float]:
    """How much more one variant reads right than another, of the same images.

    Only images that one reads and the other does not count for the spread (McNemar, 1947;
    Wald interval of the difference of paired shares).

    Args:
        score: One variant.
        reference: The other.

    Returns:
        The difference of the shares, and half the width of its 95 % interval.
    """
    gained = len(set(reference.wrong) - set(score.wrong))
    lost = len(set(score.wrong) - set(reference.wrong))
    total = score.images
    spread = math.sqrt(gained + lost - (gained - lost) ** 2 / total) / total
    return (gained - lost) / total, Z_95 * spread


def comparison_table(results: Sequence[Result]) -> list[list[str]]:
    """Rows of cells, the heading first.

    The columns are what varies, the accuracy in percent with its Wilson interval on the
    source left out (or on held-out people), its paired difference from the first row of the
    same source, and the accuracy on everything else that was measured.
    """
    varied = [name for name in _HEAD if len({_cell(row, name) for row in results}) > 1]
    shared = [name for name in results[0].scores if all(name in row.scores for row in results)]
    own = [next(iter(row.scores)) for row in results]
    others = [name for name in shared if name not in own]
    first: dict[str, Result] = {}
    columns = varied or ["arch"]
    cost = ["training, CPU s"] if "arch" in columns else []
    head = [*columns, *cost, "measured on", "right % [95 %]", "difference", *others]
    table = [head]
    for row, name in zip(results, own, strict=True):
        reference = first.setdefault(name, row)
        table.append(
            [
                *(_cell(row, column) for column in columns),
                *(f"{row.cpu_seconds:.0f}" for _ in cost),
                f"{name} ({row.scores[name].images:,})",
                share_cell(row.scores[name]),
                _difference(row.scores[name], reference.scores[name], row is reference),
                *(share_cell(row.scores[other]) for other in others),
            ]
        )
    return table


def pooled_table(results: Sequence[Result]) -> list[list[str]]:
    """The variants over all sources left out, each source counting the same.

    Only sources count that every variant has a result for. The differences are those of
    ``comparison_table``; their spreads add as those of independent samples.

    Returns:
        Rows of cells, the heading first; nothing where fewer than two sources were left out.
    """
    by_variant: dict[tuple[str, ...], dict[str, Score]] = {}
    for row in results:
        if row.variant["left_out"]:
            key = tuple(_cell(row, name) for name in _HEAD[1:])
            source = str(row.variant["left_out"])
            by_variant.setdefault(key, {})[source] = next(iter(row.scores.values()))
    complete = set.intersection(*map(set, by_variant.values())) if by_variant else set()
    if len(complete) < 2:
        return []
    sources = sorted(complete)
    keys = list(by_variant)
    varied = [place for place in range(len(_HEAD) - 1) if len({key[place] for key in keys}) > 1]
    reference = by_variant[keys[0]]
    table = [[*(_HEAD[1 + place] for place in varied), "sources", "mean right %", "difference"]]
    for key, scores in by_variant.items():
        shares = [scores[name].correct / scores[name].images for name in sources]
        pairs = [paired_difference(scores[name], reference[name]) for name in sources]
        gain = sum(pair[0] for pair in pairs) / len(pairs)
        spread = math.hypot(*(pair[1] for pair in pairs)) / len(pairs)
        told = "-" if scores is reference else f"{100 * gain:+.2f} ± {100 * spread:.2f}"
        mean = f"{100 * sum(shares) / len(shares):.2f}"
        table.append([*(key[place] for place in varied), str(len(sources)), mean, told])
    return table


def reject_rows(results: Sequence[Result]) -> list[list[str]]:
    """Mean top probability and share above 0.9 for each kind of reject, variants side by side."""
    measured = [row for row in results if row.rejects]
    if not measured:
        return []
    names = [_cell(row, "option") for row in measured]
    table = [["no character", "crops", *names]]
    for number, answers in enumerate(measured[0].rejects):
        cells = []
        for row in measured:
            one = row.rejects[number]
            mean = "-" if one.mean is None else f"{one.mean:.2f}"
            cells.append(f"{mean}, {100 * one.sure / max(one.crops, 1):.0f} % > 0.9")
        table.append([answers.kind, str(answers.crops), *cells])
    return table


def share_cell(score: Score) -> str:
    """Share right in percent with its Wilson interval."""
    low, high = wilson(score.correct, score.images)
    return f"{100 * score.correct / score.images:.2f} [{100 * low:.1f}, {100 * high:.1f}]"


def _difference(score: Score, reference: Score, same: bool) -> str:
    if same:
        return "-"
    if score.images != reference.images:
        return "other images"
    gain, spread = paired_difference(score, reference)
    return f"{100 * gain:+.2f} ± {100 * spread:.2f}"


def _cell(row: Result, column: str) -> str:
    value = str(row.variant[column.replace(" ", "_")])
    return value or ("none" if column == "left out" else "as planned")


def as_text(table: Sequence[Sequence[str]]) -> str:
    """Columns aligned for the terminal."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
             for row in table]  # fmt: skip
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(table: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    head, *rows = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([head, "|" + "---|" * len(table[0]), *rows])
