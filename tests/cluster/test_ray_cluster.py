"""Runs on a real Ray cluster whose nodes all live on this machine."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from batch_fakes import POISON, box_png, fake_tools, make_config, readings_bytes
from cluster_fakes import (
    LONG_PATIENCE,
    RayCluster,
    cluster_tools,
    open_noting,
    patient_tools,
    ray_cluster,
    wait_long,
)
from crash_tools import TESTS, children_of, environment, new_base, receipts
from vin_batch.batch.job import JobOutcome, failed_again, run_job
from vin_batch.batch.receipts import Receipt, iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.verify import verify_run
from vin_batch.errors import ArchiveError, ExitCode, NoGpuError

pytest.importorskip("ray", reason="Ray is not installed: pip install 'vin_batch[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CARDS, SHARDS = 24, 6


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(2) as cluster:
        yield cluster


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return new_base(tmp_path, CARDS)


def on_cluster(base: Path, cluster: RayCluster, **flags: object) -> JobOutcome:
    values = {"engine": "ray", "ray_address": cluster.address, "workers": None, **flags}
    return run_job(make_config(base, **values), cluster_tools())


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one machine alone reads; archives of other tests hold the same cards."""
    base = new_base(tmp_path_factory.mktemp("alone"), CARDS)
    run_job(make_config(base), fake_tools())
    return readings_bytes(base / "run")


def all_receipts(run: Path) -> list[Receipt]:
    return list(iter_receipts(RunDir(run)))


def spoil(base: Path, card: int, data: bytes) -> Path:
    path = base / "archive" / f"box_{card // 5:02d}" / f"card_{card:04d}" / "08.png"
    path.write_bytes(data)
    return path


def test_readings_are_those_of_one_machine(
    base: Path,
    cluster: RayCluster,
    expected: dict[str, bytes],
    capfd: pytest.CaptureFixture[str],
) -> None:
    capfd.readouterr()
    outcome = on_cluster(base, cluster)
    assert (outcome.exit_code, outcome.shards_worked) == (ExitCode.DONE, SHARDS)
    assert readings_bytes(base / "run") == expected
    assert list(verify_run(RunDir(base / "run"))) == []
    assert on_cluster(base, cluster).shards_worked == 0
    shown = capfd.readouterr()
    assert "raylet" not in shown.out + shown.err, "stdout is for data, stderr for our log"


def test_a_deadly_card_is_isolated_as_on_one_machine(base: Path, cluster: RayCluster) -> None:
    poisoned = spoil(base, 5, POISON)
    outcome = on_cluster(base, cluster)
    run_job(make_config(base, output=base / "alone"), fake_tools())
    assert outcome.exit_code == ExitCode.FINISHED_WITH_FAILURES
    assert readings_bytes(base / "run") == readings_bytes(base / "alone")
    for here, there in zip(all_receipts(base / "alone"), all_receipts(base / "run"), strict=True):
        for name in ("state", "statuses", "issues", "blamed", "strikes", "errors", "given_up"):
            assert getattr(here, name) == getattr(there, name), name
    poisoned.write_bytes(box_png(1))
    config = make_config(base, engine="ray", ray_address=cluster.address)
    healed = run_job(config, cluster_tools(), failed_again)
    assert (healed.exit_code, healed.shards_worked) == (ExitCode.DONE, 1)


@contextmanager
def node_without(folder: Path, cluster: RayCluster) -> Iterator[None]:
    """A node that sees an empty folder in the place of this one, as if it were not mounted."""
    asked = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={cluster.address}",
             "--num-cpus=1", "--disable-usage-stats", "--block"]  # fmt: skip
    script = f"mount -t tmpfs none {shlex.quote(str(folder))} && exec {shlex.join(asked)}"
    before = cluster.nodes_alive()
    with subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", script], env=environment(), stdout=subprocess.DEVNULL
    ) as node:
        try:
            wait_long(lambda: node.poll() is not None or cluster.nodes_alive() > before)
            assert node.poll() is None
            yield
        finally:
            node.terminate()
    wait_long(lambda: cluster.nodes_alive() == before)


def test_a_node_without_the_archive_is_named(base: Path, cluster: RayCluster) -> None:
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("this system lets nobody make a mount namespace")
    with (
        node_without(base / "archive", cluster),
        pytest.raises(ArchiveError, match="is not the one that the driver sees") as caught,
    ):
        on_cluster(base, cluster)
    assert caught.value.message.startswith(f"node {socket.gethostname()}: archive {base}")
    assert "mount it there" in caught.value.advice
    assert receipts(base) == 0


def test_a_gpu_that_the_cluster_lacks_is_not_passed_over(base: Path, cluster: RayCluster) -> None:
    with pytest.raises(NoGpuError) as caught:
        on_cluster(base, cluster, device="gpu")
    assert caught.value.exit_code == ExitCode.NO_GPU


def test_a_lost_node_costs_nothing(
    base: Path,
    cluster: RayCluster,
    expected: dict[str, bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    doomed = cluster.add_node()

    def kill() -> None:
        wait_long(lambda: cluster.is_reading(doomed) or receipts(base) == SHARDS)
        cluster.kill_node(doomed)

    killer = threading.Thread(target=kill)
    killer.start()
    config = make_config(base, engine="ray", ray_address=cluster.address, workers=None)
    outcome = run_job(config, patient_tools())
    killer.join()
    assert outcome.exit_code == ExitCode.DONE
    assert not outcome.tally.poisoned, "no card is blamed for a node"
    assert readings_bytes(base / "run") == expected
    assert any(line.startswith("a shard was lost: its ") for line in caplog.messages)


def test_a_driver_that_is_stopped_or_killed_resumes(
    base: Path, cluster: RayCluster, expected: dict[str, bytes]
) -> None:
    command = [sys.executable, str(TESTS / "cluster_driver.py"), str(base), cluster.address]

    def stop(number: signal.Signals, after: int) -> tuple[int, str, str]:
        with subprocess.Popen(
            command, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as driver:  # fmt: skip
            wait_long(lambda: receipts(base) >= after)
            driver.send_signal(number)
            out, err = driver.communicate(timeout=LONG_PATIENCE)
        return driver.returncode, out, err

    code, out, err = stop(signal.SIGTERM, 1)
    assert (code, out) == (ExitCode.TERMINATED, "")
    assert "TerminatedRunError: stopped on request" in err
    assert receipts(base) < SHARDS
    assert stop(signal.SIGKILL, receipts(base) + 1)[0] == -signal.SIGKILL
    assert receipts(base) < SHARDS
    outcome = run_job(make_config(base, engine="ray", ray_address=cluster.address), patient_tools())
    assert outcome.exit_code == ExitCode.DONE
    assert readings_bytes(base / "run") == expected
    assert not list((base / "run").rglob(".*.tmp"))


def models() -> list[psutil.Process]:
    """Processes of this test's cluster that hold a model."""
    found = []
    for process in children_of(os.getpid()):
        with suppress(psutil.NoSuchProcess):
            if "".join(process.cmdline()[:1]).startswith("ray::ModelServer"):
                found.append(process)
    return found


def test_every_gpu_has_one_model_and_a_dead_one_is_replaced(
    base: Path, cluster: RayCluster, expected: dict[str, bytes]
) -> None:
    node = cluster.add_node(gpus=1)
    killed = []

    def kill() -> None:
        wait_long(lambda: receipts(base) >= 2)
        killed.extend(models())
        for process in killed:
            process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    config = make_config(base, engine="ray", ray_address=cluster.address, workers=None)
    outcome = run_job(config, patient_tools(open_classifier=open_noting))
    killer.join()
    cluster.kill_node(node)
    assert len(killed) == 1, "three nodes, one GPU"
    assert outcome.exit_code == ExitCode.DONE
    assert {receipt.device for receipt in all_receipts(base / "run")} == {"gpu"}
    assert readings_bytes(base / "run") == expected
    assert not outcome.tally.poisoned
