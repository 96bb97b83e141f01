"""What a night hands on to other systems, and what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vin_batch.corrections.layer import layer_of
from vin_batch.errors import ExitCode, InterruptedRunError, VinBatchError
from vin_batch.nightly.catalogue import Catalogue
from vin_batch.nightly.nightdir import NightDir

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Results:
    """What a night hands to its exporters.

    Attributes:
        nights: The directory of nights.
        catalogue: Up to date with tonight's runs.
        runs: Names of the runs that were finished tonight; empty where nothing was read.
        check: To be called now and then; may raise to stop.
    """

    nights: NightDir
    catalogue: Catalogue
    runs: tuple[str, ...]
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one exporter did.

    Attributes:
        name: Of the exporter.
        runs: Runs of which something was handed on.
        cards: Their cards that were handed on.
        corrections: Corrections that were handed on.
        error: What stopped it; empty where nothing did.
        exit_code: Of that error.
    """

    name: str
    runs: tuple[str, ...] = ()
    cards: int = 0
    corrections: int = 0
    error: str = ""
    exit_code: ExitCode = ExitCode.DONE

    def as_dict(self) -> dict[str, Any]:
        """The delivery for JSON; keys are stable."""
        return {**asdict(self), "error": self.error or None, "exit_code": int(self.exit_code)}

    def __str__(self) -> str:
        """For people."""
        if self.error:
            return f"export {self.name} FAILED: {self.error}; the next night tries again"
        said = f", {self.corrections} corrections" if self.corrections else ""
        return f"export {self.name}: {self.cards} cards of {len(self.runs)} runs{said}"


class Exporter(Protocol):
    """Hands on whatever it has not handed on before, so that a failed night costs nothing."""

    @property
    def name(self) -> str:
        """What people and metrics call it."""
        ...

    def __call__(self, results: Results) -> Delivery:
        """Hand results on; raises ``VinBatchError`` where that was not to be had."""
        ...


@dataclass(slots=True)
class Deliveries:
    """What became of all exporters.

    Attributes:
        made: One each, in their order.
    """

    made: list[Delivery] = field(default_factory=list)

    @property
    def exit_code(self) -> ExitCode:
        """Of the first that failed."""
        return next((d.exit_code for d in self.made if d.error), ExitCode.DONE)

    def deliver(self, exporters: Sequence[Exporter], results: Results) -> None:
        """Call all exporters; one that fails costs the others nothing.

        Raises:
            InterruptedRunError: Somebody asked the night to stop.
        """
        for export in exporters:
            results.check()
            try:
                delivery = export(results)
            except InterruptedRunError:
                raise
            except VinBatchError as error:
                logger.error("export %s: %s | advice: %s", export.name, error.message, error.advice)
                delivery = Delivery(export.name, error=error.message, exit_code=error.exit_code)
            self.made.append(delivery)


def correction_layers(nights: NightDir) -> list[Path]:
    """Folders with what people said about cards: of all nights, and of single runs."""
    folders = [nights.root, *(nights.run(name).root for name in nights.run_names())]
    return [folder for folder in folders if layer_of(folder).is_dir()]
