"""Settings for all tests, and models that are made once.

Property tests never fail because the machine is busy. TensorFlow is imported only by tests
that ask for a model.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from vin_batch.batch.about import forget

if TYPE_CHECKING:
    from vin_batch.classifier.keras_classifier import KerasClassifier

settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

SLOW_FIRST = (
    "cluster/test_ray_cluster.py",
    "training/test_course.py",
    "crash/test_system_calls.py",
    "crash/test_soak.py",
    "crash/test_poison.py",
    "cli/test_benchmark.py",
    "crash/test_signals.py",
    "hostile/test_whole_run.py",
    "crash/test_crash_points.py",
    "batch/test_workers.py",
    "cli/test_end_to_end.py",
    "cli/test_nightly.py",
    "crash/test_starts.py",
    "cluster/test_ray_command.py",
    "cli/test_compare_training.py",
    "cli/test_second_reader.py",
    "crash/test_disk.py",
    "batch/test_slices.py",
)
"""Files of more than 15 seconds, the longest first: with several processes, none begins one
when the others have nothing left to do."""

# Workers of tests start by the hundred, and should not compile anything beside them.
os.environ.setdefault("VIN_BATCH_KERNELS", "off")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow files first, where processes of pytest-xdist share the files."""
    if not hasattr(config, "workerinput"):
        return
    tests = Path(__file__).parent
    place = {tests / name: number for number, name in enumerate(SLOW_FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Undo the logging of a command that ran inside a test."""
    loggers = [logging.getLogger("vin_batch"), logging.getLogger()]
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]
    yield
    for each, handlers, level, propagate in before:
        each.handlers[:] = handlers
        each.setLevel(level)
        each.propagate = propagate
    logging.captureWarnings(False)
    forget()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory that reads clean drawn characters, nine in ten right."""
    from tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_classifier(tiny_model: Path) -> KerasClassifier:
    """That model, loaded on the processor."""
    from vin_batch.classifier.keras_classifier import open_classifier
    from vin_batch.classifier.model_card import load_model_card

    return open_classifier(load_model_card(tiny_model), "cpu")
