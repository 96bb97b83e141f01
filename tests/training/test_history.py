"""The history is written as it was, and drawn over the images shown."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from vin_batch.errors import UsageError
from vin_batch.training.history import (
    HISTORY_FIELDS,
    HistoryRow,
    draw_history,
    plot_history,
    write_history,
)

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

ROWS: list[HistoryRow] = [
    {
        "pool": pool,
        "images": 800 + pool,
        "loss": 2.0 / (pool + 1),
        "accuracy": 0.8 + 0.02 * pool,
        "validation_accuracy": 0.75 + 0.03 * pool,
        "learning_rate": 0.002 - 0.0005 * pool,
        "seconds": 12.5,
        "drawing_seconds": 4.0,
    }
    for pool in range(3)
]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata(), float)]


def test_csv_has_the_rows_in_order(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("an older history\n")
    shuffled = [dict(reversed(list(row.items()))) for row in ROWS]
    write_history(shuffled, path)
    found = read(path)
    assert tuple(found[0]) == HISTORY_FIELDS
    assert [{key: float(value) for key, value in row.items()} for row in found] == ROWS
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.csv"], "nothing left over"


def test_csv_takes_new_fields_and_rows_that_lack_one(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    write_history([{"images": 5, "loss": 1.5}, {"images": 6, "gradient_norm": 0.25}], path)
    assert read(path) == [
        {"images": "5", "loss": "1.5", "gradient_norm": ""},
        {"images": "6", "loss": "", "gradient_norm": "0.25"},
    ]


def test_csv_of_nothing_has_the_heading(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    write_history([], path)
    assert path.read_text(encoding="utf-8") == ",".join(HISTORY_FIELDS) + "\n"


def test_curves_run_over_all_images_shown() -> None:
    pytest.importorskip("matplotlib")
    figure = draw_history(ROWS)
    curves = {
        str(line.get_label()): points(line) for axes in figure.axes for line in axes.get_lines()
    }
    shown = (800, 1_601, 2_403)
    assert curves == {
        field.replace("_", " "): [(x, row[field]) for x, row in zip(shown, ROWS, strict=True)]
        for field in ("loss", "accuracy", "validation_accuracy", "learning_rate")
    }
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    assert figure.axes[-1].get_xlabel() == "images shown"


def test_what_no_row_has_gets_no_panel_and_gaps_are_left_out() -> None:
    pytest.importorskip("matplotlib")
    rows: list[HistoryRow] = [
        {"images": 10, "loss": 3.0, "accuracy": 0.5},
        {"images": 10, "loss": 2.0},
        {"images": 10, "loss": 1.0, "accuracy": 0.7},
    ]
    figure = draw_history(rows)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    (accuracy,) = figure.axes[1].get_lines()
    assert points(accuracy) == [(10, 0.5), (30, 0.7)]


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_the_plot_is_a_whole_file(suffix: str, magic: bytes, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"history{suffix}"
    plot_history(ROWS[:1], path)
    assert path.read_bytes().startswith(magic)
    assert len(path.read_bytes()) > 2_000
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_plotting_opens_no_window(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("MPLBACKEND", "tkagg")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    plot_history(ROWS, tmp_path / "history.png")
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib_the_advice_is_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match="matplotlib is not installed") as caught:
        plot_history(ROWS, tmp_path / "history.png")
    assert "vin_batch[train]" in caught.value.advice
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_plot_and_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"history\.jpg") as caught:
        plot_history(ROWS, tmp_path / "history.jpg")
    assert ".png" in caught.value.advice
    pytest.importorskip("matplotlib")
    for rows in ([], [{"images": 5, "seconds": 1.0}]):
        with pytest.raises(UsageError, match="nothing to plot"):
            plot_history(rows, tmp_path / "history.png")
    assert list(tmp_path.iterdir()) == []
