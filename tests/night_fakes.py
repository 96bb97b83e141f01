"""Nights with stand-ins for the model: fast, and their readings depend on the pixels alone."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from batch_fakes import fake_tools, make_model
from vin_batch.archive import ArchiveRoot, open_archive
from vin_batch.batch.job import JobOutcome, JobTools
from vin_batch.batch.ledger import load_run, readings_digest, save_run, tally
from vin_batch.batch.opening import OpenRun, open_run, prepare_directory, prepare_locked
from vin_batch.batch.pack import ShardTask, pack_shard
from vin_batch.batch.plan import Selection
from vin_batch.batch.publish import Publisher, pack_evidence
from vin_batch.batch.receipts import iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.score import score
from vin_batch.classifier.model_card import ModelCard, load_model_card
from vin_batch.config import RunConfig
from vin_batch.nightly.catalogue import CatalogueRow, open_catalogue, table_to_rows
from vin_batch.nightly.exporters import exporters_of
from vin_batch.nightly.night import NightTools, run_night
from vin_batch.nightly.nightdir import NightDir
from vin_batch.nightly.settings import NightConfig, load_night_config
from vin_batch.nightly.summary import NightSummary

LONG_AGO = time.time() - 10_000.0


def night_toml(
    base: Path,
    night: Mapping[str, object] | None = None,
    run: str = "",
    exports: Sequence[Mapping[str, object]] = (),
) -> Path:
    """Write ``base/nightly.toml`` for ``base/archive``, ``base/nights`` and ``base/model``."""
    if not (base / "model").exists():
        make_model(base / "model")
    values: dict[str, object] = {"archive": "archive", "output": "nights", "settle_seconds": 0}
    lines = [f"{name} = {_toml(value)}" for name, value in {**values, **(night or {})}.items()]
    file = base / "nightly.toml"
    file.write_text(
        "\n".join(["[nightly]", *lines, "[run]", 'model = "model"', "workers = 1"])
        + f"\n{run or 'shard_size = 4'}\n"
        + "".join(_table("[[export]]", export) for export in exports),
        encoding="utf-8",
    )
    return file


def _table(head: str, values: Mapping[str, object]) -> str:
    return "\n".join([head, *(f"{name} = {_toml(value)}" for name, value in values.items())]) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(str(value)) if isinstance(value, (str, Path)) else str(value)


def night_config(base: Path, run: str = "", **changes: object) -> NightConfig:
    return load_night_config(night_toml(base, changes, run), {})


def inline_run(
    config: RunConfig, tools: JobTools, selection: Selection | None = None
) -> JobOutcome:
    """What ``run_job`` leaves, made in this process: starting workers takes seconds."""
    run, card, opened = begin(config, selection)
    publisher = Publisher(run, opened.record.run_id, card.model_id, "inline")
    reader, judge = tools.open_classifier(card, "cpu"), tools.bind_judge(card.policy)
    todo = [shard for shard in range(opened.plan.shards) if shard not in opened.done]
    for shard in todo:
        cards = opened.plan.load(shard)
        task = ShardTask(opened.root, shard, cards, tools.prepare, keep_changed=True)
        packed = pack_shard(task)
        assert packed.pack is not None
        scored = score(packed.pack, reader, judge, lambda: None)
        evidence = pack_evidence(packed.pack, {}, 0, 0, packed.errors)
        publisher.publish(shard, cards, scored.readings, evidence)
    for finish in tools.finishers:
        finish(run.root)
    return end(run, len(todo))


def begin(config: RunConfig, selection: Selection | None) -> tuple[RunDir, ModelCard, OpenRun]:
    """A run of which nothing is read yet, or its rest."""
    run = RunDir(config.output)
    prepare_directory(run)
    prepare_locked(run)
    card = load_model_card(config.model)
    return run, card, open_run(config, card, (), lambda: None, selection=selection)


def end(run: RunDir, worked: int) -> JobOutcome:
    """Note that everything was written."""
    record = replace(load_run(run), outputs_digest=readings_digest(run))
    save_run(run, record)
    return JobOutcome(run, record, tally(iter_receipts(run)), worked)


def night(
    base: Path, *, allow_missing: bool = False, run: str = "", **changes: object
) -> NightSummary:
    """One night over ``base/archive``."""
    return night_by(night_config(base, run, **changes), allow_missing=allow_missing)


def night_by(config: NightConfig, *, allow_missing: bool = False) -> NightSummary:
    """One night by a configuration, with its exports."""
    tools = NightTools(fake_tools(), run=inline_run, exporters=exporters_of(config.exports))
    return run_night(config, tools, allow_missing)


def nights_of(base: Path) -> NightDir:
    return NightDir(base / "nights")


def catalogue_rows(base: Path) -> list[CatalogueRow]:
    catalogue = open_catalogue(nights_of(base).catalogue)
    return [row for table in catalogue.tables() for row in table_to_rows(table)]


def what_is_read(row: CatalogueRow) -> CatalogueRow:
    """A row without what only nights that happened know: times of day."""
    return replace(row, first_seen="", last_read="", missing_since=None)


def current_rows(base: Path) -> dict[str, dict[str, str]]:
    """The current readings by card."""
    with nights_of(base).current("csv").open(encoding="utf-8", newline="") as file:
        return {row["card_id"]: row for row in csv.DictReader(file)}


def age(folder: Path, seconds: float = 10_000.0) -> None:
    """Make everything below a folder as old as that."""
    then = time.time() - seconds
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (then, then))


def root_of(base: Path) -> ArchiveRoot:
    return open_archive(base / "archive")
