"""A node at work, without a cluster around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from batch_fakes import HANG, POISON, RAISE, FakeClassifier, fake_tools, make_config, readings_bytes
from cluster_fakes import cluster_tools
from crash_tools import new_base
from vin_batch._version import __version__
from vin_batch.archive import open_archive
from vin_batch.batch.host import versions
from vin_batch.batch.job import run_job
from vin_batch.batch.ledger import load_run
from vin_batch.batch.plan import Plan, shard_digest
from vin_batch.batch.receipts import ShardState, load_receipt, save_receipt
from vin_batch.batch.rundir import RunDir
from vin_batch.classifier.model_card import load_model_card
from vin_batch.cluster import bench
from vin_batch.cluster.messages import Finished, Lost, Order, Recipe, Refused
from vin_batch.errors import ArchiveError, ChangedUnderRunError, DiskError

BAD_CARD = ("box_01", "card_0005")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A run of three shards that was read on one machine, and its readings."""
    base = new_base(tmp_path, 12)
    run_job(make_config(base), fake_tools())
    return base


@pytest.fixture(autouse=True)
def _near(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the model be in this process."""
    monkeypatch.setattr(bench, "choose", lambda *_: SimpleNamespace(device="fake"))
    monkeypatch.setattr(bench, "RemoteClassifier", lambda card, _: FakeClassifier(card))
    yield
    bench._discard()


def recipe(base: Path) -> Recipe:
    config, run = make_config(base, inference="tensorflow"), RunDir(base / "run")
    (run.root / ".cluster-1.tmp").write_text(".cluster-1.tmp")
    return Recipe(
        token=".cluster-1.tmp",
        run=run,
        config=config,
        record=load_run(run),
        root=open_archive(config.archive),
        card=load_model_card(config.model),
        methods=cluster_tools().methods,
        device="cpu",
        version=__version__,
        libraries=versions(),
        landmark=Plan(run).load(0)[0],
        permissions=0o600,
    )


def order(base: Path, shard: int = 1, **changes: object) -> Order:
    digest = shard_digest(Plan(RunDir(base / "run")).load(shard))
    usual = Order(shard, digest, is_alone=False, gives_up=False, strikes=0, turn=1, servers=())
    return replace(usual, **changes)  # type: ignore[arg-type]


def forget(base: Path) -> bytes:
    """Take shard 1 out of the run; its readings."""
    run = RunDir(base / "run")
    readings = run.readings(1).read_bytes()
    run.readings(1).unlink()
    run.receipt(1).unlink()
    return readings


def spoil(base: Path, data: bytes) -> None:
    base.joinpath("archive", *BAD_CARD, "08.png").write_bytes(data)


def test_it_publishes_what_one_machine_would(base: Path) -> None:
    before = forget(base)
    outcome = bench.read_shard(recipe(base), order(base, strikes=2))
    run = RunDir(base / "run")
    assert isinstance(outcome, Finished)
    assert outcome.receipt_sha256 == sha256(run.receipt(1).read_bytes()).hexdigest()
    assert run.readings(1).read_bytes() == before
    assert run.readings(1).stat().st_mode & 0o777 == 0o600
    receipt = load_receipt(run, 1)
    assert receipt is not None
    assert (receipt.strikes, receipt.device) == (2, "fake")


def test_a_first_loss_is_the_drivers_to_judge_and_the_second_is_not(base: Path) -> None:
    forget(base)
    spoil(base, POISON)
    outcome = bench.read_shard(recipe(base), order(base))
    assert isinstance(outcome, Lost)
    assert not outcome.is_displaced
    assert "SIGKILL" in outcome.cause
    assert load_receipt(RunDir(base / "run"), 1) is None
    outcome = bench.read_shard(recipe(base), order(base, is_alone=True, strikes=1))
    assert isinstance(outcome, Finished)
    receipt = load_receipt(RunDir(base / "run"), 1)
    assert receipt is not None
    assert [blame.card_id for blame in receipt.blamed] == ["/".join(BAD_CARD)]
    assert (receipt.state, receipt.failed_cards, receipt.strikes) == (ShardState.DONE, 1, 3)
    told = [remark.about.get("card_id") for remark in outcome.remarks]
    assert "/".join(BAD_CARD) in told, "what it logs reaches the driver"


def test_a_stuck_card_is_stopped_in_time(base: Path) -> None:
    forget(base)
    spoil(base, HANG)
    asked = recipe(base)
    asked = replace(asked, config=replace(asked.config, card_timeout=1.0))
    outcome = bench.read_shard(asked, order(base))
    assert isinstance(outcome, Lost)
    assert outcome.cause == "no answer within 1 s"


def test_what_cannot_be_read_is_given_up_whole(base: Path) -> None:
    forget(base)
    gone = order(base, is_alone=True, gives_up=True, strikes=5)
    assert isinstance(bench.read_shard(recipe(base), gone), Finished)
    receipt = load_receipt(RunDir(base / "run"), 1)
    assert receipt is not None
    assert (receipt.state, receipt.given_up) == (ShardState.QUARANTINED, 4)
    assert (receipt.failed_cards, receipt.blamed) == (4, ())


def test_who_comes_late_leaves_what_is_there(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(base)
    asked = recipe(base)
    assert isinstance(bench.read_shard(asked, order(base)), Finished)
    run = RunDir(base / "run")
    others = load_receipt(run, 1)
    assert others is not None

    def read_by_another_meanwhile(self: FakeClassifier, pixels: object) -> object:
        save_receipt(run, replace(others, host="another"))
        return usual(self, pixels)  # type: ignore[arg-type]

    usual = FakeClassifier.log_probs
    monkeypatch.setattr(FakeClassifier, "log_probs", read_by_another_meanwhile)
    spoil(base, RAISE)
    before = readings_bytes(base / "run")
    assert isinstance(bench.read_shard(asked, order(base)), Finished)
    assert readings_bytes(base / "run") == before, "the sick mount came second"
    receipt = load_receipt(run, 1)
    assert receipt is not None
    assert receipt.host == "another"


def test_trouble_names_the_machine(base: Path, tmp_path: Path) -> None:
    forget(base)
    asked = recipe(base)
    other_plan = bench.read_shard(asked, order(base, plan_digest="0" * 32))
    (base / "archive" / "box_01" / "card_0006" / "18.png").write_bytes(b"one more")
    changed = bench.read_shard(asked, order(base))
    (base / "archive").rename(tmp_path / "unmounted")
    (base / "archive").mkdir()
    unmounted = bench.read_shard(asked, order(base))
    kinds = []
    for outcome in (other_plan, changed, unmounted):
        assert isinstance(outcome, Refused)
        assert outcome.message.startswith("node ")
        kinds.append(outcome.kind)
    assert kinds == [DiskError, ChangedUnderRunError, ArchiveError]
