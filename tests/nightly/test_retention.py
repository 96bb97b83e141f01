"""What is removed is derived or superseded; a current reading never is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_fakes import make_card, make_model
from night_fakes import current_rows, night, nights_of
from vin_batch.nightly.nightdir import remove_run
from vin_batch.nightly.retention import superseded

runs = st.lists(st.integers(1, 30).map("{:06d}".format), unique=True).map(sorted)


@given(runs, st.sets(st.integers(1, 30).map("{:06d}".format)), st.integers(1, 9))
def test_neither_late_nor_current_runs_go(names: list[str], current: set[str], keep: int) -> None:
    gone = superseded(names, current, keep)
    assert not set(gone) & (current | set(names[-keep:]))
    assert set(gone) | current | set(names[-keep:]) >= set(names)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Three runs; the second has the only current reading of ``old``."""
    make_card(tmp_path / "archive" / "a", 1)
    night(tmp_path)
    make_card(tmp_path / "archive" / "old", 2)
    night(tmp_path)
    (tmp_path / "archive" / "a" / "01.png").write_bytes(b"")
    night(tmp_path)
    return tmp_path


def test_superseded_runs_go_and_others_lose_what_can_be_made_again(base: Path) -> None:
    current = current_rows(base)
    summary = night(base, keep_nights=1)
    assert (summary.pruned.runs, summary.pruned.outputs) == (["000001"], ["000002"])
    assert nights_of(base).run_names() == ["000002", "000003"]
    run = nights_of(base).run("000002")
    assert not (run.root / "readings.csv").exists()
    assert run.readings(0).exists()
    assert current_rows(base) == current
    assert night(base, keep_nights=1).pruned.runs == []
    nights_of(base).catalogue.unlink()
    after = night(base, keep_nights=1)
    assert sum(after.read.values()) == 0
    assert current_rows(base) == current


def test_corrections_of_people_keep_a_run(base: Path) -> None:
    (nights_of(base).run("000001").root / "corrections").mkdir()
    assert night(base, keep_nights=1).pruned.runs == []


def test_a_new_model_supersedes_whole_runs(base: Path) -> None:
    make_model(base / "model", b"better")
    summary = night(base, keep_nights=1, reread_older_models=True)
    assert summary.pruned.runs == ["000001", "000002", "000003"]
    assert len(current_rows(base)) == 2


def test_a_removal_that_was_cut_short_is_finished(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = current_rows(base)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            remove_run(nights_of(base), "000001")
    assert nights_of(base).run_names() == ["000002", "000003"]
    assert sum(night(base).read.values()) == 0
    assert sorted(path.name for path in nights_of(base).runs.iterdir()) == ["000002", "000003"]
    assert current_rows(base) == current
