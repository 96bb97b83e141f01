"""A department's own cards set the threshold; too few or too wrong ones set none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from batch_fakes import make_model
from vin_batch.classifier.model_card import CARD_NAME, load_model_card
from vin_batch.errors import UsageError
from vin_batch.records import BoxIssue, DecisionPolicy
from vin_batch.synthesis.vins import random_vin
from vin_batch.training.calibrate import MIN_ACCEPTED
from vin_batch.training.labelled import Evidence
from vin_batch.training.provenance import provenance
from vin_batch.training.recalibrate import (
    Recalibration,
    publish_recalibrated,
    recalibrate,
    require_enough,
    require_new,
)
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH, encode
from vin_batch.vin.decoder import Decoder

BEFORE = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=0.9, min_read_boxes=11)
LABELLED = 900


def evidence(count: int, seed: int = 0) -> Evidence:
    """Cards whose boxes are read as they are, some more surely than others."""
    rng = np.random.default_rng(seed)
    vins = tuple(random_vin(rng).vin for _ in range(count))
    truth = np.stack([encode(vin) for vin in vins])
    clear = 1 - 10 ** rng.uniform(-4, -1, count)
    log_probs = np.empty((count, VIN_LENGTH, len(ALPHABET)), np.float32)
    log_probs[:] = np.log((1 - clear) / 32)[:, None, None]
    np.put_along_axis(
        log_probs, truth[:, :, None].astype(np.int64), np.log(clear)[:, None, None], axis=2
    )
    return Evidence(
        card_ids=tuple(f"card_{row:04d}" for row in range(count)),
        vins=vins,
        log_probs=log_probs,
        issues=np.zeros((count, VIN_LENGTH), np.uint8),
        extra_boxes=np.zeros(count, np.int32),
        digest="0" * 64,
    )


@pytest.fixture(scope="module")
def cards() -> Evidence:
    return evidence(LABELLED)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder()


def swapped(cards: Evidence, rows: NDArray[np.int64]) -> Evidence:
    """The truth of some cards is that of their neighbours."""
    vins = list(cards.vins)
    for row in rows:
        vins[row] = cards.vins[(row + 1) % len(vins)]
    return replace(cards, vins=tuple(vins))


def test_cards_that_are_read_right_are_accepted(cards: Evidence, decoder: Decoder) -> None:
    found = recalibrate(cards, BEFORE, decoder)
    assert found.cards == LABELLED
    assert found.accepted_wrong == 0
    assert MIN_ACCEPTED <= found.accepted <= found.acceptable <= LABELLED
    assert 0 < found.policy.accept_confidence <= 1
    assert found.policy.min_read_boxes == 11, "rules about boxes are not refitted"
    text = found.text()
    assert f"labelled cards          {LABELLED}" in text
    assert "wrong among them        0" in text
    assert "chosen on these very cards" in text


def test_wrong_cards_raise_the_threshold_or_forbid_one(cards: Evidence, decoder: Decoder) -> None:
    easy = recalibrate(cards, BEFORE, decoder)
    least_sure = np.argsort(cards.log_probs.max(axis=(1, 2)))[:40]
    wrong = recalibrate(swapped(cards, least_sure), BEFORE, decoder)
    assert wrong.accepted < easy.accepted
    assert wrong.accepted_wrong == 0
    with pytest.raises(UsageError, match="no threshold is pure enough") as caught:
        recalibrate(swapped(cards, np.arange(0, LABELLED, 10)), BEFORE, decoder)
    assert "at most 0 may be: card_" in caught.value.message
    assert "both VINs" in caught.value.advice


def test_what_can_never_be_accepted_shows_nothing(cards: Evidence, decoder: Decoder) -> None:
    issues = cards.issues.copy()
    issues[: LABELLED - 200, 3] = BoxIssue.BLANK
    with pytest.raises(UsageError, match=f"of {LABELLED} labelled cards can be accepted") as caught:
        recalibrate(replace(cards, issues=issues), BEFORE, decoder)
    assert f"at least {MIN_ACCEPTED}" in caught.value.message
    assert "rule of three" in caught.value.advice
    assert "Label about " in caught.value.advice


def test_too_few_are_refused_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match="499 labelled cards are too few") as caught:
        require_enough(MIN_ACCEPTED - 1)
    assert "500 bound it to 0.6 %, and 3,000 to the 0.1 % of double keying" in caught.value.advice
    require_enough(MIN_ACCEPTED)


FOUND = Recalibration(
    policy=DecisionPolicy(slope=0.8, intercept=-0.1, accept_confidence=0.995),
    cards=1000, acceptable=900, accepted=600, accepted_wrong=0,
    calibration_error_before=0.05, calibration_error=0.01,
)  # fmt: skip


def test_a_new_model_directory_is_written_and_the_old_one_kept(tmp_path: Path) -> None:
    source = make_model(
        tmp_path / "old",
        metrics={"characters": {}, "cards": {"scan": {"cards": 1}}},
        training={"parameters": 5},
        made="2026-01-01",
    )
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    out = tmp_path / "models" / "ours"
    record = {**provenance(["calibrate"]), "data_sha256": "f" * 64}
    publish_recalibrated(load_model_card(source), out, FOUND, record)
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    old, new = load_model_card(source), load_model_card(out)
    assert (new.name, new.sha256, new.temperature) == ("ours", old.sha256, old.temperature)
    assert new.policy == FOUND.policy
    told = json.loads((out / CARD_NAME).read_text())["calibration"]
    assert told["data_sha256"] == "f" * 64
    assert (told["cards"], told["accepted"], told["accepted_wrong"]) == (1000, 600, 0)
    assert told["previous"]["model"] == "fake"
    assert new.details["metrics"]["cards"] == {}, "measured with another threshold"
    assert "1,000 labelled cards" in (out / "README.md").read_text("utf-8")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    require_new(tmp_path / "new")
    require_new(tmp_path)
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match="exists already"):
            require_new(path)
