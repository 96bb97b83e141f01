"""Metrics for node_exporter: what its parser reads is what was meant."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from finished_run import make_run, reading, unreadable
from vin_batch.batch.status import read_status
from vin_batch.errors import DiskError, ExitCode, UsageError
from vin_batch.records import Status
from vin_batch.report.textfile import (
    Metric,
    SessionFacts,
    render,
    require_place,
    session_metrics,
    write_textfile,
)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
ARCHIVE = "/srv/cards/archive"


def parsed(data: bytes) -> Samples:
    """Samples by name and labels; every one of a declared gauge and without a time stamp."""
    found: Samples = {}
    for family in text_string_to_metric_families(data.decode()):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.timestamp is None
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, "node_exporter refuses a sample that comes twice"
            found[key] = sample.value
    return found


def value(samples: Samples, name: str, archive: str = ARCHIVE, **labels: str) -> float:
    return samples[f"vin_batch_{name}", frozenset({"archive": archive, **labels}.items())]


def facts(tmp_path: Path, **changes: object) -> SessionFacts:
    cards = [reading("a"), reading("b", Status.REVIEW), unreadable("c", Status.FAILED)]
    run = make_run(tmp_path / "run", [cards])
    values: dict[str, object] = {
        "archive": ARCHIVE,
        "exit_code": ExitCode.FINISHED_WITH_FAILURES,
        "finished_at": 1_770_000_000.25,
        "seconds": 12.0,
        "cards_read": 3,
        "status": read_status(run),
        "backlog": {"new": 5, "missing": 1},
    }
    return SessionFacts(**(values | changes))  # type: ignore[arg-type]


def test_a_session_in_numbers(tmp_path: Path) -> None:
    samples = parsed(render(session_metrics(facts(tmp_path))))
    assert value(samples, "last_run_timestamp_seconds") == 1_770_000_000.25
    assert value(samples, "last_run_exit_code") == 3
    assert value(samples, "last_run_finished") == 1
    assert value(samples, "last_run_duration_seconds") == 12
    assert value(samples, "last_run_cards_read") == 3
    assert value(samples, "last_run_cards_per_second") == 0.25
    assert value(samples, "run_planned_cards") == 3
    assert value(samples, "run_cards", status="accepted") == 1
    assert value(samples, "run_cards", status="failed") == 1
    assert value(samples, "run_cards", status="unreadable") == 0
    assert value(samples, "run_accepted_ratio") == pytest.approx(1 / 3, abs=1e-6)
    assert value(samples, "run_boxes", issue="blank") == 3
    assert value(samples, "run_boxes", issue="not_read") == 0
    assert value(samples, "run_quarantined_shards") == 0
    assert value(samples, "run_failed_shards") == 1
    assert value(samples, "run_unreadable_folders") == 0
    assert value(samples, "backlog_cards", state="new") == 5
    assert value(samples, "backlog_cards", state="waiting") == 0
    assert value(samples, "backlog_cards", state="missing") == 1


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_outcome_has_metrics(tmp_path: Path, code: ExitCode) -> None:
    known = facts(tmp_path, exit_code=code, status=None, cards_read=None, backlog={})
    samples = parsed(render(session_metrics(known)))
    assert value(samples, "last_run_exit_code") == code
    assert value(samples, "last_run_finished") == (code in {0, 3})
    assert not [name for name, _ in samples if name.startswith(("vin_batch_run", "vin_batch_back"))]


@given(st.text(), st.floats(allow_nan=False))
def test_any_path_and_number_survives(archive: str, number: float) -> None:
    data = render((Metric("vin_batch_x", "a\\b\nc", (({"archive": archive}, number),)),))
    assert data.endswith(b"\n")
    (family,) = text_string_to_metric_families(data.decode())
    assert family.documentation == "a\\b\nc"
    assert family.samples[0].labels == {"archive": archive}
    assert family.samples[0].value == number


def test_a_path_that_is_not_utf_8_does_no_harm() -> None:
    archive = b"/srv/caf\xe9".decode("utf-8", "surrogateescape")
    data = render((Metric("vin_batch_x", "text", (({"archive": archive}, 1),)),))
    (family,) = text_string_to_metric_families(data.decode())
    assert family.samples[0].labels == {"archive": "/srv/caf\\udce9"}


def test_names_follow_the_conventions(tmp_path: Path) -> None:
    for metric in session_metrics(facts(tmp_path)):
        assert metric.name.startswith("vin_batch_")
        assert not metric.name.endswith("_total"), "only counters are totals"
        assert metric.text.endswith(".")


def test_the_file_is_replaced_whole_and_public(tmp_path: Path) -> None:
    path = tmp_path / "vin_batch.prom"
    before = os.umask(0o077)
    try:
        write_textfile(path, (Metric("vin_batch_x", "text", (({}, 1),)),))
        write_textfile(path, (Metric("vin_batch_x", "text", (({}, 2),)),))
    finally:
        os.umask(before)
    assert path.read_text() == "# HELP vin_batch_x text\n# TYPE vin_batch_x gauge\nvin_batch_x 2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["vin_batch.prom"]


def test_no_folder_is_told_early(tmp_path: Path) -> None:
    require_place(tmp_path / "v.prom")
    with pytest.raises(UsageError, match="no folder"):
        require_place(tmp_path / "nowhere" / "v.prom")
    with pytest.raises(DiskError):
        write_textfile(tmp_path / "nowhere" / "v.prom", ())
