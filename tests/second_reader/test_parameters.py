from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batch_fakes import make_model
from second_fakes import POLICY, plain_calibration, plain_fusion, write_parameters
from vin_batch.classifier.model_card import load_model_card
from vin_batch.errors import ExitCode, ModelError
from vin_batch.second_reader.parameters import PARAMETERS_NAME, load_parameters

DIGEST = "ab" * 32


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made = make_model(tmp_path / "model")
    write_parameters(made, DIGEST)
    return made


def change(model: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = model / PARAMETERS_NAME
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def test_parameters_survive_the_file(model: Path) -> None:
    found = load_parameters(load_model_card(model))
    assert (found.name, found.weights_sha256) == ("fake recogniser", DIGEST)
    assert found.policies == {"review": POLICY, "all": POLICY}
    assert found.calibration.coefficients == pytest.approx(
        plain_calibration().coefficients, abs=1e-6
    )
    assert (found.fusion.agreeing, found.fusion.differing) == (
        plain_fusion().agreeing,
        plain_fusion().differing,
    )
    rows = (model / PARAMETERS_NAME).read_text().splitlines()
    assert len(rows) < 150, "a row of coefficients is one line"


def test_every_change_changes_the_digest(model: Path) -> None:
    before = load_parameters(load_model_card(model)).sha256
    change(model, lambda raw: raw["policies"]["all"].update(accept_confidence=0.5))
    assert load_parameters(load_model_card(model)).sha256 != before


@pytest.mark.parametrize(
    "changes",
    [{"temperature": 2.0}, {"tail": {"knee": 3.0, "gain": 1.0}}],
)
def test_another_calibration_of_the_model_is_refused(
    model: Path, changes: dict[str, object]
) -> None:
    make_model(model, b"weights", **changes)
    with pytest.raises(ModelError, match="fitted beside other weights") as caught:
        load_parameters(load_model_card(model))
    assert "train-second-reader" in caught.value.advice
    assert caught.value.exit_code == ExitCode.MODEL


def test_other_weights_of_the_model_are_refused(model: Path) -> None:
    make_model(model, b"retrained")
    with pytest.raises(ModelError, match="fitted beside other weights"):
        load_parameters(load_model_card(model))


def test_another_threshold_of_the_model_is_no_reason(model: Path) -> None:
    make_model(model, policy={"slope": 1.0, "intercept": 0.0, "accept_confidence": 0.5})
    assert load_parameters(load_model_card(model)).weights_sha256 == DIGEST


@pytest.mark.parametrize(
    "edit",
    [
        lambda raw: raw.update(schema=9),
        lambda raw: raw.update(symbols="ABC"),
        lambda raw: raw.update(canvas=[48, 320]),
        lambda raw: raw.pop("calibration"),
        lambda raw: raw["calibration"].update(intercepts=[1.0]),
        lambda raw: raw["calibration"].update(coefficients=[[1.0], [1.0, 2.0]]),
        lambda raw: raw["fusion"]["agreeing"].update(first=float("nan")),
        lambda raw: raw["fusion"]["differing"].update(third=1.0),
        lambda raw: raw["policies"].pop("all"),
        lambda raw: raw.update(model=[]),
    ],
)
def test_damaged_parameters_are_refused(
    model: Path, edit: Callable[[dict[str, Any]], object]
) -> None:
    change(model, edit)
    with pytest.raises(ModelError):
        load_parameters(load_model_card(model))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b"null"])
def test_files_of_another_kind_are_refused(model: Path, data: bytes) -> None:
    (model / PARAMETERS_NAME).write_bytes(data)
    with pytest.raises(ModelError):
        load_parameters(load_model_card(model))


def test_missing_parameters_say_how_to_fit_them(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no second reader") as caught:
        load_parameters(load_model_card(make_model(tmp_path / "model")))
    assert "train-second-reader" in caught.value.advice
