"""The demo tells right from wrong, and hides neither."""

import subprocess
import sys
from pathlib import Path

from finished_run import VIN, make_run, reading, unreadable
from vin_batch.records import Status

PROJECT = Path(__file__).parents[2]
OTHER = "1HGCR2F54EA349148"


def show(run_dir: Path, truth: Path) -> subprocess.CompletedProcess[str]:
    script = str(PROJECT / "jobs" / "show_demo.py")
    return subprocess.run(
        [sys.executable, script, str(run_dir), str(truth)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=PROJECT,
    )


def test_every_outcome_is_named(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    lines = [
        "card_id,vin,note",
        f"good,{VIN},clean: x",
        f"картка,{OTHER},scan: y",
        f"silent,{VIN},hard: z",
        ",".join(("frame", "", "no VIN: w")),
        ",".join(("invented", "", "no VIN: v")),
        f"lost,{VIN},never read",
    ]
    truth.write_text("\n".join(lines) + "\n", "utf-8")
    shard = [
        reading("good"),
        reading("картка"),
        unreadable("silent", Status.FAILED, "no_boxes"),
        unreadable("frame", reason="zero_padded_number"),
        reading("invented", Status.REVIEW, reasons=("low_confidence",)),
        reading("stranger"),
    ]
    run = make_run(tmp_path / "run", [shard])
    done = show(run.root, truth)
    assert done.returncode == 0, done.stderr
    cells = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "0.9995      right" in cells["good"]
    assert "WRONG in 1" in cells["картка"]
    assert "not read" in cells["silent"]
    assert "no_boxes" in cells["silent"]
    assert "right: no VIN" in cells["frame"]
    assert "WRONG: no VIN" in cells["invented"]
    assert "unknown" in cells["stranger"]
    assert "LOST" in cells["lost"]
    assert "accepted: 3 (1 WRONG, 1 right, 1 unknown)" in done.stdout
    assert "review: 1 (1 WRONG)" in done.stdout
    assert "readings.csv" in done.stdout


def test_a_damaged_run_is_an_error(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a")]])
    run.readings(0).write_bytes(b"torn")
    truth = tmp_path / "truth.csv"
    truth.write_text("card_id,vin,note\n")
    done = show(run.root, truth)
    assert done.returncode == 7
    assert "part-00000" in done.stderr


def test_the_example_configuration_is_valid() -> None:
    from vin_batch.config import load_config

    config = load_config(PROJECT / "jobs" / "run.toml", {})
    assert config.archive == Path("/srv/cards/archive")
    assert config.shard_size == 1000
