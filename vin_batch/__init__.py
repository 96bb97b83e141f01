"""vin_batch reads handwritten VINs from archives of scanned register cards.

The command line, ``vin-batch``, does the work. From Python there are two functions, which
import what they need when they are called:

- ``read_run`` gives the readings of a run as a DataFrame.
- ``read_cards`` reads a few cards in this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from vin_batch._version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from vin_batch.records import Reading

__all__ = ["__version__", "read_cards", "read_run"]


def read_run(run_dir: str | PathLike[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the readings of a run.

    An unfinished run gives the shards that are finished.

    Args:
        run_dir: The directory that ``vin-batch run`` wrote.
        columns: Names of the columns wanted, all when None. Leaving out ``chars`` saves most
            of the memory.

    Returns:
        One row per card in plan order, columns as in ``readings/*.parquet``.

    Raises:
        UsageError: The directory holds no run, or there is no such column.
        DiskError: A file of the run is damaged.
    """
    from vin_batch.batch.frames import read_frame  # noqa: PLC0415 - pandas takes a second

    return read_frame(Path(run_dir), columns)


def read_cards(
    paths: Iterable[str | PathLike[str]], model: str | PathLike[str] | None = None
) -> list[Reading]:
    """Read a few cards in this process; for many, ``vin-batch run`` is much faster.

    The first call loads the model, which takes seconds with TensorFlow; later calls with the
    same model reuse it. Who computes is chosen as `vin-batch run` does: LiteRT where it is
    installed and there is no GPU.

    Args:
        paths: Card folders.
        model: Model directory; the default model when None.

    Returns:
        One reading per path, in order; its ``card_id`` is the path.

    Raises:
        ArchiveError: A path is not a folder that holds images.
        ModelError: The model is missing or damaged.
    """
    from vin_batch.batch.direct import open_model, read_folders  # noqa: PLC0415
    from vin_batch.classifier.model_card import default_model_directory  # noqa: PLC0415
    from vin_batch.preprocess import preprocess_bytes  # noqa: PLC0415

    directory = default_model_directory() if model is None else Path(model)
    classifier, judge = open_model(directory)
    return read_folders(paths, preprocess_bytes, classifier, judge)
