"""The summary counts what is there, adds up, and names no card and no VIN."""

import json
from pathlib import Path

import numpy as np
import pytest

from finished_run import VIN, make_run, reading, unreadable
from vin_batch.errors import DiskError, UsageError
from vin_batch.records import CheckDigitState, Status
from vin_batch.report.summary import CONFIDENCE_BINS, confidence_counts, write_summary


def mixed(root: Path, unfinished: frozenset[int] = frozenset()) -> Path:
    review = reading(
        "secret/card",
        Status.REVIEW,
        raw_vin="XTA210130D000000Z",
        confidence=0.5,
        reasons=("low_confidence", "changed_by_rules"),
        check_digit=CheckDigitState.VALID,
        maker=None,
    )
    shards = [
        [reading("a"), review],
        [unreadable("b", Status.FAILED, "no_boxes"), reading("c")],
        [unreadable("d", reason="too_few_boxes")],
    ]
    return make_run(root, shards, unfinished).root


def test_counts(tmp_path: Path) -> None:
    summary = write_summary(mixed(tmp_path / "run"))
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))
    assert summary["complete"] is True
    assert summary["cards"] == summary["cards_planned"] == 5
    assert summary["statuses"] == {"accepted": 2, "review": 1, "unreadable": 1, "failed": 1}
    assert summary["shares"]["accepted"] == 0.4
    assert list(summary["reasons"].items()) == [
        ("changed_by_rules", 1),
        ("low_confidence", 1),
        ("no_boxes", 1),
        ("too_few_boxes", 1),
    ]
    assert summary["issues"] == {"blank": 9}
    assert (summary["extra_boxes"], summary["ignored_files"]) == (3, 6)
    assert summary["makers"] == {"AvtoVAZ": 2, "unknown": 1}
    assert summary["check_digits"] == {"not_applicable": 2, "valid": 1}
    assert summary["changed_by_rules"] == 1


def test_confidence_histogram_holds_every_card(tmp_path: Path) -> None:
    summary = write_summary(mixed(tmp_path / "run"))
    histogram = summary["confidence_histogram"]
    assert {status: sum(bins) for status, bins in histogram.items()} == summary["statuses"]
    assert histogram["accepted"][-1] == 2
    assert histogram["review"][CONFIDENCE_BINS // 2] == 1
    assert histogram["failed"][0] == 1


def test_confidence_of_one_belongs_to_the_last_bin() -> None:
    counts = confidence_counts(np.array([0.0, 1.0, 1.0]))
    assert (counts[0], counts[-1], counts.sum()) == (1, 2, 3)


def test_times_and_rates(tmp_path: Path) -> None:
    timings = write_summary(mixed(tmp_path / "run"))["timings"]
    write = timings["seconds"]["write"]
    assert timings["seconds"]["classify"] == 18.0
    assert timings["main_seconds"] == pytest.approx(27.0 + write, abs=0.01)
    assert sum(timings["main_shares"].values()) == pytest.approx(1, abs=0.001)
    assert timings["worker_seconds"] == 12.0
    assert timings["cards_per_second"] == pytest.approx(5 / timings["main_seconds"], abs=0.001)


def test_sessions_and_resources(tmp_path: Path) -> None:
    summary = write_summary(mixed(tmp_path / "run"))
    assert summary["sessions"]["seconds"] == 20.0
    assert summary["sessions"]["count"] == 1
    assert summary["resources"]["shards_by_device"] == {"CPU": 3}
    assert summary["resources"]["worker_rss_bytes"] == 50 * 2**20
    assert summary["versions"]["numpy"] == "2.4"


def test_names_no_card_and_no_vin(tmp_path: Path) -> None:
    write_summary(mixed(tmp_path / "run"))
    text = (tmp_path / "run" / "summary.json").read_text("utf-8")
    assert VIN not in text
    assert "secret" not in text


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    summary = write_summary(mixed(tmp_path / "run", frozenset({1})))
    assert summary["complete"] is False
    assert (summary["cards"], summary["cards_planned"]) == (3, 5)
    assert summary["statuses"]["failed"] == 0


def test_a_run_without_any_shard_has_a_summary(tmp_path: Path) -> None:
    summary = write_summary(mixed(tmp_path / "run", frozenset({0, 1, 2})))
    assert summary["cards"] == 0
    assert summary["timings"]["cards_per_second"] is None
    assert summary["confidence_histogram"] == {}


def test_damage_is_reported(tmp_path: Path) -> None:
    root = mixed(tmp_path / "run")
    (root / "readings" / "part-00001.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DiskError, match="part-00001"):
        write_summary(root)
    with pytest.raises(UsageError):
        write_summary(tmp_path)
