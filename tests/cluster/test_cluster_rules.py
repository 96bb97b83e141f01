"""What driver and nodes hold each other to; no cluster is needed for it."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from batch_fakes import fake_tools, make_config, make_model
from cluster_fakes import cluster_tools
from crash_tools import environment, new_base
from vin_batch._version import __version__
from vin_batch.archive import open_archive
from vin_batch.batch.host import versions
from vin_batch.batch.job import run_job
from vin_batch.batch.ledger import load_run
from vin_batch.batch.opening import OpenRun
from vin_batch.batch.plan import Plan
from vin_batch.batch.receipts import load_receipt
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.schedule import Schedule
from vin_batch.batch.share import Share
from vin_batch.classifier.model_card import load_model_card
from vin_batch.cluster.confirm import Confirmation
from vin_batch.cluster.incidents import Incidents
from vin_batch.cluster.inspection import inspect, local_model
from vin_batch.cluster.messages import Finished, Recipe
from vin_batch.errors import ArchiveError, DiskError, ExitCode, ModelError, UsageError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two shards, which tests look at."""
    base = new_base(tmp_path_factory.mktemp("rules"), 8)
    run_job(make_config(base), fake_tools())
    return base


def opened(base: Path) -> OpenRun:
    run = RunDir(base / "run")
    config, record = make_config(base), load_run(run)
    share = Share(run, None, lambda: None)
    return OpenRun(run, config, record, Plan(run), open_archive(config.archive), {}, share)


def recipe(base: Path) -> Recipe:
    here = opened(base)
    (here.run.root / ".cluster-1.tmp").write_text(".cluster-1.tmp")
    return Recipe(
        token=".cluster-1.tmp",
        run=here.run,
        config=here.config,
        record=here.record,
        root=here.root,
        card=load_model_card(here.config.model),
        methods=cluster_tools().methods,
        device="cpu",
        version=__version__,
        libraries=versions(),
        landmark=here.plan.load(0)[0],
        permissions=0o640,
    )


def test_a_fit_machine_is_let_in(base: Path) -> None:
    assert inspect(recipe(base)) is None
    assert not [p for p in (base / "run" / "receipts").iterdir() if p.name.startswith(".")]


def test_an_unfit_machine_is_told_what_is_wrong(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vin_batch.cluster.inspection.PAUSE", 0.0)
    fit = recipe(base)
    new_base(tmp_path, 0)
    (tmp_path / "archive").mkdir()
    others = {**fit.libraries, "numpy": "1.0"}
    unfit = [
        (UsageError, replace(fit, version="0.0.1"), "the driver 0.0.1"),
        (UsageError, replace(fit, libraries=others), "instead of 1.0"),
        (DiskError, replace(fit, token=".cluster-2.tmp"), str(fit.run.root)),
        (ArchiveError, replace(fit, root=open_archive(tmp_path / "archive")), "no card box_00"),
    ]
    for kind, asked, word in unfit:
        problem = inspect(asked)
        assert problem is not None
        error = problem.error()
        assert type(error) is kind
        assert word in error.message
        assert socket.gethostname() in error.message
        assert error.advice


def test_the_model_may_lie_elsewhere_but_must_be_the_same(base: Path, tmp_path: Path) -> None:
    asked = recipe(base)
    assert local_model(asked) == asked.card
    other = load_model_card(make_model(tmp_path / "model", b"others"))
    there = replace(asked.card, directory=other.directory, weights=other.weights)
    with pytest.raises(ModelError, match="is not fake@"):
        local_model(replace(asked, card=there))


def test_a_shard_counts_when_the_driver_sees_it(base: Path, tmp_path: Path) -> None:
    here = opened(base)
    waiting = Confirmation(here)
    waiting.expect(0)
    assert waiting.found(0) is None, "the receipt of before proves nothing"
    receipt, readings = here.run.receipt(0), here.run.readings(0)
    kept = receipt.read_bytes(), readings.read_bytes()
    waiting = Confirmation(here)
    try:
        receipt.unlink()
        waiting.expect(0)
        waiting.add(Finished(0, "0" * 64, "node"))
        assert waiting.collect() == []
        receipt.write_bytes(kept[0])
        readings.write_bytes(b"torn")
        assert waiting.collect() == []
        readings.write_bytes(kept[1])
        assert waiting.collect() == [load_receipt(here.run, 0)]
        assert waiting.collect() == []
        receipt.unlink()
        waiting = Confirmation(here, visible=0.0)
        waiting.expect(0)
        waiting.add(Finished(0, "0" * 64, "node-7"))
        with pytest.raises(DiskError, match="node-7"):
            waiting.collect()
    finally:
        receipt.write_bytes(kept[0])
        readings.write_bytes(kept[1])


def test_a_displaced_shard_comes_again_as_if_it_were_new() -> None:
    schedule = Schedule([1, 2], width=2)
    assert [turn.shard for turn in (schedule.next(), schedule.next()) if turn] == [1, 2]
    schedule.displaced(1)
    turn = schedule.next()
    assert turn is not None
    assert (turn.shard, turn.alone, schedule.strikes[1]) == (1, False, 1)
    schedule.lost(1)
    schedule.finished(2)
    for _ in range(2):
        turn = schedule.next()
        assert turn is not None
        assert (turn.shard, turn.alone) == (1, True)
        schedule.displaced(1)
    assert not schedule.done


def test_losses_close_together_are_one_incident() -> None:
    incidents = Incidents()
    assert [incidents.note(7, second) for second in (0, 1, 29, 30, 31, 59, 100)] == [
        1, 1, 1, 2, 2, 2, 3,
    ]  # fmt: skip
    assert incidents.note(8, 100) == 1
    assert (incidents.of(7), incidents.of(9)) == (3, 0)


def test_shards_may_come_alone_from_the_start() -> None:
    schedule = Schedule([], 1, [4])
    turn = schedule.next()
    assert turn is not None
    assert turn.alone


def command(*arguments: str, before: str = "pass") -> tuple[int, str, str]:
    code = f"import sys; {before}; from vin_batch.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", *arguments],
        env=environment(), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_without_ray_the_command_says_what_to_install(base: Path, tmp_path: Path) -> None:
    arguments = (str(base / "archive"), "-o", str(tmp_path / "run"), "--engine", "ray")
    code, out, err = command(*arguments, before="sys.modules['ray'] = None")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "pip install 'vin_batch[ray]'" in err
    assert not (tmp_path / "run").exists()


def test_where_nobody_listens_there_is_no_cluster(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vin_batch[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    arguments = (str(base / "archive"), "-o", str(tmp_path / "run"), "--engine", "ray")
    code, out, err = command(*arguments, "--ray-address", f"127.0.0.1:{port}")
    assert (code, out) == (ExitCode.USAGE, "")
    assert "ray start --head" in err
    assert not (tmp_path / "run" / "plan.parquet").exists(), "before the archive is walked"


def test_the_cluster_file_is_what_ray_takes() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vin_batch[ray]'")
    import yaml  # type: ignore[import-untyped]  # comes with Ray
    from ray.autoscaler._private.util import prepare_config, validate_config

    text = (ROOT / "jobs" / "ray-cluster.yaml").read_text(encoding="utf-8")
    config = prepare_config(yaml.safe_load(text))
    validate_config(config)
    assert config["provider"]["type"] == "local"
    assert config["max_workers"] == len(config["provider"]["worker_ips"])
    broken = prepare_config(yaml.safe_load(text.replace("setup_commands:", "set_up:", 1)))
    with pytest.raises(Exception, match="set_up"):
        validate_config(broken)
