"""Packages and databases as exporters of a night.

Each hands on what its target has not got yet, from all runs that are there: a database tells
that by its ledger of loads, packages by ``exports.json``, since whoever takes packages may
remove them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vin_batch.batch.atomic import disk_errors, make_folder, write_atomic
from vin_batch.batch.ledger import readings_digest
from vin_batch.errors import ChangedUnderRunError
from vin_batch.export.load import LoadOptions, LoadOutcome, Loads
from vin_batch.export.package import PackageOptions, export_package
from vin_batch.export.shards import FinishedRun, open_finished
from vin_batch.nightly.deliveries import Delivery, Exporter, Results, correction_layers
from vin_batch.nightly.export_settings import PACKAGE, ExportTarget
from vin_batch.nightly.nightdir import NightDir

_SCHEMA: Final = 1


def exporters_of(targets: tuple[ExportTarget, ...]) -> tuple[Exporter, ...]:
    """Make the exporters that a configuration names."""
    return tuple(
        PackageExporter(target) if target.kind == PACKAGE else DatabaseExporter(target)
        for target in targets
    )


@dataclass(frozen=True, slots=True)
class DatabaseExporter:
    """Loads what a database has not got.

    Attributes:
        target: The database.
    """

    target: ExportTarget

    @property
    def name(self) -> str:
        """Name of the target."""
        return self.target.name

    def __call__(self, results: Results) -> Delivery:
        """Load all runs that are not in whole, and all corrections.

        Raises:
            VinBatchError: The database refused or stayed away; what is in stays in.
        """
        there = self._loads()
        wanted = [
            (name, run)
            for name, run in _runs(results.nights)
            if not _is_in(run, there.get(run.record.run_id, {}))
        ]
        # Corrections go with a run; people also write them in nights without one.
        latest = next(reversed(results.nights.run_names()), None)
        names = [name for name, _ in wanted] or ([] if latest is None else [latest])
        cards = corrections = 0
        loaded: list[str] = []
        for name in names:
            outcome = self._load(name, results)
            cards += outcome.cards
            corrections += outcome.corrections
            loaded += [name] * (outcome.shards > 0)
            if outcome.stale:
                raise ChangedUnderRunError(
                    f"{len(outcome.stale)} shards of run {name} are in the database as a later "
                    "reading",
                    f"Is {results.nights.root} an older copy?",
                )
        return Delivery(self.name, tuple(loaded), cards, corrections)

    def _loads(self) -> Loads:
        target = self.target
        if target.kind == "postgresql":
            from vin_batch.export.postgres import loads  # noqa: PLC0415 - an extra
            from vin_batch.export.postgres_connection import Destination  # noqa: PLC0415

            return loads(Destination(target.address, target.schema), target.retries)
        from vin_batch.export.embedded import loads_of_file  # noqa: PLC0415

        return loads_of_file(target.kind, target.path)

    def _load(self, name: str, results: Results) -> LoadOutcome:
        target = self.target
        options = LoadOptions(
            partial=True,
            corrections=correction_layers(results.nights),
            attempts=target.retries,
            progress=lambda done, total: results.check(),
        )
        run = results.nights.run(name).root
        if target.kind == "postgresql":
            from vin_batch.export.postgres import export_postgres  # noqa: PLC0415 - an extra
            from vin_batch.export.postgres_connection import Destination  # noqa: PLC0415

            return export_postgres(run, Destination(target.address, target.schema), options)
        from vin_batch.export.embedded import export_embedded  # noqa: PLC0415

        return export_embedded(run, target.kind, target.path, options)


@dataclass(frozen=True, slots=True)
class PackageExporter:
    """Writes a package for every run that had none.

    Attributes:
        target: The folder of packages.
    """

    target: ExportTarget

    @property
    def name(self) -> str:
        """Name of the target."""
        return self.target.name

    def __call__(self, results: Results) -> Delivery:
        """Write packages, named by the day of the run and its number.

        Raises:
            VinBatchError: One cannot be written; the others stay.
        """
        make_folder(self.target.path)
        packed, cards = [], 0
        done = _PackedRuns(results.nights, self.name)
        options = PackageOptions(
            dialect=self.target.dialect,
            partial=True,
            replace=True,
            corrections=correction_layers(results.nights),
        )
        for name, run in _runs(results.nights):
            results.check()
            digest = readings_digest(run.run)
            if done.digest(name) == digest:
                continue
            folder = f"{run.record.created_at[:10]}-{name}"
            outcome = export_package(run.run.root, self.target.path / folder, options)
            done.note(name, digest)
            packed.append(name)
            cards += outcome.manifest.cards
        return Delivery(self.name, tuple(packed), cards)


class _PackedRuns:
    """Which runs were packed, as ``exports.json`` remembers it."""

    def __init__(self, nights: NightDir, name: str) -> None:
        self._path = nights.exports
        self._names = set(nights.run_names())
        self._all = _read(self._path)
        self._mine = self._all.setdefault(name, {})

    def digest(self, run: str) -> str | None:
        return self._mine.get(run)

    def note(self, run: str, digest: str) -> None:
        self._mine[run] = digest
        for known in set(self._mine) - self._names:
            del self._mine[known]
        document = {"schema": _SCHEMA, "packages": self._all}
        write_atomic(self._path, (json.dumps(document, indent=1) + "\n").encode(), "exports")


def _read(path: Path) -> dict[str, dict[str, str]]:
    """What was packed; nothing where the file is gone or damaged: packages are made again."""
    with disk_errors("read", path):
        data = path.read_bytes() if path.is_file() else b""
    try:
        document: dict[str, Any] = json.loads(data)
        return {name: dict(runs) for name, runs in document["packages"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _runs(nights: NightDir) -> Iterator[tuple[str, FinishedRun]]:
    """The runs that are there, oldest first.

    Two nights that read the same cards under the same names make the same plan, and so runs
    of one id: only the later one counts.
    """
    runs = {name: open_finished(nights.run(name).root, partial=True) for name in nights.run_names()}
    latest = {run.record.run_id: name for name, run in runs.items()}
    for name, run in runs.items():
        if latest[run.record.run_id] == name:
            yield name, run


def _is_in(run: FinishedRun, loaded: Mapping[int, str]) -> bool:
    return all(loaded.get(r.shard) == r.readings_sha256 for r in run.receipts())
