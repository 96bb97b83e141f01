"""The history of a training, as CSV and as a plot."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vin_batch.batch.atomic import atomic_file, write_atomic
from vin_batch.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HistoryRow = Mapping[str, float]
"""One pool or pass: a number for each field."""

HISTORY_FIELDS: Final = (
    "pool", "images", "loss", "accuracy", "validation_accuracy", "learning_rate", "seconds",
    "drawing_seconds",
)  # fmt: skip
"""Columns in their order; ``images`` are those shown in this row, not the sum so far."""

PANELS: Final[Mapping[str, tuple[str, ...]]] = {
    "loss": ("loss",),
    "accuracy": ("accuracy", "validation_accuracy"),
    "learning rate": ("learning_rate",),
}
PLOT_FORMATS: Final = (".png", ".svg", ".pdf")
FIGURE_WIDTH: Final = 8.0
PANEL_HEIGHT: Final = 2.6
"""Inches, both."""
DOTS_PER_INCH: Final = 120


def write_history(rows: Sequence[HistoryRow], path: Path) -> None:
    """Write the rows as CSV, atomically.

    Args:
        rows: In the order of the training. Fields that no row has are left out; a field that
            one row lacks is an empty cell; unknown fields follow the known ones.
        path: The file; one that exists is replaced.

    Raises:
        DiskError: The file cannot be written.
    """
    present = dict.fromkeys(itertools.chain.from_iterable(rows))
    known = [field for field in HISTORY_FIELDS if field in present or not rows]
    fields = [*known, *(field for field in present if field not in HISTORY_FIELDS)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue().encode())


def plot_history(rows: Sequence[HistoryRow], path: Path) -> None:
    """Draw loss, accuracies and learning rate over the images shown, one above the other.

    Args:
        rows: In the order of the training; a panel without any value is left out.
        path: The file to write, ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        UsageError: matplotlib is not installed, the suffix is another one, or there is
            nothing to draw.
        DiskError: The file cannot be written.
    """
    if path.suffix not in PLOT_FORMATS:
        raise UsageError(
            f"cannot plot to {path}", f"Give a name that ends in {', '.join(PLOT_FORMATS)}."
        )
    figure = draw_history(rows)
    with atomic_file(path) as file:
        figure.savefig(file, format=path.suffix.removeprefix("."), dpi=DOTS_PER_INCH)


def draw_history(rows: Sequence[HistoryRow]) -> Figure:
    """The figure that ``plot_history`` writes.

    It belongs to no window system: it is drawn with the Agg canvas, whatever is configured.

    Raises:
        UsageError: matplotlib is not installed, or there is nothing to draw.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "matplotlib is not installed, so no plot can be drawn",
            "Install it with pip install 'vin_batch[train]'; history.csv has the same numbers.",
        ) from error
    panels = {
        title: shown
        for title, fields in PANELS.items()
        if (shown := [field for field in fields if any(field in row for row in rows)])
    }
    if not panels:
        raise UsageError(
            "the history has nothing to plot", "Let the training finish its first pool."
        )
    figure = Figure((FIGURE_WIDTH, PANEL_HEIGHT * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for place, (title, fields) in enumerate(panels.items()):
        _draw_panel(axes[place], title, fields, rows)
    axes[-1].set_xlabel("images shown")
    return figure


def _draw_panel(axes: Axes, title: str, fields: Sequence[str], rows: Sequence[HistoryRow]) -> None:
    from matplotlib.ticker import EngFormatter  # noqa: PLC0415

    shown = list(itertools.accumulate(row["images"] for row in rows))
    for field in fields:
        points = [(x, row[field]) for x, row in zip(shown, rows, strict=True) if field in row]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=_words(field))
    axes.set_ylabel(title)
    axes.grid(alpha=0.3)
    axes.xaxis.set_major_formatter(EngFormatter())
    if len(fields) > 1:
        axes.legend()


def _words(field: str) -> str:
    return field.replace("_", " ")
