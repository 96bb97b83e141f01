"""Files of a run that were damaged: found, named, and made again by the same command."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from crash_inline import inline_config, make_base, results, run_inline
from vin_batch.batch.ledger import load_run
from vin_batch.batch.receipts import ReceiptError, receipt_from_json, receipt_to_json
from vin_batch.batch.rundir import OUTPUT_NAMES, RunDir
from vin_batch.batch.sealed import SEAL, open_sealed, sealed_json
from vin_batch.batch.verify import Severity, verify_run
from vin_batch.errors import DiskError, ExitCode

FLIPS = 400
"""Bits that are flipped in every kind of file."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("damage"))


@pytest.fixture
def run(base: Path, tmp_path: Path) -> RunDir:
    shutil.copytree(base / "undisturbed", tmp_path / "run")
    return RunDir(tmp_path / "run")


def flipped(data: bytes, bit: int) -> bytes:
    spoiled = bytearray(data)
    spoiled[bit // 8] ^= 1 << bit % 8
    return bytes(spoiled)


def bits(data: bytes) -> list[int]:
    return random.Random(3).sample(range(8 * len(data)), FLIPS)


def damage(run: RunDir) -> str:
    return "; ".join(f.message for f in verify_run(run) if f.severity is Severity.DAMAGE)


def test_no_flipped_bit_of_a_receipt_goes_unnoticed(run: RunDir) -> None:
    data = run.receipt(0).read_bytes()
    whole = receipt_from_json(data)
    assert receipt_to_json(whole) == data
    for bit in bits(data):
        with pytest.raises(ReceiptError):
            receipt_from_json(flipped(data, bit))


def test_no_flipped_bit_of_the_record_goes_unnoticed(run: RunDir) -> None:
    data = run.run_json.read_bytes()
    for bit in bits(data):
        run.run_json.write_bytes(flipped(data, bit))
        with pytest.raises(DiskError, match=r"run\.json") as caught:
            load_run(run)
        assert "backup" in caught.value.advice


def test_files_from_before_there_were_seals_are_read(run: RunDir) -> None:
    document = json.loads(run.run_json.read_bytes())
    del document[SEAL]
    run.run_json.write_text(json.dumps(document))
    assert load_run(run).cards == 5


@pytest.mark.parametrize("data", [b"", b"\0" * 40, b"[]", b"7", b'{"seal": 1}', b"{"])
def test_what_is_no_sealed_object_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of any kind
        open_sealed(data)
    assert open_sealed(sealed_json({"a": [1, 2.5, None]})) == {"a": [1, 2.5, None]}


def flip_readings(run: RunDir) -> None:
    data = run.readings(1).read_bytes()
    run.readings(1).write_bytes(flipped(data, 4 * len(data)))


def other_shard(run: RunDir) -> None:
    shutil.copyfile(run.receipt(0), run.receipt(1))


def other_shard_whole(run: RunDir) -> None:
    other_shard(run)
    shutil.copyfile(run.readings(0), run.readings(1))


def count_more(run: RunDir) -> None:
    text = run.receipt(1).read_text()
    assert '"review": 2' in text or '"failed": 2' in text or '"unreadable": 2' in text
    run.receipt(1).write_text(text.replace(": 2\n", ": 1\n", 1))


SPOILERS: dict[str, Callable[[RunDir], object]] = {
    "one bit of readings": flip_readings,
    "truncated readings": lambda run: os.truncate(run.readings(1), 100),
    "empty readings": lambda run: os.truncate(run.readings(1), 0),
    "readings of another shard": lambda run: shutil.copyfile(run.readings(0), run.readings(1)),
    "empty receipt": lambda run: os.truncate(run.receipt(1), 0),
    "truncated receipt": lambda run: os.truncate(run.receipt(1), 200),
    "receipt of another shard": other_shard,
    "receipt that counts wrong": count_more,
    "receipt and readings of another shard": other_shard_whole,
}


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS)
def test_the_damaged_shard_alone_is_read_again(
    base: Path, run: RunDir, spoil: Callable[[RunDir], object]
) -> None:
    untouched = [run.readings(0), run.receipt(0), run.readings(2), run.receipt(2)]
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in untouched]
    spoil(run)
    assert damage(run)
    assert run_inline(inline_config(base, run.root)) == ExitCode.DONE
    assert results(run.root) == results(base / "undisturbed")
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in untouched] == before
    assert list(verify_run(run)) == []


@pytest.mark.parametrize("name", OUTPUT_NAMES)
def test_a_derived_file_that_was_altered_is_written_again(
    base: Path, run: RunDir, name: str
) -> None:
    whole = (run.root / name).read_bytes()
    (run.root / name).write_bytes(whole[:-1])
    assert f"{name} was altered or is torn" in damage(run)
    assert run_inline(inline_config(base, run.root)) == ExitCode.DONE
    assert (run.root / name).read_bytes() == whole
    assert list(verify_run(run)) == []


def test_derived_files_of_other_readings_are_found_and_made_again(base: Path, run: RunDir) -> None:
    """As after a death between the last shard of a retry and the files derived from it."""
    from dataclasses import replace

    from vin_batch.batch.ledger import save_run

    save_run(run, replace(load_run(run), outputs_digest="0" * 64))
    found = [finding.message for finding in verify_run(run)]
    assert found == ["readings.csv, summary.json, report.html were made from other readings"]
    assert run_inline(inline_config(base, run.root)) == ExitCode.DONE
    assert list(verify_run(run)) == []


def test_a_damaged_plan_stops_with_advice_and_costs_nothing(base: Path, run: RunDir) -> None:
    plan = run.plan.read_bytes()
    for bit in bits(plan)[:40]:
        run.plan.write_bytes(flipped(plan, bit))
        assert "plan.parquet is damaged" in damage(run)
    run.plan.unlink()
    assert "cannot read" in damage(run)
    assert run_inline(inline_config(base, run.root)) == ExitCode.DISK
    run.plan.write_bytes(plan)
    assert run_inline(inline_config(base, run.root)) == ExitCode.DONE
    assert results(run.root) == results(base / "undisturbed")
