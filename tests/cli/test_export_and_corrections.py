"""Packages and corrections through the command line, without a model."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from finished_run import VIN, chars_of, make_run, reading, unreadable
from loader_runs import AMERICAN, HOSTILE, awkward, mixed, run_of
from vin_batch.cli import main
from vin_batch.records import Alternative, Reading, Status


def run_main(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    return code, capsys.readouterr().err


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_a_package_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", [mixed("x", 8)])
    package = tmp_path / "package"
    code, words = run_main(capsys, "export", run.root, "--to", "package", package)
    assert (code, "8 cards: 2 accepted" in words) == (0, True), words
    code, words = run_main(capsys, "export", "--to", "package", package, run.root)
    assert (code, "nothing to do" in words) == (0, True), words
    assert run_main(capsys, "export", "--check", package)[0] == 0
    (package / "review.csv").write_text("")
    code, words = run_main(capsys, "export", "--check", package)
    assert code == 7
    assert "review.csv has 0 bytes" in words


@pytest.mark.parametrize(
    "flags",
    [
        ["--to", "excel"],
        ["--to", "package"],
        ["--to", "csv", "a", "b"],
        [],
        ["--to", "csv", "--corrections", "x"],
        ["--to", "package", "p", "--encoding", "utf-16"],
        ["--check", "nowhere"],
    ],
)
def test_flags_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    run = make_run(tmp_path / "run", [[reading("a")]])
    assert run_main(capsys, "export", run.root, *flags)[0] == 2


def test_a_target_in_a_message_hides_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    code, words = run_main(capsys, "export", "run", "--to", "mysql://clerk:s3cret@db/register")
    assert code == 2
    assert "s3cret" not in words


def close_call(card_id: str, confidence: float, other: float, doubtful: int) -> Reading:
    probs = dict.fromkeys(range(1, doubtful + 1), 0.5)
    return reading(
        card_id, Status.REVIEW, confidence=confidence, reasons=("low_confidence",),
        chars=chars_of(VIN, probs), alternatives=(Alternative("1" * 17, other),),
    )  # fmt: skip


def test_the_queue_goes_out_and_comes_back_filled_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cards = [
        close_call("many boxes", 0.5, 0.4, 9), close_call("unlikely", 0.2, 0.1, 1),
        unreadable("broken", Status.FAILED), close_call("=best", 0.6, 0.39, 1),
        unreadable("blank"), reading("fine"), close_call("two boxes", 0.6, 0.39, 2),
    ]  # fmt: skip
    run = make_run(tmp_path / "run", [cards])
    queue = tmp_path / "queue.csv"
    assert run_main(capsys, "corrections", "export-queue", run.root, "-o", queue)[0] == 0
    rows = rows_of(queue)
    assert [row["card_id"] for row in rows] == [
        "'=best", "two boxes", "unlikely", "many boxes", "blank", "broken",
    ]  # fmt: skip
    assert (rows[0]["worth"], rows[0]["look_at"], rows[1]["look_at"]) == ("0.99", "1", "1;2")
    for row, vin in zip(rows, (AMERICAN, "unreadable"), strict=False):
        row.update(vin=vin, reviewer="anna", time="2026-01-01T10:00Z")
    write(queue, rows)
    code, words = run_main(capsys, "corrections", "import", queue, "--to", run.root)
    assert (code, "imported 2 corrections" in words) == (0, True), words
    code, words = run_main(capsys, "corrections", "import", queue, "--to", run.root)
    assert (code, "imported before" in words) == (0, True), words
    run_main(capsys, "corrections", "export-queue", run.root, "-o", queue, "--limit", "2")
    assert [row["card_id"] for row in rows_of(queue)] == ["unlikely", "many boxes"]
    package = tmp_path / "package"
    assert run_main(capsys, "export", run.root, "--to", "package", package)[0] == 0
    accepted = {row["card_id"]: row for row in rows_of(package / "accepted.csv")}
    assert (accepted["'=best"]["vin"], accepted["'=best"]["status"]) == (AMERICAN, "confirmed")
    assert set(accepted) == {"'=best", "fine"}


def test_awkward_names_go_out_and_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", [[awkward(name) for name in HOSTILE]])
    queue = tmp_path / "queue.csv"
    run_main(capsys, "corrections", "export-queue", run.root, "-o", queue)
    rows = rows_of(queue)
    for row in rows:
        row.update(vin=VIN, reviewer="anna", time="2026-01-01T10:00Z")
    write(queue, rows)
    code, words = run_main(capsys, "corrections", "import", queue, "--to", run.root)
    assert (code, f"imported {len(HOSTILE)} corrections" in words) == (0, True), words
    assert run_main(capsys, "corrections", "export-queue", run.root, "-o", queue)[0] == 0
    assert rows_of(queue) == []


def desk(path: Path, *rows: str) -> Path:
    path.write_text("card_id,vin,reviewer,time\n" + "".join(f"{row}\n" for row in rows))
    return path


def test_cards_that_no_run_has_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_of(tmp_path / "root" / "night1", [[awkward("a")]])
    run_of(tmp_path / "root" / "night2", [[awkward("b")]], "f" * 32)
    when = "2026-01-01T10:00Z"
    file = desk(tmp_path / "desk.csv", f"a,{VIN},x,{when}", f"b,{VIN},x,{when}")
    assert run_main(capsys, "corrections", "import", file, "--to", tmp_path / "root")[0] == 0
    file = desk(tmp_path / "desk2.csv", f"a,{VIN},y,{when}", f"c,{VIN},x,{when}")
    code, words = run_main(capsys, "corrections", "import", file, "--to", tmp_path / "root")
    assert code == 2
    assert "line 3: no run has the card 'c'" in words
    assert len(list((tmp_path / "root" / "corrections").glob("*.jsonl"))) == 1
    assert run_main(capsys, "corrections", "import", file, "--to", tmp_path / "nowhere")[0] == 7


def test_conflicts_and_check_digits_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", [[awkward("a")]])
    wrong = AMERICAN[:8] + "7" + AMERICAN[9:]
    first = desk(tmp_path / "1.csv", f"a,{wrong},anna,2026-01-02T10:00Z")
    code, words = run_main(capsys, "corrections", "import", first, "--to", run.root)
    assert (code, "check digit" in words) == (0, True), words
    second = desk(tmp_path / "2.csv", f"a,{AMERICAN},boris,2026-01-01T10:00Z")
    code, words = run_main(capsys, "corrections", "import", second, "--to", run.root)
    assert code == 0
    assert "conflict: card a: boris at 2026-01-01T10:00:00+00:00, then anna" in words
    run_main(capsys, "export", run.root, "--to", "package", tmp_path / "package")
    assert rows_of(tmp_path / "package" / "accepted.csv")[0]["vin"] == wrong
    assert run_main(capsys, "corrections", "conflicts", run.root)[0] == 0


def test_the_newest_reading_of_a_card_decides_whether_it_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    run_of(root / "n1", [[awkward("a"), awkward("b"), reading("c")]], "1" * 32,
           "2026-01-01T00:00:00+00:00")  # fmt: skip
    run_of(root / "n2", [[reading("a"), awkward("c")]], "2" * 32, "2026-01-02T00:00:00+00:00")
    queue = tmp_path / "queue.csv"
    assert run_main(capsys, "corrections", "export-queue", root, "-o", queue)[0] == 0
    assert sorted(row["card_id"] for row in rows_of(queue)) == ["b", "c"]


@pytest.mark.parametrize("engine", ["duckdb", "sqlite"])
def test_files_of_databases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    run = make_run(tmp_path / "run", [mixed("a", 6)])
    target = f"{engine}:{tmp_path / 'register.db'}"
    assert "loaded 6 cards" in run_main(capsys, "export", run.root, "--to", target)[1]
    assert "1 were in before" in run_main(capsys, "export", run.root, "--to", target)[1]
    assert (tmp_path / "register.db").stat().st_mode & 0o007 == 0
    assert run_main(capsys, "export", run.root, "--to", f"{engine}:")[0] == 2
    assert run_main(capsys, "export", "--init", "--to", target)[0] == 2


@pytest.mark.parametrize("place", ["u:{}@h/d", "u@h/d?password={}", "u@h/d?sslpassword={}"])
def test_a_password_on_the_command_line_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    run = make_run(tmp_path / "run", [[reading("a")]])
    target = f"postgresql://{place.format('s3cret')}"
    for flags in ((run.root,), ("--init",)):
        code, words = run_main(capsys, "export", *flags, "--to", target)
        assert (code, "pgpass" in words) == (2, True), words
        assert "s3cret" not in words
