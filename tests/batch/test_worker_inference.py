"""Workers that classify: the same readings however shards, parts and workers fall."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from batch_fakes import POISON, fake_tools, make_archive, make_config, make_model, readings_bytes
from inference_fakes import (
    make_exported_model,
    open_fake_network,
    open_senseless,
    open_swapped,
)
from vin_batch.archive import open_archive, walk
from vin_batch.batch import answers
from vin_batch.batch.answers import Answers, WorkerInference
from vin_batch.batch.frames import read_frame
from vin_batch.batch.job import JobOutcome, JobTools, retry_config, run_job
from vin_batch.batch.pack import ShardTask, pack_shard
from vin_batch.batch.parts import cut_pack_task, join_packs
from vin_batch.batch.receipts import iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.classifier import choice
from vin_batch.classifier.artefact import require_artefact
from vin_batch.classifier.model_card import load_model_card
from vin_batch.errors import ChangedUnderRunError, ExitCode, ModelError, UsageError
from vin_batch.records import BoxIssue

import batch_fakes  # isort: skip

CARDS = 10


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(choice, "gpu_is_visible", lambda: False)
    make_archive(tmp_path / "archive", CARDS)
    (tmp_path / "archive" / "box_00" / "card_0002" / "05.png").write_bytes(b"torn")
    make_exported_model(tmp_path / "model")
    return tmp_path


def tools(**changes: object) -> JobTools:
    def refuse(*_: object) -> None:
        raise AssertionError("the main process loaded a model")

    values = {"open_classifier": refuse, "open_network": open_fake_network}
    return fake_tools(**(values | changes))


def work(base: Path, **flags: object) -> JobOutcome:
    return run_job(make_config(base, **flags), tools())


def answers_of(run: Path) -> list[dict[str, object]]:
    frame = read_frame(run).drop(columns=["run_id"])
    return json.loads(frame.to_json(orient="records"))  # type: ignore[no-any-return]


def test_workers_give_what_a_central_classifier_gives(base: Path) -> None:
    assert work(base).exit_code == ExitCode.FINISHED_WITH_FAILURES
    run_job(make_config(base, output=base / "central", inference="tensorflow"), fake_tools())
    assert answers_of(base / "run") == answers_of(base / "central")
    for receipt in iter_receipts(RunDir(base / "run")):
        assert receipt.readers[0].engine.startswith("litert ")
        assert receipt.readers[0].engine.endswith(" on cpu")
        assert receipt.timings["worker_classify"] > 0
        assert receipt.timings["classify"] < receipt.timings["worker_classify"]
    for receipt in iter_receipts(RunDir(base / "central")):
        assert receipt.readers[0].engine.startswith("tensorflow ")
        assert "worker_classify" not in receipt.timings
    settled = json.loads((base / "run" / "run.json").read_bytes())
    assert settled["config"]["inference"] == "litert"
    assert len(settled["fingerprint"]["inference_sha256"]) == 64
    older = json.loads((base / "central" / "run.json").read_bytes())
    assert not {"inference", "inference_sha256"} & set(older["fingerprint"])


def test_a_poisoned_card_is_isolated_and_the_rest_are_the_same_bytes(base: Path) -> None:
    whole = base / "whole"
    work(base, output=whole, workers=1)
    path = base / "archive" / "box_01" / "card_0005" / "08.png"
    kept = path.read_bytes()
    path.write_bytes(POISON)
    outcome = work(base, card_timeout=60.0)
    assert outcome.exit_code == ExitCode.FINISHED_WITH_FAILURES
    assert outcome.tally.statuses["failed"] == 2
    before = {row["card_id"]: row for row in answers_of(whole)}
    for row in answers_of(base / "run"):
        if row["card_id"] != "box_01/card_0005":
            assert row == before[row["card_id"]]
    path.write_bytes(kept)
    config = retry_config(base / "run", None, None)
    assert config.inference == "litert"
    run_job(config, tools(), lambda receipt: receipt.is_poisoned)
    assert readings_bytes(base / "run") == readings_bytes(whole)


def task_of(base: Path) -> ShardTask:
    root = open_archive(base / "archive")
    inference = WorkerInference(
        require_artefact(load_model_card(base / "model")), open_fake_network
    )
    return ShardTask(root, 0, tuple(walk(root)), batch_fakes.prepare, inference=inference)


def test_groups_and_parts_do_not_show(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The stand-in refuses to compute beside it; other tests of this process may have loaded it.
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    task = task_of(base)
    rows: list[int] = []
    whole = pack_shard(task, rows.append).pack
    assert whole is not None
    assert whole.log_probs is not None
    assert not len(whole.pixels)
    assert rows == [*range(CARDS), -1]
    monkeypatch.setattr(answers, "CARDS_PER_GROUP", 3)
    rows.clear()
    groups = pack_shard(task, rows.append).pack
    assert rows == [0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, -1]
    parts = [range(4), range(4, 5), range(7, CARDS)]
    joined = join_packs(
        task, [(part, pack_shard(cut_pack_task(task, part))) for part in parts]
    ).pack
    assert groups is not None
    assert joined is not None
    assert groups.log_probs is not None
    assert joined.log_probs is not None
    assert np.array_equal(whole.log_probs, groups.log_probs)
    read = [row for part in parts for row in part]
    assert np.array_equal(joined.log_probs[read], whole.log_probs[read])
    assert (joined.issues[5:7] == BoxIssue.NOT_READ).all()
    assert np.ptp(joined.log_probs[5:7]) == 0
    torn = np.argwhere(whole.issues == BoxIssue.UNDECODABLE)
    assert torn.tolist() == [[2, 4]]
    assert np.ptp(whole.log_probs[2, 4]) == 0


def test_boxes_without_ink_are_not_computed() -> None:
    class Counting:
        def __init__(self) -> None:
            self.images = 0

        def log_probs(self, pixels: np.ndarray) -> np.ndarray:
            self.images += len(pixels)
            return np.zeros((len(pixels), 33), np.float32)

    issues = np.zeros((3, 17), np.uint8)
    issues[1] = BoxIssue.BLANK
    issues[2, :16] = BoxIssue.MISSING
    network = Counting()
    given = Answers(network, np.zeros((3, 17, 28, 28), np.uint8), issues)
    given.classify(2)
    given.classify(3)
    assert network.images == 18


@pytest.mark.parametrize(
    ("opener", "words"),
    [(open_swapped, "damaged or was swapped"), (open_senseless, "numbers that are none")],
)
def test_a_model_that_workers_cannot_use_stops_the_run(
    base: Path, opener: Callable[..., object], words: str
) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        run_job(make_config(base), tools(open_network=opener))
    assert caught.value.exit_code is ExitCode.MODEL
    assert not any((base / "run" / "receipts").iterdir())
    make_exported_model(base / "model")
    assert work(base).tally.cards == CARDS


def test_a_run_keeps_what_it_began_with(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work(base, limit=4)
    shutil.rmtree(base / "run" / "receipts")
    (base / "run" / "receipts").mkdir()
    with pytest.raises(ChangedUnderRunError, match="inference was 'litert'"):
        work(base, limit=4, inference="tensorflow")
    with pytest.raises(UsageError, match="began with LiteRT"):
        work(base, limit=4, device="gpu")
    monkeypatch.setattr(choice, "gpu_is_visible", lambda: True)
    assert work(base, limit=4).shards_worked == 1, "a GPU that came later changes nothing"
    monkeypatch.setattr(choice, "litert_is_installed", lambda: False)
    with pytest.raises(ModelError, match="began with LiteRT: LiteRT is not installed") as caught:
        work(base, limit=4)
    assert "vin_batch[cpu]" in caught.value.advice


def test_a_run_of_tensorflow_goes_on_with_it(base: Path) -> None:
    shutil.rmtree(base / "model")
    make_model(base / "model")
    run_job(make_config(base), fake_tools())
    make_exported_model(base / "model")
    receipt = next((base / "run" / "receipts").iterdir())
    receipt.unlink()
    assert run_job(make_config(base), fake_tools()).shards_worked == 1
    record = json.loads((base / "run" / "run.json").read_bytes())
    assert record["config"]["inference"] == "tensorflow"


def test_another_network_is_another_run(base: Path) -> None:
    work(base, limit=4)
    make_exported_model(base / "model", b"quantised again")
    with pytest.raises(ChangedUnderRunError, match="inference_sha256"):
        work(base, limit=4)
