"""``jobs/train_default.sh``: its steps, and that it goes on where it was interrupted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "jobs" / "train_default.sh"
RECORDER = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
[ -z "${FAIL_AT:-}" ] || case "$*" in *"$FAIL_AT"*) exit 7 ;; esac
while [ $# -gt 0 ]; do
  if [ "$1" = -o ]; then mkdir -p "$2"; echo > "$2/README.md"; fi
  shift
done
"""


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    path = tmp_path / "vin-batch"
    path.write_text(RECORDER)
    path.chmod(0o755)
    return path


def train(recorder: Path, *more: str, **variables: str) -> tuple[int, list[str]]:
    """Exit status of the script, and the commands of this call by what they make."""
    calls = recorder.parent / "calls"
    calls.write_text("")
    out = recorder.parent / "models" / "mine"
    done = subprocess.run(
        ["sh", SCRIPT, "data", str(out), *more],
        env={"PATH": "/usr/bin:/bin", "VIN_BATCH": str(recorder), **variables},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    stages = f"{out.parent}/.mine-stages/"
    return done.returncode, [
        line.replace(stages, "").replace(str(out), "OUT").replace(f"{SCRIPT.parent}/", "")
        for line in calls.read_text().splitlines()
    ]


def test_every_step_once_and_in_order(recorder: Path) -> None:
    status, calls = train(recorder)
    assert status == 0
    assert [call.split()[0] for call in calls] == [
        *["train"] * 4, "average-models", *["train"] * 2, "average-models", "train",
        "export-engine", "train-second-reader",
    ]  # fmt: skip
    assert "--start" not in calls[0]
    assert calls[3] == (
        "train --data data --config train_stage4.toml --cards 500 --start 3 --work work4 -o 4"
    )
    assert calls[4] == "average-models 2 4 --share 0.4 -o mean"
    assert calls[6] == (
        "train --data data --config train_stage6.toml --cards 500 --start 5 "
        "--teacher 2 --teacher 4 --work work6 -o 6"
    )
    assert calls[7] == "average-models mean 6 --share 0.45 -o OUT"
    assert calls[8] == "train --data data --cards 4000 --calibrate-only -o OUT"


def test_a_list_of_vins_calibrates(recorder: Path) -> None:
    status, calls = train(recorder, "my vins.csv")
    assert status == 0
    assert calls[8] == "train --data data --vins my vins.csv --cards 4000 --calibrate-only -o OUT"
    assert calls[10] == "train-second-reader --data data --vins my vins.csv --model OUT"


def test_goes_on_where_it_ended(recorder: Path) -> None:
    status, calls = train(recorder, FAIL_AT="work5")
    assert status == 7
    assert len(calls) == 6
    status, calls = train(recorder)
    assert status == 0
    assert calls[0].startswith("average-models 2 4")
    assert "-o 5" in calls[1]
    assert len(calls) == 7
