"""Settings of a night: the tables [nightly] and [run] of one TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from vin_batch.archive import ArchiveUrl
from vin_batch.config import (
    RunConfig,
    checked_choice,
    checked_count,
    checked_path,
    load_config,
    read_table,
)
from vin_batch.errors import UsageError
from vin_batch.nightly.choosing import Limits
from vin_batch.nightly.export_settings import ExportTarget, load_targets
from vin_batch.nightly.looking import Settling
from vin_batch.nightly.nightdir import CURRENT_KINDS, NightDir

DETECTIONS: Final = ("stat", "names")
DEFAULT_SETTLE_SECONDS: Final = 300.0
"""A scanner writes a card in seconds, a copy over a slow line in minutes."""
DEFAULT_RETRY_NIGHTS: Final = 3
"""A card that costs a worker each time must not do so for ever."""
DEFAULT_MISSING_SHARE: Final = 0.1
"""More is rather a disk that is not mounted than a clerk who tidied up."""
MANY: Final = 2**31 - 1

_NOT_IN_RUN: Final = ("archive", "output", "limit", "changes", "slice")
_DEFAULTS: Final[Mapping[str, Any]] = {
    "detect": DETECTIONS[0],
    "settle_seconds": DEFAULT_SETTLE_SECONDS,
    "complete_marker": None,
    "busy_marker": None,
    "reread_older_models": False,
    "retry_nights": DEFAULT_RETRY_NIGHTS,
    "max_cards": None,
    "max_missing_share": DEFAULT_MISSING_SHARE,
    "current": ("csv",),
    "keep_nights": None,
}


@dataclass(frozen=True, slots=True)
class NightConfig:
    """Settings of one night.

    Attributes:
        archive: Root of the card folders; absolute, like the other paths.
        output: The directory of nights.
        detect: How a changed card is found: ``stat`` looks at sizes and times of its files,
            ``names`` at their names alone.
        settle_seconds: A new or changed card is read when its folder and files are
            untouched for so long.
        complete_marker: Name of a file without which a new or changed card is not read.
        busy_marker: Name of a file with which a new or changed card is not read.
        reread_older_models: Read cards again that another model, or another calibration,
            read.
        retry_nights: Most nights in a row in which a card is tried again that could not be
            read for a cause that may pass; 0 for never.
        max_cards: Most cards of one night; None for all.
        max_missing_share: Most of the known cards that may disappear in one night, 0 to 1.
        current: Formats of the files with the current reading of every card.
        keep_nights: Latest runs that keep everything; None for all runs.
        exports: Where results are handed on.
        run: Settings of the runs.
    """

    archive: Path | ArchiveUrl
    output: Path
    detect: str
    settle_seconds: float
    complete_marker: str | None
    busy_marker: str | None
    reread_older_models: bool
    retry_nights: int
    max_cards: int | None
    max_missing_share: float
    current: tuple[str, ...]
    keep_nights: int | None
    exports: tuple[ExportTarget, ...]
    run: RunConfig

    @property
    def settling(self) -> Settling:
        """When a card counts as complete."""
        return Settling(
            self.settle_seconds,
            None if self.complete_marker is None else self.complete_marker.encode(),
            None if self.busy_marker is None else self.busy_marker.encode(),
        )

    def limits(self, allow_missing: bool) -> Limits:
        """What the night refuses."""
        return Limits(self.max_missing_share, allow_missing)

    def run_config(self, name: str) -> RunConfig:
        """Settings of the run of one night; it leaves no metrics, the night does."""
        run = NightDir(self.output).run(name).root
        return replace(self.run, output=run, textfile=None)


def load_night_config(file: Path, flags: Mapping[str, Any]) -> NightConfig:
    """Read settings.

    Args:
        file: TOML file; relative paths in it start at its own folder.
        flags: Settings of the runs by name, which win over the file; None means not given.

    Raises:
        UsageError: An unknown key, a value of a wrong kind or range, or no archive or output.
    """
    table = read_table(file, "nightly", ("archive", "output"))
    known = {*_DEFAULTS, "archive", "output"}
    unknown = sorted(set(table) - known)
    if unknown:
        raise UsageError(
            f"{file}: unknown setting {', '.join(unknown)} in [nightly]",
            f"Settings are: {', '.join(sorted(known))}.",
        )
    misplaced = sorted(set(read_table(file, "run", ())) & set(_NOT_IN_RUN))
    if misplaced:
        raise UsageError(
            f"{file}: {misplaced[0]} has no place in [run] of a nightly configuration",
            "archive and output are settings of [nightly]; how many cards are read is "
            "max_cards there.",
        )
    for name in ("archive", "output"):
        if not table.get(name):
            raise UsageError(f"{file}: {name} is not given", f"Write `{name} = …` in [nightly].")
    values = {**_DEFAULTS, **table}
    output = checked_path(values, "output")
    run = load_config(
        file, {**flags, "archive": values["archive"], "output": output / "runs", "changes": "card"}
    )
    return _checked(values, output, load_targets(file), run)


def _checked(
    values: Mapping[str, Any], output: Path, exports: tuple[ExportTarget, ...], run: RunConfig
) -> NightConfig:
    config = NightConfig(
        archive=run.archive,
        output=output,
        detect=checked_choice(values, "detect", DETECTIONS),
        settle_seconds=_number(values, "settle_seconds", 1e9),
        complete_marker=_file_name(values, "complete_marker"),
        busy_marker=_file_name(values, "busy_marker"),
        reread_older_models=_flag(values, "reread_older_models"),
        retry_nights=checked_count(values, "retry_nights", MANY, 0),
        max_cards=_optional_count(values, "max_cards"),
        max_missing_share=_number(values, "max_missing_share", 1.0),
        current=_kinds(values),
        keep_nights=_optional_count(values, "keep_nights"),
        exports=exports,
        run=run,
    )
    assert {field.name for field in fields(config)} == {
        *_DEFAULTS, "archive", "output", "exports", "run",
    }  # fmt: skip
    return config


def _number(values: Mapping[str, Any], name: str, most: float) -> float:
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise UsageError(f"{name} must be a number from 0 to {most:g}, not {value!r}")
    return float(value)


def _optional_count(values: Mapping[str, Any], name: str) -> int | None:
    return None if values[name] is None else checked_count(values, name, MANY)


def _flag(values: Mapping[str, Any], name: str) -> bool:
    value = values[name]
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be true or false, not {value!r}")
    return value


def _file_name(values: Mapping[str, Any], name: str) -> str | None:
    value = values[name]
    if value is None:
        return None
    if not isinstance(value, str) or not value or "/" in value or "\0" in value:
        raise UsageError(f"{name} must be the name of a file, without a path, not {value!r}")
    return value


def _kinds(values: Mapping[str, Any]) -> tuple[str, ...]:
    value = values["current"]
    if not isinstance(value, (list, tuple)):
        raise UsageError(f"current must be a list of formats, not {value!r}")
    return tuple(
        dict.fromkeys(checked_choice({"current": kind}, "current", CURRENT_KINDS) for kind in value)
    )
