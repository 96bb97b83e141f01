"""The pictures of an evaluation: which there are, and how they are written.

They are drawn with matplotlib's Agg canvas, whatever window system is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vin_batch.batch.atomic import atomic_file
from vin_batch.errors import DiskError, UsageError
from vin_batch.training.judged import CardScore, JudgedCards
from vin_batch.training.measure import CharacterScore
from vin_batch.training.rejects import RejectScore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH: Final = 110
"""Legible on a screen at full size, and small enough to send by mail."""


def require_matplotlib() -> None:
    """Refuse early, before an hour of measuring.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401, PLC0415
    except ImportError as error:
        raise UsageError(
            "matplotlib is not installed, so no pictures can be drawn",
            "Install it with pip install 'vin_batch[train]', or leave out --plots; --json has "
            "the same numbers.",
        ) from error


def plot_evaluation(
    characters: Sequence[CharacterScore],
    cards: Mapping[str, CardScore],
    rejects: Sequence[RejectScore],
    folder: Path,
) -> list[Path]:
    """Write all pictures of a model's evaluation.

    Args:
        characters: Scores by source, with their answers.
        cards: Scores by level, with their cards.
        rejects: Scores by kind.
        folder: Where the PNG files go; made if need be.

    Returns:
        The files written.

    Raises:
        UsageError: matplotlib is not installed.
        DiskError: A file cannot be written.
    """
    require_matplotlib()
    from vin_batch.training import plot_characters, plot_curves  # noqa: PLC0415

    known = [score for score in characters if score.answers is not None]
    figures: dict[str, Callable[[], Figure]] = {}
    if known:
        figures = {
            "sources": lambda: plot_characters.sources(known),
            "classes": lambda: plot_characters.classes(known),
            "confusion_matrix": lambda: plot_characters.confusion_matrix(known),
            "worst_confusions": lambda: plot_characters.worst_confusion_crops(known),
            "predictions": lambda: plot_characters.prediction_sheet(known),
            "reliability_characters": lambda: plot_curves.character_reliability(known),
        }
    if rejects:
        figures["rejects"] = lambda: plot_characters.reject_sheet(rejects)
    return _write(figures, folder) + plot_cards(cards, folder)


def plot_cards(cards: Mapping[str, CardScore], folder: Path) -> list[Path]:
    """Write the pictures of judged cards; see ``plot_evaluation``.

    Args:
        cards: Scores by level, or one of a run.
        folder: Where the PNG files go.
    """
    require_matplotlib()
    from vin_batch.training import plot_cards as drawing  # noqa: PLC0415
    from vin_batch.training import plot_curves  # noqa: PLC0415

    judged: dict[str, JudgedCards] = {
        level: score.judged for level, score in cards.items() if score.judged is not None
    }
    if not judged:
        return []
    figures: dict[str, Callable[[], Figure]] = {
        "risk_coverage": lambda: plot_curves.risk_coverage(judged),
        "reliability_cards": lambda: plot_curves.card_reliability(judged),
        "positions": lambda: drawing.positions(judged),
    }
    if any(one.pictures for one in judged.values()):
        figures["cards"] = lambda: drawing.card_sheet(judged)
    return _write(figures, folder)


def _write(figures: Mapping[str, Callable[[], Figure]], folder: Path) -> list[Path]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(
            f"cannot make {folder}: {error.strerror}", "Give another place with --plots."
        ) from error
    paths = []
    for name, draw in figures.items():
        figure = draw()
        FigureCanvasAgg(figure)
        path = folder / f"{name}.png"
        with atomic_file(path) as file:
            figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
        paths.append(path)
    return paths
