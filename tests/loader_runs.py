"""Runs, corrections and awkward names for the tests of exports."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import strategies as st

from finished_run import RUN_ID, chars_of, make_run, reading, unreadable
from vin_batch.batch.ledger import load_run, save_run
from vin_batch.batch.readings_schema import (
    read_part,
    readings_to_table,
    serialise,
    table_to_readings,
)
from vin_batch.batch.receipts import receipt_from_json, receipt_to_json
from vin_batch.batch.rundir import RunDir
from vin_batch.corrections.facts import facts_of
from vin_batch.corrections.layer import append
from vin_batch.corrections.records import Correction
from vin_batch.records import Alternative, CheckDigitState, Reading, Status

AMERICAN = "1G4AH59H45G118341"
"""A VIN whose check digit fits, of a maker that uses one."""
HOSTILE = (
    "=cmd|' /C calc'!A0", "@SUM(A1)", "'quoted'", "comma,semi;colon", 'say "x"', "line\nbreak",
    "carriage\rreturn", "tab\there", "back\\slash", "\\N", "\\.", "{brace}", "NULL",
    "'; DROP TABLE readings;--", "%s %(x)s", "ящик/картка_1", "emoji 🚗", "right\u202eleft",
    "\ufeffbom", "\u0085next\u2028line", "not\\xffutf8", " spaces ", "\x01\x1f\x7f", "é e\u0301",
    "x" * 255, "deep/" * 180 + "card",
)  # fmt: skip
"""Card ids that a folder may have and that have broken loaders."""

awkward_text = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40
)


def awkward(card_id: str, confidence: float = 0.1 + 0.2) -> Reading:
    """A reading in which every column holds something that must be kept exactly."""
    return reading(
        card_id,
        Status.REVIEW,
        raw_vin="XTA2?013?D0000007",
        confidence=confidence,
        check_digit=CheckDigitState.INVALID,
        changed=(5, 9, 17),
        reasons=("low_confidence", "blank_boxes"),
        chars=chars_of(
            "XTA2?013?D0000007", probs={17: 0.1, 3: 1 / 3}, issues={5: "blank", 9: "missing"}
        ),
        alternatives=(Alternative("XTA210130D0000003", 1 / 7), Alternative("1" * 17, 1e-9)),
        maker='O\'Maker, "quoted"\\; co',
        country=None,
    )


def mixed(prefix: str, cards: int) -> list[Reading]:
    """Readings of every status."""
    made = []
    for number in range(cards):
        name = f"{prefix}/card_{number:04d}"
        kinds = (
            reading(name), awkward(name), unreadable(name),
            unreadable(name, Status.FAILED, "no_boxes"),
        )  # fmt: skip
        made.append(kinds[number % len(kinds)])
    return made


def run_of(
    root: Path, shards: Sequence[Sequence[Reading]], run_id: str = RUN_ID, read_at: str = ""
) -> RunDir:
    """A finished run with a chosen id and time of reading."""
    run = make_run(root, shards)
    if run_id != RUN_ID:
        _rename(run, run_id, len(shards))
    if read_at:
        set_read_at(run, dict.fromkeys(range(len(shards)), read_at))
    return run


def set_read_at(run: RunDir, times: Mapping[int, str]) -> None:
    """Change when shards were read."""
    for shard, text in times.items():
        path = run.receipt(shard)
        receipt = receipt_from_json(path.read_bytes())
        path.write_bytes(receipt_to_json(replace(receipt, finished_at=text)))


def _rename(run: RunDir, run_id: str, shards: int) -> None:
    save_run(run, replace(load_run(run), run_id=run_id))
    for shard in range(shards):
        table = read_part(run, shard)
        data = serialise(
            readings_to_table(table_to_readings(table), table["model_id"][0].as_py(), run_id)
        )
        run.readings(shard).write_bytes(data)
        receipt = receipt_from_json(run.receipt(shard).read_bytes())
        changed = replace(
            receipt,
            run_id=run_id,
            readings_sha256=hashlib.sha256(data).hexdigest(),
            readings_bytes=len(data),
        )
        run.receipt(shard).write_bytes(receipt_to_json(changed))


def correction(card_id: str, vin: str | None, **changes: object) -> Correction:
    """A correction by one reviewer, signed on New Year's Day."""
    values: dict[str, object] = {
        "reviewer": "i.petrova",
        "signed_at": datetime(2026, 1, 1, 12, tzinfo=UTC),
        "note": None,
        "facts": facts_of(vin),
        "imported_at": datetime(2026, 1, 2, tzinfo=UTC),
        "source_name": "desk.csv",
        "source_sha256": "a" * 64,
        "line": 2,
    }
    return Correction(card_id=card_id, vin=vin, **{**values, **changes})  # type: ignore[arg-type]


def correct(directory: Path, *corrections: Correction) -> None:
    """Add corrections to the layer of a directory."""
    assert append(directory, corrections)
