"""What a source holds, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from vin_batch.training.datasets.classes import Lowercase, Mapped, map_source
from vin_batch.training.datasets.cross_fit import cross_fit, fit_neighbours, folds_of
from vin_batch.training.datasets.label_noise import find_suspects
from vin_batch.training.datasets.source import Source
from vin_batch.training.packs import GlyphPack


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that is probably wrong.

    Attributes:
        source: Name of the source.
        row: Position in the source.
        label: The label.
        likely: What the image more probably shows.
        margin: See ``label_noise.Suspects``.
    """

    source: str
    row: int
    label: str
    likely: str
    margin: float


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """One row of the table.

    Attributes:
        source: Name.
        kind: Format in words.
        images: Images kept after the class rule.
        held_out: How many of them are never trained on.
        classes: Classes with an image.
        writers: Known writers, None where they are not told.
        smallest: Smallest class and its images.
        largest: Largest class and its images.
        merged: Lower-case images that bear their capital's label.
        dropped: Images left out, by reason.
        unreadable: Files without an image, by issue code.
        suspects: Labels that are probably wrong, None where nobody looked.
        doubles: Training images that show the drawing of an evaluation image, None where
            nobody looked.
        notes: What was found and put right.
    """

    source: str
    kind: str
    images: int
    held_out: int
    classes: int
    writers: int | None
    smallest: tuple[str, int]
    largest: tuple[str, int]
    merged: int
    dropped: dict[str, int]
    unreadable: dict[str, int]
    suspects: int | None = None
    doubles: int | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def class_balance(packs: Sequence[GlyphPack], alphabet: str) -> dict[str, int]:
    """Images of every class over several packs; 0 for a class without any."""
    counts: Counter[str] = Counter()
    for pack in packs:
        labels, numbers = np.unique(pack.labels, return_counts=True)
        counts.update(dict(zip(labels.tolist(), numbers.tolist(), strict=True)))
    return {character: counts[character] for character in alphabet}


def summarise(
    source: Source, alphabet: str, lowercase: Lowercase = "look_alikes"
) -> tuple[SourceSummary, Mapped]:
    """Apply the class rule to a source and count.

    Args:
        source: The source.
        alphabet: Wanted classes.
        lowercase: See ``map_source``.

    Returns:
        The row of the table, and the pack that it describes.
    """
    mapped = map_source(source, alphabet, lowercase)
    pack = mapped.pack
    present = {k: n for k, n in class_balance([pack], alphabet).items() if n}
    order = sorted(present.items(), key=lambda item: item[1]) or [("", 0)]
    dropped = mapped.dropped + Counter({"doubtful label": source.doubtful})
    row = SourceSummary(
        source=pack.name,
        kind=source.kind,
        images=len(pack.labels),
        held_out=int(pack.held_out.sum()),
        classes=len(present),
        writers=None if pack.writers is None else len(np.unique(pack.writers)),
        smallest=order[0],
        largest=order[-1],
        merged=mapped.merged,
        dropped=dict(dropped),
        unreadable=dict(source.unreadable),
        notes=source.notes,
    )
    return row, mapped


def suspects_of(pack: GlyphPack) -> list[Suspect]:
    """Labels of a pack that are probably wrong, by its most similar images of other people.

    Args:
        pack: A pack with at least two classes.

    Returns:
        The suspects, the worst first; none where the pack is too small to tell.
    """
    names, numbers = np.unique(pack.labels, return_inverse=True)
    fold = folds_of(pack)
    if len(names) < 2 or len(np.unique(fold)) < 2:
        return []
    labels = numbers.astype(np.int64)
    found = find_suspects(labels, cross_fit(pack.images, labels, fold, fit_neighbours(len(names))))
    return [
        Suspect(
            pack.name, int(pack.rows[row]), str(names[given]), str(names[likely]), float(margin)
        )
        for row, given, likely, margin in zip(
            found.rows, found.given, found.likely, found.margin, strict=True
        )
    ]


_HEADINGS = (
    ("source", "<20"),
    ("images", ">8"),
    ("held out", ">9"),
    ("classes", ">8"),
    ("writers", ">8"),
    ("smallest", ">10"),
    ("largest", ">10"),
    ("merged", ">7"),
    ("dropped", ">8"),
    ("suspects", ">9"),
    ("doubles", ">8"),
)


def table_text(rows: Sequence[SourceSummary]) -> str:
    """The table, with the reasons and notes of each source below it."""
    lines = ["".join(f"{name:{form}}" for name, form in _HEADINGS)]
    for row in rows:
        values = (
            row.source,
            f"{row.images:,}",
            f"{row.held_out:,}",
            str(row.classes),
            _number(row.writers),
            f"{row.smallest[0]} {row.smallest[1]:,}",
            f"{row.largest[0]} {row.largest[1]:,}",
            f"{row.merged:,}",
            f"{sum(row.dropped.values()):,}",
            _number(row.suspects),
            _number(row.doubles),
        )
        forms = (form for _, form in _HEADINGS)
        lines.append("".join(f"{v:{form}}" for v, form in zip(values, forms, strict=True)))
    lines.append("")
    lines += [f"{row.source}: {'; '.join(_remarks(row))}" for row in rows]
    return "\n".join(lines)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _remarks(row: SourceSummary) -> list[str]:
    dropped = [f"dropped {count:,} ({reason})" for reason, count in row.dropped.items()]
    unreadable = [f"{count:,} files {code}" for code, count in row.unreadable.items()]
    return [row.kind, *dropped, *unreadable, *row.notes]
