"""``vin-batch compare-training`` from the command line, on a tiny data folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from glyph_packs import write_data
from vin_batch.cli import main
from vin_batch.errors import ExitCode

SMALL = (
    "--images", "60", "--passes", "1", "--set", "batch=16", "--set", "reject_share=0",
    "--set", "mixed_precision=false", "--stroke-writers", "2", "--at-most", "20",
    "--regional-writers", "1", "--workers", "1",
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from vin_batch.training import network, typeface_pack

    monkeypatch.setattr(typeface_pack, "HANDS", 1)
    monkeypatch.setattr(network, "WIDTHS", (6,))
    monkeypatch.setattr(network, "HEAD_UNITS", 16)
    return write_data(tmp_path / "data")


def test_variants_are_trained_once_and_shown(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [
        "compare-training", "--data", str(data), *SMALL, "--writers", "people,strokes",
        "--leave-out", "sheets", "--json", str(tmp_path / "r.json"),
        "--work", str(tmp_path / "work" / "drawn"),
    ]  # fmt: skip
    assert main(command) == ExitCode.DONE
    shown = capsys.readouterr().out
    people, strokes = shown.splitlines()[-2:]
    assert people.split()[:3] == ["people", "sheets", "(20)"]
    assert strokes.split()[:3] == ["strokes", "sheets", "(20)"]

    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("vin_batch.training.ablation.train_on_pool", refuse)
    assert main([*command, "--only-show"]) == ExitCode.DONE
    assert capsys.readouterr().out == shown
    assert main([*command, "--markdown"]) == ExitCode.DONE
    table = capsys.readouterr().out
    assert "|---|" in table
    assert people.split()[-2] in table


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--writers", "monkeys"], "knows no monkeys"),
        (["--arch", "lenet"], "no architecture is called lenet"),
        (["--option", "fonts=false"], "cannot change a training by"),
        (["--leave-out", "tablets"], "no source is called tablets"),
        (["--images", "0"], "must be 1 or more"),
        (["--regional-writers", "-1"], "must be 0 or more"),
        (["--only-show"], "holds none of these 1 variants"),
        (["--images", "100000"], "no glyph is drawn twice"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], told: str
) -> None:
    code = main(["compare-training", "--data", str(data), *SMALL, *wrong])
    assert code == ExitCode.USAGE
    assert told in capsys.readouterr().err
