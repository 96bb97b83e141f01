from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from batch_fakes import fake_tools, make_archive, make_config
from vin_batch.batch.job import run_job
from vin_batch.batch.ledger import load_run, save_run
from vin_batch.batch.lock import hold
from vin_batch.batch.receipts import load_receipt, save_receipt
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.sealed import SEAL
from vin_batch.batch.status import RunState, describe, read_status
from vin_batch.batch.verify import Severity, exit_code_of, verify_run
from vin_batch.errors import DiskError, ExitCode, UsageError


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("verify")
    make_archive(base / "archive", 10)
    (base / "archive" / "box_01" / "card_0008" / "03.png").write_bytes(b"torn")
    run_job(make_config(base), fake_tools())
    return base / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> RunDir:
    shutil.copytree(finished, tmp_path / "run")
    return RunDir(tmp_path / "run")


def found(run: RunDir, severity: Severity) -> str:
    return "\n".join(f.message for f in verify_run(run) if f.severity is severity)


def code(run: RunDir) -> ExitCode:
    return exit_code_of(list(verify_run(run)))


def test_whole_run_with_a_failed_card(run: RunDir) -> None:
    assert found(run, Severity.DAMAGE) == ""
    assert found(run, Severity.INCOMPLETE) == "shard 2 has 1 failed cards"
    assert code(run) == ExitCode.FINISHED_WITH_FAILURES


def test_missing_receipt_is_incomplete(run: RunDir) -> None:
    run.receipt(0).unlink()
    assert "shard 0 is not finished" in found(run, Severity.INCOMPLETE)
    assert "readings/part-00000.parquet has no receipt" in found(run, Severity.NOTE)
    assert code(run) == ExitCode.FINISHED_WITH_FAILURES


def test_damaged_files_are_found(run: RunDir) -> None:
    os.truncate(run.readings(0), 700)
    run.receipt(1).write_bytes(b"{}")
    damage = found(run, Severity.DAMAGE)
    assert "shard 0: its readings are not those" in damage
    assert "receipt part-00001.json is damaged" in damage
    assert code(run) == ExitCode.DISK


def test_lost_readings_are_damage(run: RunDir) -> None:
    run.readings(1).unlink()
    assert "shard 1: its readings cannot be read" in found(run, Severity.DAMAGE)


def test_rows_in_another_order_are_damage_even_with_a_fitting_receipt(run: RunDir) -> None:
    table = pq.read_table(run.readings(0))
    pq.write_table(table.take([1, 0, 2, 3]), run.readings(0))
    forge_receipt(run, 0)
    assert "not of the cards in the plan" in found(run, Severity.DAMAGE)


def forge_receipt(run: RunDir, shard: int, **changes: object) -> None:
    from dataclasses import replace
    from hashlib import sha256

    receipt = load_receipt(run, shard)
    assert receipt is not None
    data = run.readings(shard).read_bytes()
    values = {"readings_sha256": sha256(data).hexdigest(), "readings_bytes": len(data), **changes}
    save_receipt(run, replace(receipt, **values))  # type: ignore[arg-type]


def test_receipts_of_other_cards_or_runs_are_damage(run: RunDir) -> None:
    forge_receipt(run, 0, run_id="0" * 32)
    forge_receipt(run, 1, plan_digest="0" * 32)
    forge_receipt(run, 2, statuses={"review": 1})
    damage = found(run, Severity.DAMAGE)
    assert "shard 0: its receipt belongs to another run" in damage
    assert "shard 1: its receipt was written for other cards" in damage
    assert "shard 2: the counts" in damage


def test_readings_of_another_model_are_damage(run: RunDir) -> None:
    forge_receipt(run, 0, model_id="other@0")
    assert "another model_id" in found(run, Severity.DAMAGE)


def test_strays_are_found(run: RunDir) -> None:
    shutil.copy(run.readings(0), run.readings(9))
    (run.receipts_dir / ".part-00000.json.tmp").write_bytes(b"x")
    assert "part-00009.parquet belongs to no shard" in found(run, Severity.DAMAGE)
    assert "left over" in found(run, Severity.NOTE)


def test_damaged_plan_or_record(run: RunDir) -> None:
    plan = run.plan.read_bytes()
    run.plan.write_bytes(plan[:-4])
    assert "plan.parquet is damaged" in found(run, Severity.DAMAGE)
    run.plan.write_bytes(plan)
    document = json.loads(run.run_json.read_bytes())
    document["plan"]["cards"] += 1
    del document[SEAL]
    run.run_json.write_text(json.dumps(document))
    assert "not the plan that run.json describes" in found(run, Severity.DAMAGE)
    run.run_json.write_text("{")
    with pytest.raises(DiskError):
        list(verify_run(run))


def test_unreadable_folders_and_lost_outputs_are_incomplete(run: RunDir) -> None:
    from dataclasses import replace

    record = load_run(run)
    walk = {**record.walk, "unreadable_folders": 2, "unreadable_examples": ["a: no"]}
    save_run(run, replace(record, walk=walk))
    run.outputs[0].unlink()
    incomplete = found(run, Severity.INCOMPLETE)
    assert "2 folders could not be listed, their cards are missing: a: no" in incomplete
    assert "readings.csv is missing" in incomplete


def test_status_of_every_state(run: RunDir) -> None:
    status = read_status(run)
    assert status.state is RunState.COMPLETE
    assert (status.tally.cards, status.with_failures) == (10, 1)
    assert "10 of 10 (100.0%)" in describe(status)
    assert json.loads(json.dumps(status.as_dict()))["statuses"] == {
        "accepted": 0,
        "review": 9,
        "unreadable": 0,
        "failed": 1,
    }
    with hold(run.lock):
        assert read_status(run).state is RunState.RUNNING
        assert "a run works on this directory" in found(run, Severity.NOTE)
    run.receipt(1).unlink()
    status = read_status(run)
    assert status.state is RunState.INCOMPLETE
    assert status.tally.cards == 6
    assert "resumes" in describe(status)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        read_status(RunDir(tmp_path))
    with pytest.raises(UsageError, match="holds no run"):
        list(verify_run(RunDir(tmp_path)))
