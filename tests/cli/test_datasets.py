"""``vin-batch datasets`` from end to end."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from glyph_packs import drawn_glyphs, write_pack
from public_sources import stored_by_columns, upright, write_image, write_table
from vin_batch.cli import main
from vin_batch.errors import ExitCode
from vin_batch.vin.alphabet import ALPHABET


def test_a_table_of_public_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    glyphs = upright(52)
    write_table(
        tmp_path / "emnist-letters-train.csv", stored_by_columns(glyphs), [*range(1, 27)] * 2
    )
    write_pack(tmp_path / "p.npz", "AB", copies=20, writer=np.arange(40) % 20)
    assert main(["datasets", str(tmp_path)]) == ExitCode.DONE
    out, err = capsys.readouterr()
    assert err == ""
    lines = {line.split()[0]: line.split() for line in out.splitlines()[:3]}
    # Of 26 merged letters only the nine look-alikes of the VIN alphabet are sure.
    assert lines["emnist-letters"][1:5] == ["18", "0", "9", "-"]
    assert lines["p"][1:5] == ["40", "4", "2", "20"]
    assert "dropped 28 (perhaps lower case)" in out
    assert "dropped 6 (not wanted)" in out
    assert "training images by class: 0 0," in out


def test_json_and_wider_alphabets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pack(tmp_path / "p.npz", "AIOab", copies=4)
    assert main(["datasets", str(tmp_path), "--json", "--alphabet", "byclass62"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["images"], row["classes"], row["dropped"]) == (20, 5, {})
    assert main(["datasets", str(tmp_path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["images"], row["dropped"]) == (4, {"not wanted": 8, "lower case": 8})


def test_leaks_are_reported_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = drawn_glyphs("2AKWS", 10, seed=1)
    write_pack(tmp_path / "train" / "a.npz", X=images, y=labels)
    shifted = np.pad(images[[1, 11]], ((0, 0), (3, 5), (6, 2)), constant_values=255)
    write_pack(tmp_path / "evaluate" / "b.npz", X=shifted, y=["2", "A"])
    pairs = tmp_path / "pairs.csv"
    arguments = ["datasets", str(tmp_path), "--check-leaks", "--leaks", str(pairs)]
    assert main(arguments) == ExitCode.FINISHED_WITH_FAILURES
    assert "2 evaluation images are in training as well, 2 of them" in capsys.readouterr().out
    rows = list(csv.reader(pairs.read_text().splitlines()))
    assert sorted(row[:6] for row in rows[1:]) == [
        ["b", "0", "2", "a", "1", "2"], ["b", "1", "A", "a", "11", "A"],
    ]  # fmt: skip
    write_pack(tmp_path / "evaluate" / "b.npz", "5", copies=2, seed=9)
    assert main(["datasets", str(tmp_path), "--check-leaks"]) == ExitCode.DONE
    assert "no evaluation image" in capsys.readouterr().out
    other = ["--evaluation", str(tmp_path / "train" / "a.npz")]
    arguments = ["datasets", str(tmp_path / "train"), "--check-leaks", *other]
    assert main(arguments) == ExitCode.FINISHED_WITH_FAILURES


def test_suspects_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = drawn_glyphs("2AK", 20, seed=4)
    labels[30] = "K"
    write_pack(tmp_path / "a.npz", X=images, y=labels)
    write_pack(tmp_path / "b.npz", "A", copies=4, label_prob=[0.1, 1, 1, 1])
    target = tmp_path / "suspects.csv"
    assert main(["datasets", str(tmp_path), "--suspects", str(target), "--json"]) == 0
    rows = {row["source"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["a"]["suspects"] >= 1
    assert rows["b"]["suspects"] is None, "its labels are flagged already"
    assert rows["b"]["dropped"] == {"doubtful label": 1}
    written = list(csv.DictReader(target.read_text().splitlines()))
    assert {"source": "a", "row": "30", "label": "K", "likely": "A"}.items() <= written[0].items()


def test_broken_files_are_exit_three(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "A" / "1.png", upright(1)[0])
    (tmp_path / "A" / "2.png").write_bytes(b"torn")
    assert main(["datasets", str(tmp_path)]) == ExitCode.FINISHED_WITH_FAILURES
    assert "1 files undecodable" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{}/nowhere"], "there is no"),
        (["{}"], "no data set in"),
        (["{}", "--leaks", "x.csv"], "need --check-leaks"),
        (["{}", "--kind", "folders"], "no readable images"),
    ],
)
def test_wrong_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    filled = [argument.format(tmp_path) for argument in arguments]
    assert main(["datasets", *filled]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert words in err


def test_every_class_is_in_the_balance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pack(tmp_path / "p.npz", ALPHABET, copies=1)
    assert main(["datasets", str(tmp_path / "p.npz")]) == 0
    balance = capsys.readouterr().out.splitlines()[-1]
    assert balance.startswith("training images by class: 0 1, 1 1,")
    assert balance.endswith("Z 1")
