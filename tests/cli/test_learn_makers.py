from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from vin_batch.cli import main
from vin_batch.errors import ExitCode
from vin_batch.synthesis.vins import random_vin
from vin_batch.vin.maker_characters import parse


def test_a_table_is_made_from_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    rows = "\n".join(random_vin(rng).vin.lower() for _ in range(900))
    (tmp_path / "register.csv").write_text(f"vin\n{rows}\n", encoding="utf-8")
    table = tmp_path / "makers.csv"
    code = main(["learn-makers", "--vins", str(tmp_path / "register.csv"), "-o", str(table)])
    assert code == ExitCode.DONE
    makers = parse(table.read_text(encoding="utf-8"))
    assert {"XTA", "TMB", "1G1"} <= {maker.wmi for maker in makers}
    said = capsys.readouterr().out
    assert "VINs counted" in said
    assert f"{len(makers)} rules" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("vin\nXTA21099\n", "line 2 of .* is not a VIN"),
        ("vin\n", "holds no VIN"),
        ("vin\nXTA210990K1491764\n", "teach nothing"),
    ],
)
def test_a_list_of_no_use_is_refused_with_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    path = tmp_path / "register.csv"
    path.write_text(content, encoding="utf-8")
    code = main(["learn-makers", "--vins", str(path), "-o", str(tmp_path / "out.csv")])
    assert code == ExitCode.USAGE
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out.csv").exists()


def test_drawn_cards_alone_take_vins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["evaluate", "--run", str(tmp_path), "--truth", "t.csv", "--vins", "v.csv"])
    assert code == ExitCode.USAGE
    assert "--vins goes with --data" in capsys.readouterr().err
