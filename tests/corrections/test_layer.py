"""The layer only grows; the last signature decides, whatever the order of imports."""

import tempfile
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from finished_run import VIN
from loader_runs import AMERICAN, awkward_text, correct, correction
from vin_batch.batch.lock import hold
from vin_batch.corrections.facts import facts_of
from vin_batch.corrections.layer import append, digest, layer_of, load
from vin_batch.corrections.records import conflicts, deciding
from vin_batch.errors import DiskError, LockedError
from vin_batch.records import DecisionPolicy
from vin_batch.synthesis.vins import random_vin
from vin_batch.vin.decoder import Decoder
from vin_batch.vin.verdict import judge
from vin_ink import ink

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(hours: int) -> datetime:
    return NOON + timedelta(hours=hours)


def test_an_import_is_kept_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    first = correction("a", VIN, note='quoted "x" \u2028 ünï\n')
    assert append(tmp_path, [first, correction("b", None)])
    files = {path: path.read_bytes() for path in layer_of(tmp_path).glob("*.jsonl")}
    assert len(files) == 1
    assert not append(tmp_path, [correction("a", AMERICAN)])
    assert {path: path.read_bytes() for path in layer_of(tmp_path).glob("*.jsonl")} == files
    assert load([tmp_path, tmp_path]) == sorted(
        [first, correction("b", None)], key=lambda c: c.order
    )


@given(awkward_text, awkward_text, awkward_text)
def test_any_text_survives(card: str, reviewer: str, note: str) -> None:
    said = correction(card, AMERICAN, reviewer=reviewer, note=note)
    with tempfile.TemporaryDirectory() as folder:
        correct(Path(folder), said)
        assert load([Path(folder)]) == [said]


def test_the_same_statement_in_two_files_is_one(tmp_path: Path) -> None:
    early = correction("a", VIN)
    late = correction("a", VIN, source_sha256="b" * 64, imported_at=at(99))
    correct(tmp_path, late)
    correct(tmp_path, early)
    assert load([tmp_path]) == [early]


def test_the_last_signature_decides_in_any_order_of_imports() -> None:
    said = [
        correction("a", VIN, signed_at=at(1)),
        correction("a", AMERICAN, signed_at=at(3)),
        correction("a", None, signed_at=at(2)),
        correction("b", VIN, reviewer="anna"),
        correction("b", None, reviewer="boris"),
    ]
    for order in permutations(said):
        chosen = deciding(order)
        assert (chosen["a"].vin, chosen["b"].vin) == (AMERICAN, None)
        found = conflicts(order)
        assert [c.card_id for c in found] == ["a", "b"]
        assert [s.vin for s in found[0].statements] == [AMERICAN, None, VIN]
        assert digest(order) == digest(said)


def test_agreement_is_no_conflict() -> None:
    said = [correction("a", VIN), correction("a", VIN, reviewer="anna", signed_at=at(5))]
    assert conflicts(said) == []


@pytest.mark.parametrize("damage", ["{}\n", "torn", '{"schema": 2}\n', "\xff"])
def test_damage_is_not_passed_over(tmp_path: Path, damage: str) -> None:
    correct(tmp_path, correction("a", VIN))
    (path,) = layer_of(tmp_path).glob("*.jsonl")
    path.write_bytes(path.read_bytes() + damage.encode("latin-1"))
    with pytest.raises(DiskError, match=path.name):
        load([tmp_path])


def test_two_imports_at_once_do_not_mix(tmp_path: Path) -> None:
    layer_of(tmp_path).mkdir()
    with hold(layer_of(tmp_path) / "lock"), pytest.raises(LockedError):
        append(tmp_path, [correction("a", VIN)])
    assert load([tmp_path]) == []


def test_people_and_the_machine_say_the_same_about_a_vin() -> None:
    """The facts of a VIN do not depend on who read it."""
    rng = np.random.default_rng(3)
    vins = [*(random_vin(rng).vin for _ in range(150)), AMERICAN, VIN]
    policy = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=0.99)
    probs = np.stack([ink(vin) for vin in vins])
    issues = np.zeros((len(vins), 17), np.uint8)
    extra = np.zeros(len(vins), np.int32)
    read = [r for r in judge(vins, probs, issues, extra, policy, Decoder()) if r.vin == r.card_id]
    assert len(read) > 100
    for reading in read:
        facts = facts_of(reading.vin)
        machine = (reading.check_digit, reading.wmi, reading.maker, reading.country)
        assert machine == (facts.check_digit, facts.wmi, facts.maker, facts.country)
        assert reading.model_years == facts.model_years
    assert len({reading.check_digit for reading in read}) >= 2
