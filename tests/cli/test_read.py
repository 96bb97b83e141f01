"""The character job: lines that the earlier scripts' consumers can read, one per image."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crash_tools import environment
from tiny_model import write_box
from vin_batch.batch import characters
from vin_batch.batch.characters import find_images, read_characters
from vin_batch.classifier.alphabets import ALPHABETS
from vin_batch.classifier.keras_classifier import KerasClassifier
from vin_batch.cli import main
from vin_batch.errors import ExitCode

Read = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def read(tiny_model: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Read:
    """Run ``vin-batch read`` in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, bytes, str]:
        capfdbinary.readouterr()
        model = ["--model", str(tiny_model), "--device", "cpu"]
        code = main(["read", *model, *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return run


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clear characters that the tiny model reads right, in five formats."""
    folder = tmp_path_factory.mktemp("letters")
    for name in ("letter_C.jpg", "letter_A.png", "letter_T.bmp", "b/letter_7.tif", "b/Z.webp"):
        write_box(folder / name, Path(name).stem[-1])
    write_box(folder / "Letter_H.jpeg", "H")
    return folder


def command(model: Path, *arguments: object) -> list[str]:
    options = ["--model", str(model), "--device", "cpu"]
    return [sys.executable, "-m", "vin_batch", "read", *options, *map(str, arguments)]


def test_lines_of_the_earlier_scripts(read: Read, letters: Path) -> None:
    code, out, err = read(letters)
    assert code == 0
    assert out.decode() == (
        f"72, {letters}/Letter_H.jpeg\n"
        f"65, {letters}/letter_A.png\n"
        f"67, {letters}/letter_C.jpg\n"
        f"84, {letters}/letter_T.bmp\n"
    )
    assert err == "vin-batch: 4 images\n"
    code, out, _ = read(letters, "--format", "ascii-char")
    assert code == 0
    assert out.decode().splitlines()[2] == f"67, C, {letters}/letter_C.jpg"


def test_folders_below_are_read_on_demand_in_the_order_of_paths(read: Read, letters: Path) -> None:
    _, out, _ = read(letters, "--recursive", "--format", "ascii-char")
    paths = [line.split(", ", 2)[2] for line in out.decode().splitlines()]
    assert paths == sorted(str(path) for path in letters.rglob("*.*"))
    assert len(paths) == 6
    assert f"55, 7, {letters}/b/letter_7.tif" in out.decode().splitlines()


def test_relative_paths_stay_relative(
    read: Read, letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(letters)
    assert read("letter_C.jpg")[1] == b"67, letter_C.jpg\n"
    assert read("b")[1] == b"90, b/Z.webp\n55, b/letter_7.tif\n"
    assert read("./b/../letter_C.jpg")[1] == b"67, b/../letter_C.jpg\n"


def test_a_file_named_twice_is_read_once(read: Read, letters: Path) -> None:
    code, out, _ = read(letters / "letter_C.jpg", letters, letters, letters / "letter_C.jpg")
    assert code == 0
    assert out.count(b"letter_C.jpg") == 1
    assert out.count(b"\n") == 4


def test_csv_says_how_sure_it_is(read: Read, letters: Path, tmp_path: Path) -> None:
    target = tmp_path / "answers.csv"
    code, out, err = read(letters, "--format", "csv", "-o", target)
    assert code == 0
    assert out == b""
    assert f"written to {target}" in err
    rows = list(csv.DictReader(io.StringIO(target.read_text("utf-8"))))
    assert [row["char"] for row in rows] == ["H", "A", "C", "T"]
    for row in rows:
        assert row["ascii"] == str(ord(row["char"]))
        assert 1 > float(row["prob"]) > float(row["second_prob"]) > 0
        assert len(row["second"]) == 1
        assert row["second"] != row["char"]
        assert row["issue"] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]


def test_unreadable_images_have_their_line_and_exit_three(
    read: Read, letters: Path, tmp_path: Path
) -> None:
    whole = (letters / "letter_C.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole)
    (tmp_path / "2.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "3.jpg").write_bytes(b"")
    (tmp_path / "4.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "5.jpg")
    write_box(tmp_path / "6.png", " ")
    (tmp_path / "7.txt").write_bytes(whole)
    (tmp_path / ".8.jpg").write_bytes(whole)
    code, out, err = read(tmp_path)
    assert code == ExitCode.FINISHED_WITH_FAILURES
    assert [line[:4] for line in out.decode().splitlines()] == ["67, "] + ["63, "] * 5
    assert "6 images, 5 of them unreadable (?)" in err
    code, out, _ = read(tmp_path, "--format", "jsonl")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["char"] for answer in answers] == ["C", *"?????"]
    assert [answer["issue"] for answer in answers] == [
        "", "undecodable", "empty_file", "unreadable_file", "unreadable_file", "blank",
    ]  # fmt: skip
    assert [answer["prob"] for answer in answers[1:]] == [0.0] * 5


AWKWARD = (
    "a,b.png",
    'q"q.png',
    "new\nline.png",
    "cr\rcr.png",
    " space .png",
    "ключ.png",
    "=1+1.png",
)


def test_awkward_names_survive_csv_and_json(read: Read, letters: Path, tmp_path: Path) -> None:
    for name in AWKWARD:
        (tmp_path / name).write_bytes((letters / "letter_A.png").read_bytes())
    expected = sorted(str(tmp_path / name) for name in AWKWARD)
    _, out, _ = read(tmp_path, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out.decode(), newline="")))
    assert [row["path"] for row in rows] == expected
    assert {row["char"] for row in rows} == {"A"}
    _, out, _ = read(tmp_path, "--format", "jsonl")
    assert [json.loads(line)["path"] for line in out.decode().splitlines()] == expected


def test_names_that_are_not_utf8_keep_their_bytes(
    read: Read, letters: Path, tmp_path: Path
) -> None:
    raw = os.fsencode(tmp_path) + b"/\xcf\xd2\xc8.png"
    Path(os.fsdecode(raw)).write_bytes((letters / "letter_A.png").read_bytes())
    assert read(tmp_path)[1] == b"65, " + raw + b"\n"
    line = read(tmp_path, "--format", "jsonl")[1]
    assert os.fsencode(json.loads(line.decode("utf-8"))["path"]) == raw
    assert raw in read(tmp_path, "--format", "csv")[1]


def test_links_to_files_are_read_and_links_to_folders_are_not(
    letters: Path, tmp_path: Path
) -> None:
    (tmp_path / "deep.png").mkdir()
    (tmp_path / "deep.png" / "x.png").symlink_to(letters / "letter_A.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "other").symlink_to(letters)
    assert find_images([tmp_path], recursive=False) == []
    assert find_images([tmp_path], recursive=True) == [tmp_path / "deep.png" / "x.png"]
    assert len(find_images([tmp_path / "other"], recursive=False)) == 4


def test_paths_are_ordered_as_text(letters: Path, tmp_path: Path) -> None:
    for folder in ("b", "b-1", "B", "b.d"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").symlink_to(letters / "letter_A.png")
    (tmp_path / "b.png").symlink_to(letters / "letter_A.png")
    found = [str(path.relative_to(tmp_path)) for path in find_images([tmp_path], recursive=True)]
    assert found == ["B/x.png", "b-1/x.png", "b.d/x.png", "b.png", "b/x.png"]


def test_an_empty_folder_leaves_an_empty_answer(read: Read, tmp_path: Path) -> None:
    code, out, err = read(tmp_path)
    assert (code, out) == (0, b"")
    assert "no images found" in err
    stale = tmp_path / "out.csv"
    stale.write_text("last night's answers")
    assert read(tmp_path, "--format", "csv", "-o", stale)[0] == 0
    assert stale.read_text() == "path,char,ascii,prob,second,second_prob,issue\n"


def test_a_path_that_is_not_there(read: Read, letters: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", letters / "letter_C.jpg" / "x", tmp_path / ("n" * 300)):
        code, out, err = read(letters, path)
        assert code == ExitCode.ARCHIVE
        assert out == b""
        assert path.name in err


def test_a_folder_without_permission(
    read: Read, letters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    code, out, err = read(letters)
    assert code == ExitCode.ARCHIVE
    assert out == b""
    assert f"cannot read folder {letters}: Permission denied" in err


def test_wrong_use(read: Read, letters: Path, tmp_path: Path) -> None:
    assert read(letters, "--workers", 0)[0] == ExitCode.USAGE
    with pytest.raises(SystemExit, match="2"):
        read(letters, "--format", "xml")
    code, _, err = read(letters, "-o", tmp_path / "no" / "where.csv")
    assert code == ExitCode.DISK
    assert "where.csv" in err
    assert read(letters, "--device", "gpu")[0] in {ExitCode.NO_GPU, ExitCode.DONE}


@pytest.mark.parametrize("alphabet", ["alnum36", "byclass62"])
def test_a_model_that_does_not_know_the_alphabet(
    read: Read, letters: Path, tmp_path: Path, alphabet: str
) -> None:
    target = tmp_path / "answers.csv"
    target.write_text("kept")
    options = ("--alphabet", alphabet, "--format", "csv")
    code, out, err = read(letters, *options)
    assert code == ExitCode.MODEL
    assert out == b""
    assert f"vin-batch train --alphabet {alphabet}" in err
    assert read(letters, *options, "-o", target)[0] == ExitCode.MODEL
    assert target.read_text() == "kept"


def test_larger_alphabets_answer_what_the_vin_cannot(
    letters: Path, tiny_classifier: KerasClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model of 62 classes that finds a lower-case q most probable, then O, then 0."""

    class Mixed:
        card = type(tiny_classifier.card)(
            **{
                **{name: getattr(tiny_classifier.card, name) for name in
                   tiny_classifier.card.__slots__},
                "classes": ALPHABETS["byclass62"],
            }
        )  # fmt: skip
        device = "none"

        def log_probs(self, pixels: np.ndarray) -> np.ndarray:
            probs = np.full((len(pixels), 62), 0.1 / 59, np.float32)
            for share, character in ((0.5, "q"), (0.3, "O"), (0.1, "0")):
                probs[:, self.card.classes.index(character)] = share
            return np.log(probs)

    image = [letters / "letter_A.png"]
    answers = {name: next(iter(read_characters(image, Mixed(), name, 1))) for name in ALPHABETS}
    assert [answers[name].char for name in ("vin", "alnum36", "byclass62")] == ["0", "O", "q"]
    assert answers["byclass62"].prob == pytest.approx(0.5, abs=1e-3)
    assert answers["alnum36"].prob == pytest.approx(0.3 / (0.4 + 34 * 0.1 / 59), abs=1e-3)
    assert answers["alnum36"].second == "0"


def test_answers_keep_their_order_over_tasks_and_processes(
    letters: Path, tiny_classifier: KerasClassifier, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    sources = sorted(letters.glob("*.*"))
    images = []
    for number in range(11):
        images.append(tmp_path / f"{number:02d}{sources[number % 4].suffix}")
        images[-1].symlink_to(sources[number % 4])
    at_once = list(read_characters(images, tiny_classifier, "vin", 1))
    assert [answer.path for answer in at_once] == [str(image) for image in images]
    assert "".join(answer.char for answer in at_once) == "HACTHACTHAC"
    monkeypatch.setattr(characters, "IMAGES_PER_TASK", 3)
    assert list(read_characters(images, tiny_classifier, "vin", 1)) == at_once
    monkeypatch.setattr(characters, "PARALLEL_FROM", 1)
    assert list(read_characters(images, tiny_classifier, "vin", 2)) == at_once


def test_through_the_real_command_line(tiny_model: Path, letters: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    done = subprocess.run(
        command(tiny_model, letters / "letter_C.jpg", tmp_path, "--format", "ascii-char"),
        env=environment(), capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == ExitCode.FINISHED_WITH_FAILURES, done.stderr
    expected = [f"67, C, {letters}/letter_C.jpg", f"63, ?, {tmp_path}/torn.png"]
    assert done.stdout.splitlines() == sorted(expected, key=lambda line: line[7:])
    assert done.stderr == "vin-batch: 2 images, 1 of them unreadable (?)\n"


def test_nobody_reads_the_output(tiny_model: Path, tmp_path: Path) -> None:
    """An empty folder needs no TensorFlow; its CSV header meets a closed pipe, a full disk."""
    arguments = command(tiny_model, tmp_path, "--format", "csv")
    with subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            arguments, env=environment(), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == ExitCode.DISK
    assert b"cannot write to standard output: No space left" in done.stderr
    assert b"Exception ignored" not in done.stderr
