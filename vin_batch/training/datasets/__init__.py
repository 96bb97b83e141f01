"""The data room: public sources of handwritten characters, as packs that can be trusted.

``open_dataset`` reads a source, ``map_source`` gives it the classes of a model,
``find_suspects`` names labels that are probably wrong, ``leave_one_source_out`` splits, and
``check_leaks`` and ``drop_leaks`` keep evaluation images out of training.
"""

from vin_batch.training.datasets.classes import Mapped, map_source
from vin_batch.training.datasets.conventions import KINDS, Kind
from vin_batch.training.datasets.duplicates import LeakReport, check_leaks, drop_leaks
from vin_batch.training.datasets.label_noise import Suspects, find_suspects
from vin_batch.training.datasets.opening import open_dataset
from vin_batch.training.datasets.source import Source
from vin_batch.training.datasets.splits import Fold, leave_one_source_out

__all__ = [
    "KINDS",
    "Fold",
    "Kind",
    "LeakReport",
    "Mapped",
    "Source",
    "Suspects",
    "check_leaks",
    "drop_leaks",
    "find_suspects",
    "leave_one_source_out",
    "map_source",
    "open_dataset",
]
