from __future__ import annotations

from pathlib import Path

import pytest

import vin_batch
from batch_fakes import (
    FakeClassifier,
    fake_tools,
    judge,
    make_archive,
    make_card,
    make_config,
    make_model,
    prepare,
)
from vin_batch.batch.direct import read_folders
from vin_batch.batch.job import run_job
from vin_batch.batch.readings_schema import READINGS_SCHEMA, read_part, table_to_readings
from vin_batch.batch.rundir import RunDir
from vin_batch.classifier.model_card import load_model_card
from vin_batch.errors import ArchiveError, UsageError


def test_read_run_gives_all_cards_in_plan_order(tmp_path: Path) -> None:
    make_archive(tmp_path / "archive", 10)
    run_job(make_config(tmp_path), fake_tools())
    frame = vin_batch.read_run(tmp_path / "run")
    assert list(frame.columns) == READINGS_SCHEMA.names
    assert list(frame["card_id"]) == [f"box_{n // 5:02d}/card_{n:04d}" for n in range(10)]
    small = vin_batch.read_run(str(tmp_path / "run"), columns=["card_id", "raw_vin"])
    assert small.shape == (10, 2)
    with pytest.raises(UsageError, match="colour"):
        vin_batch.read_run(tmp_path / "run", columns=["colour"])
    RunDir(tmp_path / "run").receipt(1).unlink()
    assert len(vin_batch.read_run(tmp_path / "run")) == 6


def test_read_run_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        vin_batch.read_run(tmp_path)


def test_cards_read_directly_agree_with_a_run(tmp_path: Path) -> None:
    make_archive(tmp_path / "archive", 4)
    run_job(make_config(tmp_path), fake_tools())
    readings = table_to_readings(read_part(RunDir(tmp_path / "run"), 0))
    classifier = FakeClassifier(load_model_card(make_model(tmp_path / "model")))
    folders = [tmp_path / "archive" / reading.card_id for reading in readings]
    direct = read_folders(folders, prepare, classifier, judge)
    assert [reading.card_id for reading in direct] == [path.as_posix() for path in folders]
    assert [(r.raw_vin, r.status) for r in direct] == [(r.raw_vin, r.status) for r in readings]


def test_cards_that_are_none(tmp_path: Path) -> None:
    classifier = FakeClassifier(load_model_card(make_model(tmp_path / "model")))
    (tmp_path / "empty").mkdir()
    for folder, words in (
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path / "empty", "no image"),
    ):
        with pytest.raises(ArchiveError, match=words):
            read_folders([folder], prepare, classifier, judge)


def test_folder_in_a_link_loop_is_read(tmp_path: Path) -> None:
    card = make_card(tmp_path / "card", 1)
    (card / "loop").symlink_to(card)
    classifier = FakeClassifier(load_model_card(make_model(tmp_path / "model")))
    (reading,) = read_folders([card], prepare, classifier, judge)
    assert "?" not in reading.raw_vin
